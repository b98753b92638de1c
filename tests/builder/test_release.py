"""A tag is released only as the version that the package and the changelog name."""

import pytest
from conftest import ROOT

from builder.release import CHANGELOG, VERSION, faults
from flux_worker import __version__

PACKAGE = '"""A package."""\n\n__version__ = "1.2.3"\n'
DATED = "# Changelog\n\n## Unreleased\n\n## 1.2.3 – 2026-11-26\n"


@pytest.mark.parametrize("changelog", [DATED, "## [1.2.3] - 2026-11-26\n", "## 1.2.3\n"])
def test_the_tag_of_the_noted_version_passes(changelog):
    assert faults("v1.2.3", PACKAGE, changelog) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.3-rc1"])
def test_another_tag_is_told_the_version(tag):
    (fault,) = faults(tag, PACKAGE, DATED)
    assert tag in fault
    assert "it must be v1.2.3" in fault


@pytest.mark.parametrize("changelog", ["## Unreleased", "## 1.2.30", "## 11.2.3", "- 1.2.3"])
def test_a_version_that_the_changelog_leaves_out_is_told(changelog):
    (fault,) = faults("v1.2.3", PACKAGE, changelog)
    assert "no section 1.2.3" in fault


def test_both_files_are_read_as_they_are():
    texts = (ROOT / VERSION).read_text(), (ROOT / CHANGELOG).read_text()
    assert not any("The tag is" in fault for fault in faults(f"v{__version__}", *texts))
