"""Checks that a tag is what the package and the changelog say.

python -m builder.release v1.2.3
"""

import re
import sys
from pathlib import Path

VERSION, CHANGELOG = Path("src/flux_worker/__init__.py"), Path("CHANGELOG.md")


def faults(tag: str, package: str, changelog: str) -> list[str]:
    """Say what keeps a tag from being released, given the texts of both files."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    found = []
    if tag != f"v{version}":
        found.append(f"The tag is {tag}, and {VERSION} says {version}: it must be v{version}.")
    if not re.search(rf"^## \[?{re.escape(version)}\]?( |$)", changelog, re.MULTILINE):
        found.append(f"{CHANGELOG} has no section {version}: name what was unreleased so.")
    return found


if __name__ == "__main__":
    if found := faults(sys.argv[1], VERSION.read_text(), CHANGELOG.read_text()):
        sys.exit("\n".join(found))
