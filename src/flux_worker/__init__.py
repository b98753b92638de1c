"""A Runpod Serverless worker that serves FLUX.1.

Its rooms, from the ground up: `contract` holds what callers may ask, `delivery` makes a file and a
URL of pixels, `weights` finds and reads the model, `engine` has it run on the card, `generation`
makes pixels of a request, and `serving` speaks with the platform; `serving.worker` tells a job's
story.
"""

__version__ = "0.1.0"
