"""Writes the demo model to `models/demo`: FLUX's architecture and layout, tiny, random weights.

Run it with `python -m builder.make_demo_model`.
"""

import argparse
from pathlib import Path

import torch

from builder.demo_model import architecture

SEED = 2024


def main() -> None:
    """Make the components from the seed and save them in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/demo"))
    out = parser.parse_args().out
    architecture.pipeline(SEED).to(torch.bfloat16).save_pretrained(out, safe_serialization=True)
    print(f"Wrote {sum(f.stat().st_size for f in out.rglob('*')) / 1e6:.1f} MB to {out}.")


if __name__ == "__main__":
    main()
