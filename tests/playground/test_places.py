import pytest

from playground.places import Place, read

BASE = "https://api.runpod.ai/v2"


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/abc123",
        f"{BASE}/abc123/",
        f"  {BASE}/abc123/runsync ",
        f"{BASE}/abc123/run",
        f"{BASE}/abc123/status/some-job",
    ],
)
def test_an_endpoints_url_is_taken_apart_however_it_was_copied(url):
    assert read(url) == Place(BASE, "abc123")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place("api.runpod.ai/v2", "abc"), "must begin with http:// or https://"),
        (Place("ftp://api.runpod.ai/v2", "abc"), "must begin with"),
        (Place("https://", "abc"), "must begin with"),
        (Place("https://[::1", "abc"), "must begin with"),
        (Place("https://h:99999/v2", "abc"), "must begin with"),
        (Place("https://me:secret@h/v2", "abc"), "the key has its own field"),
        (Place("https://h/v2?key=secret", "abc"), "the key has its own field"),
        (Place(BASE, ""), "letters, digits and hyphens"),
        (Place(BASE, "a/b"), "letters, digits and hyphens"),
        (Place(BASE, "a b"), "letters, digits and hyphens"),
        (Place(BASE, "abc", "key\r\nX: y"), "copy it again"),
        (Place(BASE, "abc", "schlüssel"), "copy it again"),
    ],
)
def test_what_is_no_endpoint_is_said(place, said):
    assert said in place.fault()
    assert "secret" not in place.fault()


def test_a_wrong_endpoint_url_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="nonsense is no endpoint's URL, such as https://"):
        read("nonsense")


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8000/v2", True),
        ("http://127.8.8.8/v2", True),
        ("http://localhost/v2", True),
        ("http://[::1]:8000/v2", True),
        (BASE, False),
        ("http://127.0.0.1.example/v2", False),
        ("http://192.168.1.2/v2", False),
    ],
)
def test_what_is_on_this_machine_is_known(url, is_here):
    assert Place(url, "abc").is_here is is_here


def test_the_key_is_in_no_representation():
    assert "hidden" not in repr(Place(BASE, "abc", "hidden"))
