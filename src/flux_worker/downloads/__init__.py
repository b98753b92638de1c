"""Brings files that callers name from the web: guarded, bounded, resumed, and kept by content."""
