import asyncio
from ssl import SSLCertVerificationError
from types import SimpleNamespace

import pytest
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ServerDisconnectedError,
)

from flux_worker.delivery import bucket, causes
from flux_worker.delivery.s3 import NotStored, Refused
from flux_worker.guard import ForbiddenAddress
from flux_worker.settings import Settings

PHOTOS = bucket.from_settings(
    Settings(
        bucket_endpoint_url="https://s3.example.com",
        bucket_name="photos",
        bucket_access_key_id="id",
        bucket_secret_access_key="secret",
        bucket_prefix="p",
    )
)
SOMEWHERE = SimpleNamespace(host="s3.example.com", port=443, ssl=True)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (Refused(404, "NoSuchBucket"), "404 NoSuchBucket", "set BUCKET_NAME to one that exists"),
        (Refused(403, "InvalidAccessKeyId"), "403 InvalidAccessKeyId", "set BUCKET_ACCESS_KEY_ID"),
        (Refused(400, "ExpiredToken"), "400 ExpiredToken", "BUCKET_SESSION_TOKEN anew"),
        (Refused(403, "AccessDenied"), "403 AccessDenied", "s3:PutObject for photos/p/*"),
        (Refused(301, "PermanentRedirect", "eu-1"), "301 Perm", "set BUCKET_REGION to eu-1"),
        (Refused(405), "405", "check that BUCKET_ENDPOINT_URL is an S3 endpoint"),
        (Refused(413), "413", "doesn't take uploads of this size: allow 10 MB there"),
        (Refused(400, "EntityTooLarge"), "400 E", "doesn't take uploads of this size"),
        (Refused(400, "Strange"), "400 Strange", "look Strange up in what s3.example.com docume"),
        (NotStored(), "NotStored", "isn't an S3 server: check BUCKET_ENDPOINT_URL"),
        (
            ClientConnectorDNSError(SOMEWHERE, OSError("hush")),
            "ClientConnectorDNSError",
            "s3.example.com can't be found: check BUCKET_ENDPOINT_URL",
        ),
        (
            ClientConnectorCertificateError(SOMEWHERE, SSLCertVerificationError("hush")),
            "ClientConnectorCertificateError",
            "can't prove that it is that host",
        ),
        (ServerDisconnectedError("hush"), "ServerDisconnectedError", "doesn't answer: check"),
        (TimeoutError(), "TimeoutError", "doesn't answer: check BUCKET_ENDPOINT_URL"),
        (asyncio.IncompleteReadError(b"", 1), "IncompleteReadError", "check the bucket's settings"),
        (
            ClientConnectorDNSError(SOMEWHERE, ForbiddenAddress("leads astray")),
            "ForbiddenAddress",
            "isn't one that callers may use",
        ),
    ],
)
def test_each_failure_has_its_word_and_the_setting_that_mends_it(error, kind, advice):
    assert causes.kind(error).startswith(kind)
    assert advice in causes.advice(error, PHOTOS)
    assert "hush" not in causes.kind(error) + causes.advice(error, PHOTOS)


@pytest.mark.parametrize(("region", "blamed"), [("Frankfurt", True), (None, False)])
def test_a_host_that_is_made_of_the_region_blames_that_too(region, blamed):
    """AWS has the region in the host, and BUCKET_REGION puts it there."""
    found = bucket.from_settings(
        Settings(
            bucket_endpoint_url="https://s3.amazonaws.com/photos",
            bucket_access_key_id="id",
            bucket_secret_access_key="secret",
            bucket_region=region,
        )
    )
    advice = causes.advice(ClientConnectorDNSError(SOMEWHERE, OSError()), found)
    assert advice.endswith("check BUCKET_ENDPOINT_URL" + " and BUCKET_REGION" * blamed)


@pytest.mark.parametrize("code", causes.ADVICE)
def test_every_advice_is_a_whole_one(code):
    assert "{" not in causes.advice(Refused(400, code), PHOTOS)
