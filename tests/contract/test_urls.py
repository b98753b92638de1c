import pytest

from flux_worker.contract import urls
from flux_worker.contract.urls import Url


def test_a_files_url_is_kept_as_it_is_but_for_its_fragment():
    url, parts = urls.of_file("HTTPS://h.example:8443/a%20b?x=1&y=#z", "must be a URL")
    assert url == Url("HTTPS://h.example:8443/a%20b?x=1&y=")
    assert (parts.hostname, parts.port) == ("h.example", 8443)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "http://h/x", "ftp://h/x", "https://", "https:///x", "https://h:0/"),
        *("https://h:x/", "https://h/a b", "https://h/é", "https://[/x", "https://h/\n"),
        " https://h/",
    ],
)
def test_anything_else_is_refused_in_the_words_that_are_given(text):
    with pytest.raises(ValueError, match=r"^must be a URL$"):
        urls.of_file(text, "must be a URL")


def test_a_password_has_a_sentence_of_its_own_that_does_not_repeat_it():
    with pytest.raises(ValueError, match="without a user name and a password") as refusal:
        urls.of_file("https://me:hunter2@h/x", "must be a URL")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_of_http_is_split_with_or_without_tls(scheme):
    parts = urls.split(f"{scheme}://h/x?y")
    assert parts
    assert (parts.scheme, parts.hostname, parts.query) == (scheme, "h", "y")
