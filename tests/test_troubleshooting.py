"""Everything that the worker can say is in docs/troubleshooting.md, and nothing else is.

A sentence that was added or changed is printed as the page has it: paste it into a block there,
with what it means and what to do. What nobody reads by itself goes into `UNSAID`.
"""

import re
import textwrap
from functools import cache

import pytest
import sentences
from conftest import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
BLOCK = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
SOURCES = [*sorted((ROOT / "src/flux_worker").rglob("*.py")), ROOT / "handler.py"]
WITHOUT = {"plan.py"}
"""Modules that say nothing by themselves: a plan's words are those of docs/performance.md."""
UNSAID = {
    # They fill another sentence in.
    *(
        "SDXL or Stable Diffusion",
        "an unprintable …",
        "and … more",
        "something else than the image",
    ),
    *("and BUCKET_REGION", "and COMPILE=true", "PRECISION=… with OFFLOAD=…", "leads to a file"),
    *("answers …", "needs HF_TOKEN", "that asks for an account", "a .safetensors file"),
    *("a picture", "a web page", "an SVG", "an AVIF", "a video", "an icon", "a ZIP archive"),
    *("a Photoshop file", "a TIFF, or a camera's raw picture", "no picture that is known here"),
    *("read by the worker's HF_TOKEN", "read without a HF_TOKEN"),
    *("Runpod's model cache", "Hugging Face cache", "for CUDA ….…", "downloads … to …"),
    *("set HF_TOKEN to", "set MODEL_PATH to …@ and"),
    # They are sent to servers, given to the model, or looked for in what a library says.
    *("public, max-age=604800, immutable", "bytes …-", "a red circle", "out of memory"),
    "Written by flux-worker when it starts, to be fetched and removed:",
    # The kind of the error is told, or another sentence: these messages aren't.
    *("status …", "jobsToStop is no list.", "The answer is too long.", "the Hub names no commit"),
    *("… is nested too deeply", "… is no JSON object"),
}


@cache
def said():
    """Each sentence of the source, with the modules that say it."""
    found = {}
    for path in SOURCES:
        if path.name not in WITHOUT:
            for pattern in sentences.patterns(path.read_text()):
                found.setdefault(pattern, set()).add(str(path.relative_to(ROOT)))
    return found


def documented(page):
    """The sentences in the page's blocks; a line that is indented goes on."""
    lines = re.sub(r"\n +", " ", "".join(BLOCK.findall(page))).splitlines()
    return [line for line in lines if line]


def wrapped(sentence):
    return textwrap.fill(
        sentence, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def test_every_sentence_of_the_worker_is_there():
    known = {*documented(PAGE.read_text()), *UNSAID}
    missing = {each: where for each, where in said().items() if each not in known}
    listed = "\n".join(
        f"{', '.join(sorted(where))} says:\n\n```text\n{wrapped(each)}\n```\n"
        for each, where in sorted(missing.items(), key=lambda item: sorted(item[1]))
    )
    if missing:
        pytest.fail(f"docs/troubleshooting.md lacks:\n\n{listed}", pytrace=False)


def test_the_worker_says_every_sentence_that_is_there():
    stale = [each for each in documented(PAGE.read_text()) if each not in said()]
    if stale:
        pytest.fail("Nobody says any more:\n\n" + "\n".join(map(wrapped, stale)), pytrace=False)


def test_no_sentence_is_there_twice_or_kept_out_for_nothing():
    listed = documented(PAGE.read_text())
    assert len(listed) == len(set(listed))
    assert not UNSAID & set(listed)
    assert UNSAID - said().keys() == set(), "take out of UNSAID what is said no more"


def test_every_block_is_followed_by_what_it_means():
    for part in BLOCK.split(PAGE.read_text())[2::2]:
        assert re.match(r"\n\n?[A-Z0-9`\[]", part), part[:80]


# -- how sentences are found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise CannotStart("Nothing works here.")', {"Nothing works here."}),
        ('raise CannotStart(f"The {name} is {a + b:.1f} off.")', {"The … is … off."}),
        ('x = f"The {name} " "is off."', {"The … is off."}),
        ('x = "must be one of " + ", ".join(names)', {"must be one of …"}),
        ('ADVICE = {"A": "{host} is away"}', {"… is away"}),
        ('log.warning("It took %d tries in %.0f s.", n, s)', {"It took … tries in … s."}),
        (
            "x = f\"It {'goes on' if y else 'stops now'} then\"",
            {"It … then", "goes on", "stops now"},
        ),
        ('yield "send seed"', {"send seed"}),
        ('raise Unusable(f"{name} is missing")', {"… is missing"}),
        ('"""About this module, in words."""', set()),
        ('x = 1\n"""About the name before it."""', set()),
        ('log.info("Compiled all of it.")', set()),
        ('re.compile("this or that")', set()),
        ('x = ["BUCKET_NAME", "to_q", "a/b c", f"{a}/{b}"]', set()),
    ],
)
def test_what_is_a_sentence(source, found):
    assert sentences.patterns(source) == found
