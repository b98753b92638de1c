import base64
import json
import logging
import re
import time
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import urlopen

import loopback
import numpy as np
import pytest
from conftest import SMALL, run

from flux_worker.delivery import bucket, storage
from flux_worker.delivery.images import encode
from flux_worker.delivery.storage import Storage
from flux_worker.settings import Settings
from local_platform.processes.ports import free_ports
from local_platform.processes.s3_server import S3Server

IMAGE = encode(np.zeros((8, 8, 3), np.uint8), "png")


def publish(settings, job_bucket=None, **changes):
    return Storage(Settings(**{**settings, **changes})).publish(IMAGE, job_bucket)


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
        request.body()
        seen.append(request)
        request.answer(statuses.pop(0) if statuses else 200)

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
    assert upload.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=id/")
    names = [name.lower() for name in upload.headers]
    assert not [name for name in names if "checksum" in name or "crc" in name]


@pytest.mark.parametrize(("failures", "kept"), [(3, True), (4, False)])
def test_an_upload_is_tried_four_times(wire, failures, kept):
    wire.statuses += [503] * failures
    assert on(wire).startswith("http") == kept
    assert len(wire.seen) == 4


def test_nobody_waits_long_for_a_bucket_that_says_nothing():
    config = storage.client_config("path")
    assert (config.connect_timeout, config.read_timeout) == (5, 30)


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
    own = bucket.from_job(
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


def test_a_malformed_bucket_of_a_job_is_refused_before_anything_is_generated(make_worker):
    answer = run(make_worker(), SMALL, s3Config={"accessId": "x"})
    assert answer == {
        "error": "Invalid parameter: s3Config must give accessSecret, endpointUrl as text"
    }
