"""Puts weights into the image while it is built: `python -m builder.bake`."""
