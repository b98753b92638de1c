"""Measurements of two things side by side in one run: `make bench`."""
