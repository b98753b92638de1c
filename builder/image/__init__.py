"""Builds the worker's image with what the machine has: `python -m builder.image`."""
