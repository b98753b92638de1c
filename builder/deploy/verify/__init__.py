"""Sends the documented requests to an endpoint and says which part of the contract differs.

The contract is docs/api.md's; the envelope and the operations are those of
https://docs.runpod.io/serverless/endpoints/operation-reference.
"""
