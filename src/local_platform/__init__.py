"""Runpod on one machine: its queue, with real workers, and an S3 server for their images.

For trying and testing only; the worker itself imports nothing of it.
"""
