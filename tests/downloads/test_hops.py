"""Where a caller's URL may lead, and who sees which token."""

import pytest
from fake_web import CDN, STORAGE, lora, redirect, whole

URL = "https://files.example/a.safetensors?key=hush"
ELSEWHERE = "https://elsewhere.example/b.safetensors"
TOKENS = {"hf_token": "hf_hush", "civitai_token": "civitai_hush"}
COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://elsewhere.example/a.safetensors", "elsewhere.example"),
        ("https://files.example.elsewhere.example/a", "files.example.elsewhere.example"),
        ("https://evilhuggingface.co/a", "evilhuggingface.co"),
        ("https://huggingface.co.elsewhere.example/a", "huggingface.co.elsewhere.example"),
        ("https://169.254.169.254/latest", "169.254.169.254"),
        ("https://[::1]/a", "::1"),
        (r"https://elsewhere.example\.huggingface.co/a", None),
        ("https://elsewhere.example%2f.huggingface.co/a", None),
    ],
)
def test_only_the_operators_hosts_are_asked(refusal, web, url, host):
    said = refusal(url)
    assert host is None or said == f"is at {host}, which is none of the worker's LORA_HOSTS"
    assert web.asked == []


@pytest.mark.parametrize("hosts", ["*", "*.example", "elsewhere.example"])
def test_the_operator_says_which_hosts(bring, web, hosts):
    web.put(ELSEWHERE, lora())
    assert bring(ELSEWHERE.replace("elsewhere", "ELSEWHERE"), lora_hosts=hosts)


def test_a_host_may_end_with_a_dot(refusal, web):
    assert "elsewhere.example, which is none" in refusal("https://elsewhere.example./a")


@pytest.mark.parametrize(
    "host", ["xn--a.hf.co", "xn--zzzzzzzzzzz99999.hf.co", "xn--", "a%2f.hf.co", "[fe80::1%25lo]"]
)
def test_a_host_that_no_server_can_have_is_said_to_be_one(refusal, web, host):
    assert refusal(f"https://{host}/a", lora_hosts="*") == "has a host that no server can have"
    web.put(URL, redirect(f"https://{host}/a"))
    assert refusal(URL, lora_hosts="*").startswith("leads from files.example to an address")


def test_below_a_host_is_not_the_host(refusal, web):
    assert "which is none" in refusal(ELSEWHERE, lora_hosts="*.elsewhere.example")


def test_a_redirect_may_not_leave_the_operators_hosts(refusal, web):
    web.put(URL, redirect(f"{ELSEWHERE}?key=hush"))
    web.put(ELSEWHERE, lora())
    assert refusal(URL) == (
        "leads to a file at elsewhere.example, which is none of the worker's LORA_HOSTS"
    )
    assert web.requests(ELSEWHERE) == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://169.254.169.254/latest/meta-data", "a link-local or metadata address, which is"),
        ("https://metadata.example/", "a link-local or metadata address, which is never allowed"),
        ("https://100.100.100.200/", "a link-local or metadata address, which is never allowed"),
    ],
)
def test_no_redirect_leads_to_the_clouds_metadata(refusal, web, address, said):
    web.put(URL, redirect(address))
    for url in (URL, address):
        assert refusal(url, lora_hosts="*").startswith(f"leads to {said}")


@pytest.mark.parametrize(
    "url", ["https://intranet.example/x", "https://10.0.0.1/x", "https://[fd00::1]/x", URL]
)
def test_private_addresses_are_refused_unless_the_operator_opens_them(refusal, web, url):
    said = refusal(url, lora_hosts="*", allow_private_addresses=False)
    assert said.startswith("leads to a private address, which is allowed only where the worker's")
    assert web.asked == []


@pytest.mark.parametrize("onward", ["http://files.example/b", "http://127.0.0.1/b"])
def test_a_redirect_may_not_leave_tls(refusal, web, onward):
    web.put(URL, redirect(onward))
    assert "without TLS: only https is followed" in refusal(URL, lora_hosts="*")


@pytest.mark.parametrize(
    "onward", ["ftp://files.example/b", "file:///etc/passwd", "https://x:y/", "data:,x"]
)
def test_a_redirect_to_no_address_is_refused(refusal, web, onward):
    web.put(URL, redirect(onward))
    assert refusal(URL) == "leads from files.example to an address that is none"


@pytest.mark.parametrize("onward", ["/a.safetensors?key=hush", "?again=hush"])
def test_redirects_end(refusal, web, onward):
    web.put(URL, redirect(onward))
    assert refusal(URL) == "leads from one address to the next without an end"
    assert web.requests(URL) < 20


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_with_its_query_as_it_is(bring, web, code):
    onward = "/b%2Fc.safetensors?sig=a%2Bb%3D&x=%2F+%7E"
    seen = []

    def note(request):
        seen.append(request.path)
        whole(lora())(request)

    web.put(URL, redirect(onward, code))
    web.put("https://files.example/b%2Fc.safetensors", note)
    assert bring(URL)
    assert seen == [onward]


def authorizations(web):
    return {
        (url.split("/")[2], headers["Authorization"])
        for url, headers in web.asked
        if "Authorization" in headers
    }


def test_tokens_go_to_their_own_hosts_alone(bring, web):
    web.put_hub("owner/name", {"a.safetensors": lora(1)}, COMMIT)
    web.put(
        "https://civitai.com/api/download/models/7", redirect(f"https://{STORAGE}/7?sig=x", 307)
    )
    web.put(f"https://{STORAGE}/7", redirect(URL))
    web.put(URL, lora(2))
    bring("owner/name", "https://civitai.com/api/download/models/7", **TOKENS)
    assert authorizations(web) == {
        ("huggingface.co", "Bearer hf_hush"),
        ("civitai.com", "Bearer civitai_hush"),
    }
    assert {CDN, STORAGE, "files.example"} <= {url.split("/")[2] for url, _ in web.asked}


@pytest.mark.parametrize(
    "host", ["CIVITAI.com", "civitai.com:443", "civitai.com.", "@civitai.com", ":@civitai.com"]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_host_gets_its_token_however_it_is_spelled(bring, web, host, is_first):
    url = f"https://{host}/api/download/models/7"
    web.put("https://civitai.com/api/download/models/7", lora())
    web.put(URL, redirect(url))
    bring(url if is_first else URL, **TOKENS)
    assert authorizations(web) == {("civitai.com", "Bearer civitai_hush")}


@pytest.mark.parametrize(
    "headers",
    [{"X-Linked-Size": "9" * 5000}, {"Content-Range": f"bytes 0-/{'9' * 5000}"}],
    ids=lambda headers: next(iter(headers)),
)
def test_a_size_that_no_file_has_is_no_size(bring, web, headers):
    rest = {"Content-Range": "bytes 0-"}
    web.put(URL, lambda request: request.answer(206, lora(), {**rest, **headers}))
    assert bring(URL)


def test_a_redirects_user_and_password_are_not_sent(bring, web):
    web.put(URL, redirect("https://user:hush@files.example/b"))
    web.put("https://files.example/b", lora())
    bring(URL, **TOKENS)
    assert authorizations(web) == set()


def test_without_the_hub_among_the_hosts_it_is_not_asked(refusal, web):
    said = refusal("owner/name", lora_hosts="civitai.com")
    assert said == "is at huggingface.co, which is none of the worker's LORA_HOSTS"
    assert web.asked == []
