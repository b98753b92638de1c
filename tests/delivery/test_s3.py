import asyncio
import base64
import gc
import hashlib
import weakref
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import loopback
import pytest

from flux_worker import web
from flux_worker.delivery import bucket, s3
from flux_worker.delivery.s3 import NotStored, Refused
from flux_worker.settings import Settings

DATA = b"\x89PNG"
MD5 = hashlib.md5(DATA).hexdigest()


def bucket_at(url, **changes):
    given = {
        "bucket_endpoint_url": url,
        "bucket_access_key_id": "id",
        "bucket_secret_access_key": "secret",
        "bucket_name": "photos",
    }
    return bucket.from_settings(Settings(**{**given, **changes}))


def put(*answers, key="k"):
    """Upload to a server that gives these answers in turn; return what comes of it, and it."""
    seen, left = [], list(answers)

    def take(request):
        seen.append(
            SimpleNamespace(path=request.path, headers=request.headers, body=request.body())
        )
        request.answer(*left.pop(0))

    async def putting(url):
        async with web.session() as to:
            return await s3.put(to, bucket_at(url), key, DATA, "image/png", "no-store")

    with loopback.serving(take) as url:
        return asyncio.run(putting(url)), seen


def test_an_upload_says_what_it_is_and_proves_it():
    stored, (upload,) = put((200, b"", {"ETag": f'"{MD5}"'}), key="a b/ü~.png")
    assert upload.path.partition("?")[0] == "/photos/a%20b/%C3%BC~.png"
    assert upload.body == DATA
    assert upload.headers["Content-Type"] == "image/png"
    assert base64.b64decode(upload.headers["Content-MD5"]).hex() == MD5
    assert upload.headers["Cache-Control"] == "no-store"
    (signed,) = parse_qs(urlsplit(upload.path).query)["X-Amz-SignedHeaders"]
    assert {"cache-control", "content-md5", "content-type", "host"} <= set(signed.split(";"))
    assert (stored.key, stored.version) == ("a b/ü~.png", None)


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{MD5}"'},
        {"ETag": MD5.upper()},  # Alibaba's
        {"ETag": f'W/"{MD5}"'},  # of a proxy that changes answers
        {"ETag": '"CKih16GjycICEAE="'},
        {"ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"},
    ],
)
def test_what_says_that_it_has_the_object_has_it(headers):
    assert put((200, b"", headers))[0].key == "k"


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": ""}, {"ETag": f'"{"0" * 32}"'}, {"ETag": 'W/"15-abc"'}, {"ETag": '"65a1-264"'}],
)
def test_what_does_not_say_so_has_nothing(headers):
    with pytest.raises(NotStored):
        put((200, b"<html>Log in", headers))


def test_the_version_is_kept_where_there_is_one():
    for told, version in (("3sL4.kq_", "3sL4.kq_"), ("null", None)):
        stored, _ = put((200, b"", {"ETag": MD5, "x-amz-version-id": told}))
        assert stored.version == version


@pytest.mark.parametrize(
    ("answer", "region"),
    [
        ((301, b"", {"x-amz-bucket-region": "eu-1"}), "eu-1"),
        ((400, b"<Error><Code>X</Code><Region>eu-1</Region></Error>"), "eu-1"),
        ((400, b"<Message>the region 'us-east-1' is wrong; expecting 'eu-1'</Message>"), "eu-1"),
        ((301, b"<Endpoint>photos.s3-eu-west-1.amazonaws.com</Endpoint>"), "eu-west-1"),
    ],
)
def test_the_object_goes_to_the_region_that_the_server_asks_for(answer, region):
    stored, (first, second) = put(answer, (200, b"", {"ETag": MD5}))
    assert stored.address.region == region
    assert "%2Fus-east-1%2Fs3%2F" in first.path
    assert f"%2F{region}%2Fs3%2F" in second.path


@pytest.mark.parametrize(
    "answer",
    [
        (403, b"<Error><Code>AccessDenied</Code><Region>eu-1</Region></Error>"),
        (400, b"", {"x-amz-bucket-region": "eu-1.evil.example/"}),
        (400, b"", {"x-amz-bucket-region": "us-east-1"}),
        (307, b"<Error><Code>TemporaryRedirect</Code></Error>"),
        (302, b"", {"Location": "/login"}),
        (206, b"", {"ETag": MD5}),
    ],
)
def test_what_names_no_other_region_is_refused_at_once(answer):
    with pytest.raises(Refused) as refusal:
        put(answer)
    assert refusal.value.status == answer[0]


@pytest.mark.parametrize(
    "answer", [(500,), (503,), (429,), (400, b"<Error><Code>RequestTimeout</Code></Error>")]
)
def test_what_passes_is_tried_again(answer):
    _, seen = put(answer, (200, b"", {"ETag": MD5}))
    assert len(seen) == 2


def test_a_url_is_signed_for_the_region_of_the_bucket():
    signed = s3.url_of(bucket_at("https://s3.example.com", bucket_region="eu-1"), "a b", 60)
    assert signed.startswith("https://s3.example.com/photos/a%20b?X-Amz-")
    assert "%2Feu-1%2Fs3%2F" in signed
    assert "X-Amz-Expires=60" in signed
    public = bucket_at("https://s3.example.com", bucket_public_url="https://cdn.example.com/")
    assert s3.url_of(public, "a b", 60) == "https://cdn.example.com/a%20b"


def test_neither_profiles_nor_shared_files_of_other_programs_matter(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\nuse_fips_endpoint = true\nregion = mars-1\n")
    for name, value in {
        "AWS_PROFILE": "nope",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_SESSION_TOKEN": "somebody's",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_ENDPOINT_URL_S3": "https://elsewhere.example.com",
    }.items():
        monkeypatch.setenv(name, value)
    s3._session.cache_clear()
    signed = s3.url_of(bucket_at("https://s3.eu-west-1.amazonaws.com"), "k", 60)
    assert signed.startswith("https://photos.s3.eu-west-1.amazonaws.com/k?X-Amz-")
    assert "Security-Token" not in signed


def test_boto3s_client_is_made_once_for_a_bucket_and_gone_with_it(monkeypatch):
    made = []

    def client(*given):
        made.append(weakref.ref(new := real(*given)))
        return new

    real = s3._new_client
    monkeypatch.setattr(s3, "_new_client", client)
    to = bucket_at("http://127.0.0.1:9")
    assert len({s3.url_of(to, key, 60).partition("?")[0] for key in ("a", "b")}) == 2
    assert len(made) == 1
    del to
    gc.collect()  # a client holds itself
    assert made[0]() is None
