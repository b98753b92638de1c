"""What a repository of the Hub says of itself."""

import os
import subprocess
import sys

import pytest
from conftest import DEMO
from hub_server import COMMIT, hub

from flux_worker.weights.remote import Remote

ASK = """
import sys
from flux_worker.weights.remote import Remote
remote = Remote("Somebody/FLUX", None)
print(*remote.resolve(sys.argv[1] or None))
print(remote.listing(sys.argv[2])["vae/config.json"].size)
print(remote.listing(sys.argv[2])["vae/diffusion_pytorch_model.safetensors"].sha256)
"""


@pytest.mark.real
def test_a_repository_names_its_commit_and_its_files():
    with hub({"somebody/flux": DEMO, "somebody/flux@v1": DEMO}) as server:
        command = [sys.executable, "-c", ASK, "", COMMIT]
        done = subprocess.run(
            command,
            env={**os.environ, "HF_ENDPOINT": server.url},
            capture_output=True,
            text=True,
            check=True,
        )
    named, size, sha256 = done.stdout.splitlines()
    assert named.split()[1] == COMMIT
    assert int(size) == (DEMO / "vae/config.json").stat().st_size
    assert len(sha256) == 64


def test_a_token_is_not_shown():
    assert "hf_secret" not in repr(Remote("somebody/flux", "hf_secret"))
