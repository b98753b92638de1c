"""Which file on the web is meant: a page of the Hub or of civitai.com stands for its file."""

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit

from yarl import URL

from flux_worker.contract.loras import EXTENSION, NAME, HubFile
from flux_worker.contract.urls import Url
from flux_worker.downloads.refusals import CIVITAI, Refused

HUB = "huggingface.co"
HUB_HOSTS = (HUB, f"www.{HUB}", "hf.co")
FILE_PAGE = re.compile(
    rf"/({NAME}/{NAME})/(?:resolve|blob|raw)/((?:refs/(?:pr|convert)/)?[^/]+)/(.+)"
)
REPOSITORY_PAGE = re.compile(rf"/({NAME}/{NAME})(?:/tree/([^/]+))?/?")
COMMIT = re.compile(r"[0-9a-f]{40}")
NEWEST = "main"


def meant(source: Url | HubFile) -> Url | HubFile:
    """Return the file that a URL stands for, in the Hub's own terms where it is the Hub's.

    Raises:
        Refused: it is a page that stands for no single file.
    """
    if isinstance(source, HubFile):
        return source
    parts = urlsplit(source.url)
    host = (parts.hostname or "").rstrip(".")
    if host in HUB_HOSTS:
        return _of_hub(parts.path) or source
    if host.removeprefix("www.") == CIVITAI:
        return _of_civitai(parts.path, parts.query) or source
    return source


def _of_hub(path: str) -> HubFile | None:
    if page := REPOSITORY_PAGE.fullmatch(path):
        is_model = page[1].split("/")[0] not in ("datasets", "spaces", "api")
        return HubFile(page[1], page[2] and unquote(page[2])) if is_model else None
    found = FILE_PAGE.fullmatch(path)
    if found is None:
        return None
    repository, revision, file = found[1], unquote(found[2]), unquote(found[3])
    if not {"", ".", ".."}.isdisjoint(f"{revision}/{file}".split("/")):
        return None
    if not file.lower().endswith(EXTENSION):
        raise Refused(f"must name a {EXTENSION} file")
    return HubFile(repository, revision, file)


def _of_civitai(path: str, query: str) -> Url | None:
    if not path.startswith("/models/"):
        return None
    version = parse_qs(query).get("modelVersionId", [""])[0]
    if not re.fullmatch(r"[0-9]+", version):
        raise Refused(
            f"is a page of {CIVITAI}: send its file's URL, "
            f"https://{CIVITAI}/api/download/models/ and the version's number"
        )
    return Url(f"https://{CIVITAI}/api/download/models/{version}")


def is_pinned(file: HubFile) -> bool:
    """Whether it is at a commit, and so can't change."""
    return bool(file.revision and COMMIT.fullmatch(file.revision))


def url(source: Url | HubFile, endpoint: str) -> URL:
    """Return where a file is, or the list of a repository's files where none is named.

    Args:
        source: as `meant` returns it.
        endpoint: of the Hub, or of a mirror of it.

    Raises:
        Refused: there can be no such URL.
    """
    if isinstance(source, Url):
        try:
            return plain(URL(source.url, encoded=True))
        except ValueError:
            raise Refused("has a host that no server can have") from None
    revision = quote(source.revision or NEWEST, safe="")
    if source.file is None:
        path = f"api/models/{source.repository}/revision/{revision}"
    else:
        path = f"{source.repository}/resolve/{revision}/{quote(source.file)}"
    return URL(f"{endpoint}/{path}", encoded=True)


def plain(url: URL) -> URL:
    """Return a URL with its host in the one spelling that tokens are kept by, and without a user.

    Raises:
        ValueError: it has a host that no server can have.
    """
    host = (url.raw_host or "").lower().rstrip(".")
    if not url.host or not re.fullmatch(r"[a-z0-9._:-]+", host):
        raise ValueError(host)
    port = None if url.is_default_port() else url.explicit_port
    return url.with_user(None).with_fragment(None).with_host(host).with_port(port)


def key(source: Url | HubFile, endpoint: str) -> str:
    """Return what tells a source from all others.

    Raises:
        Refused: there can be no such source.
    """
    if isinstance(source, Url):
        return str(url(source, endpoint))
    return f"{endpoint} {source.repository} {source.revision or NEWEST} {source.file or ''}"
