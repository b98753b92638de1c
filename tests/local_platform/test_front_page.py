"""What a browser finds at `/`."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from urllib.request import urlopen

import pytest
from running_platform import DEV, SCHNELL, serving

pytestmark = pytest.mark.real

STRANGE = "<script>alert('1')</script>&\"x y"


def page_of(platform):
    with urlopen(platform.url + "/") as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return response.read().decode()


class Reader(HTMLParser):
    """The tags of a page, the addresses that it names, and whether each tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.open = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("ids", [(DEV,), (DEV, SCHNELL)])
def test_the_front_page_says_what_is_here(ids):
    with serving(0, {}, ids=ids) as platform:
        page = page_of(platform)
        reader = Reader(page)
        assert not reader.open
        for each in ids:
            url = f"{platform.url}/v2/{each}"
            assert f"<code>{url}</code>" in page
            assert f"{url}/health" in reader.addresses
            urlopen(f"{url}/health").close()
    assert "docs/platform.md" in page
    assert "docs/api.md" in page
    assert "LOCAL_API_KEY" not in page


def test_the_front_page_needs_nothing_from_elsewhere():
    with serving(0, {}) as platform:
        reader = Reader(page_of(platform))
    assert not reader.tags & {"script", "link", "img", "iframe", "form", "object", "base"}
    elsewhere = [each for each in reader.addresses if not each.startswith(platform.url)]
    playground, documentation = elsewhere
    assert playground == "http://127.0.0.1:7860"
    assert documentation == "https://docs.runpod.io/serverless/endpoints/operations"


def test_a_program_is_told_what_each_endpoint_serves():
    own = {"FLUX_MODEL": "dev", "PRICE_PER_MEGAPIXEL": "0.5", "LORA_DIR": "/loras"}
    settings = [{**own, "X": "secret"}, {}]
    with serving(0, settings, ids=(DEV, SCHNELL)) as platform:
        assert platform("GET", "/", Accept="application/json") == (
            200,
            {
                "endpoints": [
                    {
                        "id": DEV,
                        "FLUX_MODEL": "dev",
                        "MODEL_PATH": None,
                        "PRICE_PER_MEGAPIXEL": "0.5",
                        "LORA_DIR": "/loras",
                    },
                    {
                        "id": SCHNELL,
                        "FLUX_MODEL": None,
                        "MODEL_PATH": None,
                        "PRICE_PER_MEGAPIXEL": None,
                        "LORA_DIR": None,
                    },
                ]
            },
        )


@pytest.mark.parametrize("key", [None, "k<e>y"])
def test_the_front_pages_curl_line_works(key):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    with serving(0, {}, api_key=key) as platform:
        page = page_of(platform)
        (line,) = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
        asking = subprocess.Popen(
            ["sh", "-c", unescape(line)],
            env={**os.environ, "LOCAL_API_KEY": key or ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        job = platform.as_worker("w1", "GET", "job-take")[1]
        platform.as_worker("w1", "POST", "job-done", f"/{job['id']}", {"output": job["input"]})
        report = json.loads(asking.communicate(timeout=60)[0])
    assert report["status"] == "COMPLETED"
    assert set(report["output"]) == {"prompt"}
    if key:
        assert "LOCAL_API_KEY" in page
        assert ">health<" not in page
        assert key not in unescape(page)


def test_an_endpoints_name_is_text_whatever_it_holds():
    with serving(0, {}, ids=(STRANGE, DEV)) as platform:
        page = page_of(platform)
    reader = Reader(page)
    assert "script" not in reader.tags
    assert STRANGE in unescape(page)
    assert f"{platform.url}/v2/%3Cscript%3Ealert%28%271%27%29%3C/script%3E%26%22x%20y" in page


def test_there_are_no_pages_that_run_others_scripts():
    with serving(0, {}, ids=(DEV, SCHNELL)) as platform:
        for path in ("/docs", "/redoc", "/openapi.json"):
            status, report = platform("GET", path)
            assert (status, report["error"]) == (
                404,
                "There is no such operation; / says which there are.",
            )
