"""A Runpod endpoint from one small file, by REST v2; and a check of any endpoint's contract.

Shapes of requests and answers are those of https://docs.runpod.io/api-reference-v2/serverless, its
OpenAPI description of August 2026. They were tried against a stand-in that holds to that
description, not at Runpod.
"""
