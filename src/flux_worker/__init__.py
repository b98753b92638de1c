"""A Runpod Serverless worker that serves FLUX.1-dev and FLUX.1-schnell.

The story of a job, each noun a module: a `request` is parsed against the `catalog`, the `generator`
runs it on the `pipeline`, `images` encodes the result, `storage` publishes it, `pricing` prices it;
`worker` tells that story.
"""

__version__ = "0.1.0"
