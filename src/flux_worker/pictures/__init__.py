"""Brings the pictures that requests start from: fetched, decoded, and brought to sRGB."""
