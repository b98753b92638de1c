"""Takes blank variables that libraries read for unset ones, as settings are, from this import on.

They take them literally: with a blank `HF_HOME` weights would be downloaded into whatever folder
the worker runs in, and with a blank `HF_ENDPOINT` there is no Hub.
"""

import os

FOR_LIBRARIES = (
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
)

for name in FOR_LIBRARIES:
    if value := os.environ.pop(name, "").strip():
        os.environ[name] = value  # a pasted one often ends in a blank or a line break
