import pytest

from flux_worker.contract.loras import HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads import addresses
from flux_worker.downloads.refusals import Refused

HUB = "https://huggingface.co"
MAIN = HubFile("o/n", "main", "a.safetensors")
PULL = HubFile("o/n", "refs/pr/3", "a.safetensors")
CIVITAI = "https://civitai.com/api/download/models/22"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        (f"{HUB}/o/n/resolve/main/a.safetensors", MAIN),
        (f"{HUB}/o/n/blob/main/d/a.safetensors", HubFile("o/n", "main", "d/a.safetensors")),
        (f"{HUB}/o/n/resolve/main/a.safetensors?download=true", MAIN),
        ("https://HF.co/o/n/resolve/v1/a%20b.SafeTensors", HubFile("o/n", "v1", "a b.SafeTensors")),
        (f"{HUB}/o/n/resolve/refs%2Fpr%2F3/a.safetensors", PULL),
        (f"{HUB}/o/n/resolve/refs/pr/3/a.safetensors", PULL),
        (f"{HUB}/o/n", HubFile("o/n")),
        (f"{HUB}/o/n/", HubFile("o/n")),
        (f"{HUB}/o/n/tree/v1", HubFile("o/n", "v1")),
        ("https://civitai.com/models/1/a-name?modelVersionId=22", Url(CIVITAI)),
        ("https://www.civitai.com/models/1?modelVersionId=22&x=1", Url(CIVITAI)),
    ],
)
def test_a_page_stands_for_its_file(url, meant):
    assert addresses.meant(Url(url)) == meant


@pytest.mark.parametrize(
    "url",
    [
        f"{HUB}/datasets/o/n/resolve/main/a.safetensors",
        f"{HUB}/datasets/o",
        f"{HUB}/o/n/resolve/main/../../a.safetensors",
        f"{HUB}/o/n/resolve/main/%2e%2e/a.safetensors",
        f"{HUB}/o/n/resolve/../a.safetensors",
        "https://civitai.com/api/download/models/22?type=Model&format=SafeTensor",
        "https://files.example/o/n/resolve/main/a.safetensors",
        "https://files.example/models/1",
    ],
)
def test_any_other_url_stands_for_itself(url):
    assert addresses.meant(Url(url)) == Url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "https://civitai.com/models/1/a-name",
            "is a page of civitai.com: send its file's URL, "
            "https://civitai.com/api/download/models/ and the version's number",
        ),
        ("https://civitai.com/models/1?modelVersionId=../x", "is a page of civitai.com"),
        (f"{HUB}/o/n/blob/main/README.md", "must name a .safetensors file"),
    ],
)
def test_a_page_without_a_file_is_refused(url, said):
    with pytest.raises(Refused) as refusal:
        addresses.meant(Url(url))
    assert str(refusal.value).startswith(said)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (HubFile("o/n"), "/api/models/o/n/revision/main"),
        (HubFile("o/n", "refs/pr/3"), "/api/models/o/n/revision/refs%2Fpr%2F3"),
        (HubFile("o/n", "v1", "d/a b#?.safetensors"), "/o/n/resolve/v1/d/a%20b%23%3F.safetensors"),
    ],
)
def test_the_url_of_a_hub_file_is_quoted(source, path):
    assert str(addresses.url(source, HUB)) == HUB + path


def test_a_callers_url_stays_as_it_is():
    url = "https://files.example/a%2Fb?sig=%2B+%20"
    assert str(addresses.url(Url(url), HUB)) == url


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:-1], COMMIT.upper()])
def test_only_a_whole_commit_cannot_change(revision):
    assert not addresses.is_pinned(HubFile("o/n", revision, "a"))
    assert addresses.is_pinned(HubFile("o/n", COMMIT, "a"))
