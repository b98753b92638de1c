"""Where an image keeps the weights that were put into it while it was built."""

from pathlib import Path

BAKED_WEIGHTS = Path("/opt/flux-worker/weights")
"""A cache in the Hub's layout, so that the same rule finds a repository here as in other caches."""
BAKED_SETTINGS = "settings.json"
"""A file in it, with what the image serves unless the environment asks for something else:
`FLUX_MODEL`, and `MODEL_PATH` where the weights aren't the official ones."""
