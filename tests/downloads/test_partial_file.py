"""What is told from how a file comes."""

import pytest
from fake_web import digest, endless, lora, page

URL = "https://files.example/a.safetensors"
PICKLE = "must name a .safetensors file: a pickle can run code, so none is opened here"
PAGE = "leads to a web page of files.example, not to a .safetensors file"


def test_a_page_that_says_that_it_is_one(refusal, web):
    web.put(URL, page)
    assert refusal(URL) == PAGE


@pytest.mark.parametrize("beginning", [b"<!DOCTYPE html>" + bytes(1 << 20), b"PK\x03\x04" * 1000])
def test_no_gigabytes_are_fetched_to_see_that(refusal, web, beginning):
    flood, sent = endless(beginning, bytes(1 << 20))
    web.put(URL, flood)
    assert refusal(URL) in (PAGE, PICKLE)
    assert len(sent) < 64


def test_bytes_that_come_one_by_one_are_judged_together(bring, web):
    def drip(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(lora())))
        request.end_headers()
        for byte in lora()[:20]:
            request.wfile.write(bytes([byte]))
        request.wfile.write(lora()[20:])

    web.put(URL, drip)
    assert bring(URL)[0][0].digest == digest(lora())
