"""Real programs on loopback, each on a leash that ends it with the program that started it: an S3
server, and the worker behind the SDK's development API.
"""
