import pytest
from pydantic import SecretStr

from flux_worker.delivery import bucket
from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.settings import Settings

R2 = "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("url", "name", "endpoint", "found", "region", "addressing"),
    [
        (
            "https://photos.s3.eu-west-1.amazonaws.com",
            None,
            "https://s3.eu-west-1.amazonaws.com",
            "photos",
            "eu-west-1",
            "virtual",
        ),
        (
            "https://photos.s3.eu-west-1.amazonaws.com/",
            "photos",
            "https://s3.eu-west-1.amazonaws.com",
            "photos",
            "eu-west-1",
            "virtual",
        ),
        (
            "https://s3.eu-west-1.amazonaws.com",
            "photos",
            "https://s3.eu-west-1.amazonaws.com",
            "photos",
            "eu-west-1",
            "virtual",
        ),
        (
            "https://a.b.s3.eu-west-1.amazonaws.com",
            None,
            "https://s3.eu-west-1.amazonaws.com",
            "a.b",
            "eu-west-1",
            "path",
        ),
        (
            "https://s3.amazonaws.com",
            "photos",
            "https://s3.amazonaws.com",
            "photos",
            "us-east-1",
            "virtual",
        ),
        (f"https://{R2}", "photos", f"https://{R2}", "photos", "auto", "path"),
        (f"https://{R2}/photos", None, f"https://{R2}", "photos", "auto", "path"),
        (f"https://photos.{R2}", None, f"https://{R2}", "photos", "auto", "virtual"),
        (
            "https://storage.googleapis.com",
            "photos",
            "https://storage.googleapis.com",
            "photos",
            "auto",
            "path",
        ),
        (
            "https://photos.nyc3.digitaloceanspaces.com",
            None,
            "https://nyc3.digitaloceanspaces.com",
            "photos",
            "nyc3",
            "virtual",
        ),
        (
            "https://s3.us-west-004.backblazeb2.com",
            "photos",
            "https://s3.us-west-004.backblazeb2.com",
            "photos",
            "us-west-004",
            "path",
        ),
        (
            "https://s3api-eu-ro-1.runpod.io",
            "volume",
            "https://s3api-eu-ro-1.runpod.io",
            "volume",
            "eu-ro-1",
            "path",
        ),
        ("http://127.0.0.1:8333", "flux", "http://127.0.0.1:8333", "flux", "us-east-1", "path"),
        ("http://127.0.0.1:8333/flux", None, "http://127.0.0.1:8333", "flux", "us-east-1", "path"),
        (
            "https://flux.minio.example.com:9000",
            "flux",
            "https://minio.example.com:9000",
            "flux",
            "us-east-1",
            "virtual",
        ),
        (
            "https://minio.example.com",
            "flux",
            "https://minio.example.com",
            "flux",
            "us-east-1",
            "path",
        ),
        (
            "http://a.b.s3.eu-west-1.amazonaws.com",
            None,
            "http://s3.eu-west-1.amazonaws.com",
            "a.b",
            "eu-west-1",
            "virtual",
        ),
        (
            "https://minio.example.com",
            None,
            "https://minio.example.com",
            "",
            "us-east-1",
            "path",
        ),
    ],
)
def test_shapes_of_endpoint_urls(url, name, endpoint, found, region, addressing):
    assert bucket.locate(url, name) == bucket.Address(endpoint, found, region, addressing)


@pytest.mark.parametrize(
    ("url", "name", "endpoint", "region"),
    [
        ("http://[::1]:8333", "b", "http://[::1]:8333", "us-east-1"),
        ("http://192.168.1.5:9000", "192", "http://192.168.1.5:9000", "us-east-1"),
        ("https://s3.eu-west-1.amazonaws.com", "s3", None, "eu-west-1"),
        ("https://s3-accelerate.amazonaws.com", "b", None, "us-east-1"),
        ("https://s3-fips.us-gov-west-1.amazonaws.com", "b", None, "us-gov-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", "b", None, "eu-west-1"),
        ("https://s3.oss-cn-hangzhou.aliyuncs.com", "b", None, "cn-hangzhou"),
        (
            "https://ns1.compat.objectstorage.eu-frankfurt-1.oraclecloud.com",
            "b",
            None,
            "eu-frankfurt-1",
        ),
        ("https://ref.supabase.co/storage/v1/s3", "b", None, "us-east-1"),
    ],
)
def test_hosts_and_regions_of_providers(url, name, endpoint, region):
    found = bucket.locate(url, name)
    assert (found.endpoint_url, found.name, found.region) == (endpoint or url, name, region)


def settings(**given):
    return Settings(
        **{
            "bucket_endpoint_url": "http://127.0.0.1",
            "bucket_name": "b",
            "bucket_access_key_id": "i",
            "bucket_secret_access_key": "k",
            **given,
        }
    )


def test_a_given_region_wins():
    assert bucket.from_settings(settings(bucket_region="eu-1")).address.region == "eu-1"


@pytest.mark.parametrize("url", ["cdn.example.com", "//x", "ftp://x", "https://x?y=1", "http://["])
def test_a_malformed_public_url_is_refused(url):
    with pytest.raises(CannotStart, match="BUCKET_PUBLIC_URL must be a URL"):
        bucket.from_settings(settings(bucket_public_url=url))


def test_another_bucket_in_the_host_than_the_named_one_is_refused():
    url = "https://photos.s3.eu-west-1.amazonaws.com"
    with pytest.raises(CannotStart, match="BUCKET_ENDPOINT_URL carries another bucket"):
        bucket.from_settings(settings(bucket_endpoint_url=url, bucket_name="other"))


@pytest.mark.parametrize(
    "url",
    [
        "minio",
        "ftp://host/b",
        "https://",
        "https://user:pw@host",
        "https://user@host",
        "https://:pw@host",
        "https://host/other",
        "https://host/a",
        "https://host?x=1",
        "https://host#x",
        "http://[::1",
        "https://host:port",
    ],
)
def test_malformed_urls_are_refused_in_words(url):
    with pytest.raises(CannotStart, match="BUCKET_ENDPOINT_URL must") as refusal:
        bucket.from_settings(settings(bucket_endpoint_url=url))
    assert "pw" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["https://photos.s3.eu-west-1.amazonaws.com/other", "https://minio.example.com/a/b"]
)
def test_a_path_that_is_no_bucket_is_refused_without_a_name_too(url):
    with pytest.raises(CannotStart, match="must have no path but the bucket's name"):
        bucket.from_settings(settings(bucket_endpoint_url=url, bucket_name=None))


def test_no_bucket_is_configured_by_default():
    assert bucket.from_settings(Settings()) is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"bucket_name": "b"}, "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACC"),
        ({"bucket_prefix": "b"}, "BUCKET_ENDPOINT_URL"),
        ({"bucket_public_url": "https://cdn"}, "BUCKET_ENDPOINT_URL"),
        (
            {
                "bucket_endpoint_url": "https://minio.example.com",
                "bucket_access_key_id": "i",
                "bucket_secret_access_key": "k",
            },
            "BUCKET_NAME",
        ),
        (
            {
                "bucket_endpoint_url": "https://photos.s3.eu-west-1.amazonaws.com",
                "bucket_access_key_id": "i",
            },
            "BUCKET_SECRET_ACCESS_KEY,",
        ),
    ],
)
def test_a_half_configured_bucket_names_what_is_missing(given, missing):
    with pytest.raises(CannotStart, match="half configured") as refusal:
        bucket.from_settings(Settings(**given))
    assert missing in str(refusal.value)


@pytest.mark.parametrize("lost", ["endpoint_url", "access_key_id", "secret_access_key", "name"])
def test_what_is_missing_is_named_alone(lost):
    with pytest.raises(CannotStart, match=f": set BUCKET_{lost.upper()}, or remove every"):
        bucket.from_settings(settings(**{f"bucket_{lost}": None}))


def test_what_is_configured_is_the_bucket():
    found = bucket.from_settings(settings(bucket_prefix="p/", bucket_public_url="https://cdn"))
    assert found.address == bucket.Address("http://127.0.0.1", "b", "us-east-1", "path")
    assert (found.access_key_id, found.secret_access_key) == (SecretStr("i"), SecretStr("k"))
    assert (found.prefix, found.public_url) == ("p/", "https://cdn")


def test_secrets_are_never_printed():
    settings = Settings(
        bucket_endpoint_url="http://127.0.0.1",
        bucket_name="b",
        bucket_access_key_id="KEYID",
        bucket_secret_access_key="SECRET",
        hf_token="TOKEN",
    )
    for shown in (repr(settings), repr(bucket.from_settings(settings))):
        assert not any(word in shown for word in ("KEYID", "SECRET", "TOKEN"))


CONFIG = {
    "accessId": "id",
    "accessSecret": "hush",
    "bucketName": "b",
    "endpointUrl": "https://s3.eu-west-1.amazonaws.com",
}


def test_a_jobs_bucket():
    found = bucket.from_job(CONFIG)
    assert (found.address.name, found.address.region) == ("b", "eu-west-1")
    assert found.secret_access_key == SecretStr("hush")


def test_a_jobs_values_may_be_short_and_have_blanks_around_them():
    found = bucket.from_job(
        {
            "accessId": "i",
            "accessSecret": "k",
            "bucketName": " b ",
            "endpointUrl": " https://s3.eu-west-1.amazonaws.com\n",
            "region": "ignored",
        }
    )
    assert (found.access_key_id, found.secret_access_key) == (SecretStr("i"), SecretStr("k"))
    assert found.address.name == "b"
    assert found.address.endpoint_url == "https://s3.eu-west-1.amazonaws.com"


def test_a_jobs_bucket_may_be_in_the_host():
    url = "https://photos.s3.eu-west-1.amazonaws.com"
    found = bucket.from_job({**CONFIG, "bucketName": "", "endpointUrl": url})
    assert found.address.name == "photos"


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_job_may_bring_no_bucket(nothing):
    assert bucket.from_job(nothing) is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (
            {k: v for k, v in CONFIG.items() if k != "accessId"},
            "s3Config must give accessId as text",
        ),
        ({**CONFIG, "accessSecret": 5, "accessId": ""}, "must give accessId, accessSecret as text"),
        ({**CONFIG, "endpointUrl": " "}, "s3Config must give endpointUrl as text"),
        ({**CONFIG, "endpointUrl": "hush://x"}, "s3Config.endpointUrl must be a URL"),
        (
            {**CONFIG, "endpointUrl": "https://minio", "bucketName": None},
            "must give bucketName as text",
        ),
        ("hush", "must be an object"),
        ([], "must be an object"),
    ],
)
def test_a_malformed_bucket_of_a_job_is_refused_without_repeating_it(config, named):
    with pytest.raises(InvalidRequest, match="Invalid parameter: s3Config") as refusal:
        bucket.from_job(config)
    assert named in str(refusal.value)
    assert "hush" not in str(refusal.value)
