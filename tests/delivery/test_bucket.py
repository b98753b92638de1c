import pytest
from pydantic import SecretStr

from flux_worker.delivery import bucket
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings


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


@pytest.mark.parametrize(
    "url",
    [
        *("cdn.example.com", "//x", "ftp://x", "https://x?y=1", "http://[", "http://[::1]x"),
        *("https://u:p@x", "https://x#y", "https://x/a b", "https://x/ü", "https://x:99999"),
        *("https://x:0", "https://x\\y"),
    ],
)
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
        "https://host:0",
        "https://ho st",
        "https://host\x00",
        "https://[::1]x",
        "https://my_minio:9000",
        "https://-host",
        "https://a..b",
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


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("name", "photos/flux", "BUCKET_NAME must be the bucket's name alone, such as photos"),
        ("name", "s3://photos", "BUCKET_NAME must be the bucket's name alone"),
        ("name", "..", "BUCKET_NAME must be the bucket's name alone"),
        ("region", "EU (Ireland) eu-west-1", "BUCKET_REGION must be the region's code alone"),
        ("access_key_id", "id secret", "BUCKET_ACCESS_KEY_ID must be the key alone"),
        ("secret_access_key", "hush\nhush", "BUCKET_SECRET_ACCESS_KEY must be the key alone"),
        ("session_token", "hush hush", "BUCKET_SESSION_TOKEN must be the key alone"),
        ("prefix", "a/../b", "BUCKET_PREFIX must be folders"),
        ("prefix", "a//b", "BUCKET_PREFIX must be folders"),
        ("presign_url", "minio:9000", "BUCKET_PRESIGN_URL must be a URL"),
    ],
)
def test_the_setting_that_is_wrong_is_blamed_and_no_other(setting, value, says):
    with pytest.raises(CannotStart) as refusal:
        bucket.from_settings(settings(**{f"bucket_{setting}": value}))
    assert str(refusal.value).startswith(says)
    assert "BUCKET_ENDPOINT_URL" not in str(refusal.value)
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "prefix"),
    [("", ""), ("/", ""), ("images", "images/"), ("images/", "images/"), ("/a b/c/", "a b/c/")],
)
def test_a_prefix_ends_with_one_slash_and_begins_with_none(given, prefix):
    found = bucket.from_settings(settings(bucket_prefix=given))
    assert found.prefix == prefix
    assert found.new_key("png").startswith(f"{prefix}20")


def test_a_temporary_key_needs_its_token():
    with pytest.raises(CannotStart, match="temporary one: set BUCKET_SESSION_TOKEN"):
        bucket.from_settings(settings(bucket_access_key_id="ASIAEXAMPLE"))
    found = bucket.from_settings(
        settings(bucket_access_key_id="ASIAEXAMPLE", bucket_session_token="token")
    )
    assert found.session_token.get_secret_value() == "token"


def test_urls_begin_with_one_thing_or_another():
    with pytest.raises(CannotStart, match="only one of BUCKET_PUBLIC_URL and BUCKET_PRESIGN_URL"):
        bucket.from_settings(
            settings(bucket_public_url="https://cdn.example", bucket_presign_url="https://s3.here")
        )


def test_a_given_region_is_in_awss_host_too():
    found = bucket.from_settings(
        settings(bucket_endpoint_url="https://s3.amazonaws.com", bucket_region="eu-west-1")
    )
    assert found.address.url("k") == "https://b.s3.eu-west-1.amazonaws.com/k"
