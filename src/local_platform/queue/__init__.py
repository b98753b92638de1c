"""Runpod's queue without its HTTP: jobs and their states, who takes which, and an endpoint's
workers, which are real processes.
"""
