import asyncio
import base64
import hashlib
import json
import logging
import re
import threading
import time
from contextlib import contextmanager, suppress
from threading import Event
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import build_opener, urlopen

import aws
import loopback
import numpy as np
import pytest
from conftest import SMALL, run

from flux_worker.delivery import job_bucket, s3
from flux_worker.delivery.images import encode
from flux_worker.delivery.sick_list import SickList
from flux_worker.delivery.storage import Storage
from flux_worker.settings import Settings
from local_platform.processes.ports import free_ports
from local_platform.processes.s3_server import S3Server

IMAGE = encode(np.zeros((8, 8, 3), np.uint8), "png")


def publish(settings, job_bucket=None, **changes):
    given = {"allow_private_addresses": True, **settings, **changes}
    return asyncio.run(Storage(Settings(**given)).publish(IMAGE, job_bucket))


def path_of(url):
    return urlsplit(url).path


def test_a_jobs_own_keys_are_used_where_the_operator_has_others(make_worker, bucket_settings, s3):
    with S3Server() as their_server:
        config = {
            "accessId": their_server.access_key_id,
            "accessSecret": their_server.secret_access_key,
            "bucketName": "flux",
            "endpointUrl": their_server.endpoint_url,
        }
        answer = run(make_worker(**bucket_settings), SMALL, s3Config=config)
        assert answer["image_url"].startswith(their_server.endpoint_url)
        urlopen(answer["image_url"]).close()


@pytest.fixture
def wire():
    """A server that answers uploads with the given statuses in turn, then takes them all."""
    seen, statuses = [], []

    def take(request):
        etag = hashlib.md5(request.body()).hexdigest()
        seen.append(request)
        request.answer(statuses.pop(0) if statuses else 200, headers={"ETag": f'"{etag}"'})

    with loopback.serving(take) as url:
        yield SimpleNamespace(url=url, seen=seen, statuses=statuses)


def on(wire, **changes):
    given = {
        "bucket_endpoint_url": wire.url,
        "bucket_access_key_id": "id",
        "bucket_secret_access_key": "secret",
        "bucket_name": "photos",
    }
    return publish({**given, **changes})


def test_virtual_hosted_urls_carry_the_bucket_in_the_host(wire, monkeypatch):
    """The server stands in for AWS as a proxy."""
    monkeypatch.setenv("HTTP_PROXY", wire.url)
    url = on(wire, bucket_endpoint_url="http://photos.s3.eu-west-1.amazonaws.com", bucket_name=None)
    assert url.startswith("http://photos.s3.eu-west-1.amazonaws.com/20")
    assert "%2Feu-west-1%2Fs3%2F" in url
    (upload,) = wire.seen
    assert upload.path.startswith("http://photos.s3.eu-west-1.amazonaws.com/20")


def test_the_url_serves_the_file_with_its_type(bucket_settings):
    url = publish(bucket_settings, bucket_prefix="users/a b/")
    assert re.fullmatch(r"/flux/users/a%20b/\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.png", path_of(url))
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["604800"]
    with urlopen(url) as response:
        assert response.read() == IMAGE.data
        assert response.headers["Content-Type"] == "image/png"
        assert "immutable" in response.headers["Cache-Control"]


def test_an_unsigned_url_is_refused(bucket_settings):
    with pytest.raises(HTTPError) as refusal:
        urlopen(publish(bucket_settings).partition("?")[0])
    assert refusal.value.code == 403


def test_an_expired_url_is_refused(bucket_settings):
    url = publish(bucket_settings, url_ttl_seconds=1)
    urlopen(url).close()
    time.sleep(2.1)
    with pytest.raises(HTTPError) as refusal:
        urlopen(url)
    assert refusal.value.code == 403


def test_a_public_url_is_built_on_the_operators_own(bucket_settings, s3):
    url = publish(
        bucket_settings, bucket_public_url="https://cdn.example.com/i/", bucket_prefix="p q/"
    )
    assert url.startswith("https://cdn.example.com/i/p%20q/")
    key = unquote(path_of(url).removeprefix("/i/"))
    assert s3.client().get_object(Bucket="flux", Key=key)["Body"].read() == IMAGE.data


def test_a_bucket_in_the_endpoints_path(bucket_settings):
    settings = {k: v for k, v in bucket_settings.items() if k != "bucket_name"}
    settings["bucket_endpoint_url"] += "/flux"
    urlopen(publish(settings)).close()


def assert_is_image(url):
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/png"
    assert base64.b64decode(data) == IMAGE.data


def test_without_a_bucket_the_image_is_in_the_url_and_the_start_warns(caplog):
    assert_is_image(publish({}))
    assert "No bucket is configured" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket_secret_access_key": "wrong-secret"},
        {"bucket_access_key_id": "wrong-id"},
        {"bucket_endpoint_url": f"http://127.0.0.1:{free_ports(1)[0]}"},
    ],
    ids=["secret", "id", "unreachable"],
)
def test_a_failed_upload_does_not_lose_the_image(bucket_settings, wrong, caplog):
    assert_is_image(publish(bucket_settings, **wrong))
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "upload failed" in line.message
    logged = json.dumps(line.fields) + line.message
    assert "wrong-" not in logged
    assert bucket_settings["bucket_access_key_id"] not in logged


def test_uploads_are_signed_and_carry_no_checksum_which_r2_and_google_refuse(wire):
    assert on(wire).startswith(f"{wire.url}/photos/20")
    (upload,) = wire.seen
    query = parse_qs(urlsplit(upload.path).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].startswith("id/")
    assert "Authorization" not in upload.headers
    names = [name.lower() for name in upload.headers]
    assert not [name for name in names if "checksum" in name or "crc" in name]


@pytest.mark.parametrize(("failures", "kept"), [(3, True), (4, False)])
def test_an_upload_is_tried_four_times(wire, failures, kept):
    wire.statuses += [503] * failures
    assert on(wire).startswith("http") == kept
    assert len(wire.seen) == 4


def test_a_jobs_own_bucket_wins_for_that_job_alone(make_worker, bucket_settings, s3):
    s3.client().create_bucket(Bucket="theirs")
    worker = make_worker(**bucket_settings)
    config = {
        "accessId": s3.access_key_id,
        "accessSecret": s3.secret_access_key,
        "bucketName": "theirs",
        "endpointUrl": s3.endpoint_url,
    }
    theirs = run(worker, SMALL, s3Config=config)["image_url"]
    assert path_of(theirs).startswith("/theirs/")
    urlopen(theirs).close()
    assert path_of(run(worker, SMALL)["image_url"]).startswith("/flux/")


def test_a_jobs_own_bucket_works_where_none_is_configured(s3):
    own = job_bucket.parse(
        {
            "accessId": s3.access_key_id,
            "accessSecret": s3.secret_access_key,
            "bucketName": "flux",
            "endpointUrl": s3.endpoint_url,
        }
    )
    urlopen(publish({}, own)).close()


def test_a_failing_bucket_of_a_job_names_no_secret(make_worker, s3, caplog):
    config = {
        "accessId": "their-id",
        "accessSecret": "their-secret",
        "bucketName": "flux",
        "endpointUrl": s3.endpoint_url,
    }
    answer = run(make_worker(), SMALL, s3Config=config)
    assert answer["image_url"].startswith("data:image/jpeg;base64,")
    logged = "".join(record.message + str(vars(record)) for record in caplog.records)
    assert "their-" not in logged


@pytest.mark.parametrize(
    "endpoint", ["http://s3.amazonaws.com", "http://s3.us-east-1.amazonaws.com"]
)
def test_a_jobs_bucket_in_another_region_gets_a_url_that_works(monkeypatch, endpoint):
    config = {
        "accessId": "id",
        "accessSecret": "secret",
        "bucketName": aws.BUCKET,
        "endpointUrl": endpoint,
    }
    with loopback.serving(aws.Aws()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        url = publish({}, job_bucket.parse(config))
        with build_opener().open(url) as response:
            assert response.read() == IMAGE.data


def test_a_temporary_keys_token_is_in_the_upload_and_in_the_url(wire):
    url = on(wire, bucket_access_key_id="ASIAEXAMPLE", bucket_session_token="a/token==")
    (upload,) = wire.seen
    for signed in (upload.path, url):
        assert parse_qs(urlsplit(signed).query)["X-Amz-Security-Token"] == ["a/token=="]


def test_signed_urls_may_have_a_host_of_their_own(wire):
    url = on(wire, bucket_presign_url="https://s3.example.com", bucket_region="eu-1")
    assert url.startswith("https://s3.example.com/photos/20")
    assert "%2Feu-1%2Fs3%2F" in url
    assert wire.seen[0].path.startswith("/photos/20")


def test_profiles_and_variables_for_other_programs_mean_nothing(wire, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile nope\n")
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-key")
    monkeypatch.setenv("AWS_REGION", "moon-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert_is_image(publish({}))
    assert on(wire).startswith(f"{wire.url}/photos/20")
    assert "of-another-key" not in str(wire.seen[0].headers)


# -- a sick bucket


@pytest.fixture
def quick(monkeypatch):
    """Uploads are given up soon."""
    monkeypatch.setattr(s3, "UPLOAD_PATIENCE", 0.5)


def say_nothing(request, over):
    over.wait(60)


def trickle(request, over):
    request.wfile.write(b"HTTP/1.1 200 ")
    while not over.wait(0.05):
        request.wfile.write(b"O")


def flood(request, over):
    request.send_response(503)
    request.end_headers()
    with suppress(OSError):
        while not over.is_set():
            request.wfile.write(bytes(1 << 20))


@contextmanager
def sick_server(sickness):
    over, seen = Event(), []

    def handle(request):
        seen.append(request)
        with suppress(OSError):
            sickness(request, over)
        request.close_connection = True

    with loopback.serving(handle) as url:
        try:
            yield SimpleNamespace(url=url, seen=seen, over=over)
        finally:
            over.set()


@pytest.mark.parametrize("sickness", [say_nothing, trickle, flood])
@pytest.mark.parametrize("whose", ["operator's", "job's"])
def test_a_sick_bucket_is_given_up_and_left_alone_for_a_while(quick, sickness, whose, caplog):
    with sick_server(sickness) as server:
        given = {
            "bucket_endpoint_url": server.url,
            "bucket_access_key_id": "id",
            "bucket_secret_access_key": "secret",
            "bucket_name": "photos",
        }
        own = job_bucket.parse(
            {
                "accessId": "id",
                "accessSecret": "secret",
                "bucketName": "photos",
                "endpointUrl": server.url,
            }
        )
        is_jobs = whose == "job's"
        storage = Storage(Settings(allow_private_addresses=True, **({} if is_jobs else given)))
        for _ in range(2):
            assert_is_image(asyncio.run(storage.publish(IMAGE, own if is_jobs else None)))
        asked = len(server.seen)
        assert_is_image(asyncio.run(storage.publish(IMAGE, own if is_jobs else None)))
        assert len(server.seen) == asked
    assert "failed lately" in caplog.text


def test_a_bucket_that_is_well_again_is_used_again(wire, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("flux_worker.delivery.storage.SickList", lambda: SickList(lambda: now[0]))
    given = {"bucket_access_key_id": "id", "bucket_secret_access_key": "secret"}
    storage = Storage(Settings(bucket_endpoint_url=f"{wire.url}/photos", **given))
    wire.statuses += [503] * 4
    assert_is_image(asyncio.run(storage.publish(IMAGE)))
    assert_is_image(asyncio.run(storage.publish(IMAGE)))
    now[0] += 600
    assert asyncio.run(storage.publish(IMAGE)).startswith(wire.url)


def test_a_bucket_that_refuses_at_once_is_asked_each_time(wire):
    given = {"bucket_access_key_id": "id", "bucket_secret_access_key": "secret"}
    storage = Storage(Settings(bucket_endpoint_url=f"{wire.url}/photos", **given))
    wire.statuses += [403]
    assert_is_image(asyncio.run(storage.publish(IMAGE)))
    assert asyncio.run(storage.publish(IMAGE)).startswith(wire.url)


def test_a_stopped_jobs_upload_ends_at_once():
    async def stop_it(storage, server):
        upload = asyncio.create_task(storage.publish(IMAGE))
        while not server.seen:
            await asyncio.sleep(0.01)
        threads = threading.active_count()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert threading.active_count() <= threads

    with sick_server(say_nothing) as server:
        given = {"bucket_access_key_id": "id", "bucket_secret_access_key": "secret"}
        storage = Storage(Settings(bucket_endpoint_url=f"{server.url}/photos", **given))
        asyncio.run(stop_it(storage, server))


# -- a caller's address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254"])
def test_a_job_that_leads_the_worker_to_a_private_address_is_refused(make_worker, host):
    config = {
        "accessId": "id",
        "accessSecret": "secret",
        "bucketName": "photos",
        "endpointUrl": f"http://{host}:8333",
    }
    answer = run(make_worker(allow_private_addresses=False), SMALL, s3Config=config)
    assert answer["error"].startswith("Invalid parameter: s3Config.endpointUrl leads to a ")


def test_where_a_jobs_bucket_leads_is_checked_again_when_it_is_connected_to(wire):
    own = job_bucket.parse(
        {
            "accessId": "id",
            "accessSecret": "secret",
            "bucketName": "photos",
            "endpointUrl": wire.url,
        }
    )
    assert_is_image(publish({}, own, allow_private_addresses=False))
    assert wire.seen == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_jobs_bucket_can_not_send_the_worker_elsewhere(wire, status):
    def send_on(request):
        request.body()
        request.answer(status, headers={"Location": f"{wire.url}/photos/k"})

    with loopback.serving(send_on) as url:
        own = job_bucket.parse(
            {
                "accessId": "id",
                "accessSecret": "secret",
                "bucketName": "photos",
                "endpointUrl": url,
            }
        )
        assert_is_image(publish({}, own))
    assert wire.seen == []


def test_the_operators_own_bucket_may_be_anywhere(wire):
    assert on(wire, allow_private_addresses=False).startswith(wire.url)


def test_a_malformed_bucket_of_a_job_is_refused_before_anything_is_generated(make_worker):
    answer = run(make_worker(), SMALL, s3Config={"accessId": "x"})
    assert answer == {
        "error": "Invalid parameter: s3Config must give accessSecret, endpointUrl as text"
    }
