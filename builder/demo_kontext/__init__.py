"""The demo model for FLUX.1-Kontext: the demo transformer, taught to edit a reference picture."""
