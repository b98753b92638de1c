import asyncio
import re
import socket
from urllib.parse import urlsplit

import aws
import loopback
import pytest
from fault_proxy import FaultProxy

from flux_worker.delivery import bucket, rehearsal, s3
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings
from local_platform.processes.ports import free_ports


def rehearse(settings, **changes):
    found = bucket.from_settings(Settings(**{**settings, **changes}))
    return asyncio.run(rehearsal.rehearse(found, 60))


def refusal_of(settings, **changes):
    with pytest.raises(CannotStart) as refusal:
        rehearse(settings, **changes)
    return str(refusal.value)


def given(url, **changes):
    return {
        "bucket_endpoint_url": url,
        "bucket_access_key_id": "id",
        "bucket_secret_access_key": "secret",
        "bucket_name": aws.BUCKET,
        **changes,
    }


def versions(s3, name):
    listed = s3.client().list_object_versions(Bucket=name)
    return listed.get("Versions", []) + listed.get("DeleteMarkers", [])


@pytest.fixture
def proxy(s3):
    """Stands before the S3 server, and notes what it is asked."""
    with FaultProxy(s3.endpoint_url) as before:
        before.seen = []
        before.fault = lambda *request: before.seen.append(request)
        yield before


def test_it_goes_an_images_way_and_leaves_nothing_behind(bucket_settings, proxy, s3, caplog):
    rehearse(bucket_settings, bucket_endpoint_url=proxy.url, bucket_prefix="tried")
    (put, path, content), (get, url, _), (delete, removed, _) = proxy.seen
    assert (put, get, delete) == ("PUT", "GET", "DELETE")
    (shared,) = {urlsplit(each).path for each in (path, url, removed)}
    assert re.fullmatch(r"/flux/tried/\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.png", shared)
    assert b"flux-worker" in content
    assert s3.client().list_objects_v2(Bucket="flux", Prefix="tried/")["KeyCount"] == 0
    assert "could not be removed" not in caplog.text


def test_nothing_is_left_behind_in_a_bucket_that_keeps_versions(bucket_settings, s3):
    s3.client().create_bucket(Bucket="versioned")
    s3.client().put_bucket_versioning(
        Bucket="versioned", VersioningConfiguration={"Status": "Enabled"}
    )
    rehearse(bucket_settings, bucket_name="versioned")
    assert versions(s3, "versioned") == []


def test_a_bucket_with_object_lock_takes_it(bucket_settings, s3):
    s3.client().create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    rehearse(bucket_settings, bucket_name="locked")
    assert versions(s3, "locked") == []


def test_an_object_that_stays_is_told_and_no_reason_to_end(bucket_settings, proxy, caplog):
    proxy.fail(403, when=lambda method, path, body: method == "DELETE")
    rehearse(bucket_settings, bucket_endpoint_url=proxy.url)
    assert "could not be removed" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://s3.amazonaws.com",
        "http://photos.s3.us-east-1.amazonaws.com",
        "http://s3.us-east-1.amazonaws.com",
    ],
)
@pytest.mark.parametrize("tells_region_in_header", [True, False])
def test_a_bucket_in_another_region_is_found_there(monkeypatch, url, tells_region_in_header):
    cloud = aws.Aws()
    cloud.tells_region_in_header = tells_region_in_header
    with loopback.serving(cloud) as server:
        monkeypatch.setenv("HTTP_PROXY", server)
        found = rehearse(given(url))
    assert found.address.region == aws.REGION
    assert [method for method, _, _ in cloud.seen] == ["PUT", "PUT", "GET", "DELETE"]
    assert cloud.objects == {}


def test_a_server_by_path_whose_host_begins_with_the_buckets_name(monkeypatch, s3):
    """Its name is the S3 server's behind a proxy; with the bucket in the host, one is created."""
    with FaultProxy(s3.endpoint_url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        seen = []

        def hand_on(method, path, body):
            seen.append(urlsplit(path).path)

        proxy.fault = hand_on
        keys = {
            "bucket_access_key_id": s3.access_key_id,
            "bucket_secret_access_key": s3.secret_access_key,
        }
        rehearse(given("http://flux.example.test:9000", **keys, bucket_name="flux"))
    assert all(path.startswith("/flux/2") for path in seen)
    assert not {each["Name"] for each in s3.client().list_buckets()["Buckets"]} & {"2026"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"bucket_secret_access_key": "wrong"},
            "403 SignatureDoesNotMatch): set BUCKET_SECRET_ACC",
        ),
        ({"bucket_access_key_id": "wrong"}, "403 InvalidAccessKeyId): 127.0.0.1 doesn't know the"),
    ],
)
def test_what_can_be_mended_is_named(bucket_settings, wrong, says):
    assert says in refusal_of(bucket_settings, **wrong)


def test_a_public_url_of_a_bucket_that_is_not_public_is_named(bucket_settings, s3):
    said = refusal_of(bucket_settings, bucket_public_url=f"{s3.endpoint_url}/flux")
    assert said == (
        "An image's URL at BUCKET_PUBLIC_URL answers 403 AccessDenied: set it to where the bucket "
        "flux can be read without a signature, or remove it to have URLs signed."
    )


def test_a_page_that_answers_for_the_image_is_no_image(bucket_settings):
    with loopback.serving(lambda request: request.answer(200, b"<html>Welcome!")) as page:
        said = refusal_of(bucket_settings, bucket_public_url=page)
    assert "BUCKET_PUBLIC_URL answers something else than the image" in said


@pytest.mark.parametrize("status", [503, 429, None])
def test_a_public_url_that_cant_be_reached_from_here_is_told(bucket_settings, caplog, status):
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    if status is None:
        rehearse(bucket_settings, bucket_public_url=nowhere)
    else:
        with loopback.serving(lambda request: request.answer(status)) as cdn:
            rehearse(bucket_settings, bucket_public_url=cdn)
    assert "Image URLs can't be tried from here" in caplog.text


def test_a_public_url_that_trickles_is_told(bucket_settings, caplog, monkeypatch):
    monkeypatch.setattr(rehearsal, "PATIENCE", 0.3)

    def trickle(request):
        request.wfile.write(b"HTTP/1.1 200 ")

    with loopback.serving(trickle) as cdn:
        rehearse(bucket_settings, bucket_public_url=cdn)
    assert "Image URLs can't be tried from here" in caplog.text


def test_a_public_url_that_leads_in_a_circle_is_named(bucket_settings):
    with loopback.serving(lambda request: request.answer(302, headers={"Location": "/"})) as cdn:
        said = refusal_of(bucket_settings, bucket_public_url=cdn)
    assert "BUCKET_PUBLIC_URL answers 302" in said


def test_urls_are_tried_where_they_are_signed_for(bucket_settings, s3, proxy):
    rehearse(bucket_settings, bucket_presign_url=proxy.url)
    assert [method for method, _, _ in proxy.seen] == ["GET"]


def test_an_endpoint_for_urls_that_is_another_servers_is_named(bucket_settings):
    with loopback.serving(lambda request: request.answer(404)) as other:
        said = refusal_of(bucket_settings, bucket_presign_url=other)
    assert said.startswith(
        "An image's URL at BUCKET_PRESIGN_URL answers 404: set it to an endpoint"
    )


def test_a_key_that_may_not_read_is_named(bucket_settings, proxy):
    proxy.fail(403, when=lambda method, path, body: method == "GET")
    said = refusal_of(bucket_settings, bucket_endpoint_url=proxy.url, bucket_prefix="p")
    assert "signed URL answers 403: give the key the permission s3:GetObject for flux/p/*" in said


def test_a_server_that_never_answers_is_named(monkeypatch):
    monkeypatch.setattr(s3, "UPLOAD_PATIENCE", 0.3)
    with loopback.serving(lambda request: request.wfile.write(b"HTTP/1.1 ")) as silent:
        said = refusal_of(given(silent))
    assert "127.0.0.1 doesn't answer: check BUCKET_ENDPOINT_URL" in said


def test_a_server_without_tls_is_named():
    with loopback.serving(lambda request: request.answer(400)) as plain:
        said = refusal_of(given(plain.replace("http://", "https://")))
    assert "127.0.0.1 can't be talked to by TLS: where it speaks plain HTTP" in said


def test_a_page_that_takes_everything_is_no_bucket():
    def log_in(request):
        request.body()
        request.answer(200, b"<html>Log in")

    with loopback.serving(log_in) as portal:
        said = refusal_of(given(portal))
    assert "what answers at 127.0.0.1 isn't an S3 server" in said


def names(addresses):
    """Resolve these names to these addresses."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *given, **options):
        return resolve(addresses.get(host, host), *given, **options)

    return getaddrinfo


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"bucket_endpoint_url": "http://minio:9000"}, True),
        ({"bucket_endpoint_url": "http://minio.storage.svc:9000"}, True),
        ({"bucket_endpoint_url": "http://s3.example.test:9000"}, False),
        (
            {
                "bucket_endpoint_url": "http://minio:9000",
                "bucket_presign_url": "http://s3.example.test:9000",
            },
            False,
        ),
    ],
)
def test_urls_that_only_this_network_understands_are_told(monkeypatch, caplog, s3, settings, warns):
    monkeypatch.setattr(socket, "getaddrinfo", names({"minio.storage.svc": "10.1.2.3"}))
    with FaultProxy(s3.endpoint_url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        keys = {
            "bucket_access_key_id": s3.access_key_id,
            "bucket_secret_access_key": s3.secret_access_key,
        }
        rehearse(given("", **keys, bucket_name="flux") | settings)
    assert ("set BUCKET_PRESIGN_URL to the endpoint that clients reach" in caplog.text) == warns
