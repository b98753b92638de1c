"""The demo model: FLUX's exact architecture and file layout, small enough for a laptop's CPU."""
