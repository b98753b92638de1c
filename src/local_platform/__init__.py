"""What the platform gives a worker, on one machine: an S3 server and a place to run.

For trying and testing only; the worker itself imports nothing of it.
"""
