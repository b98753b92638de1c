import pytest

from flux_worker.delivery import address

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
            "https://flux.minio.example.com:9000",
            "flux",
            "us-east-1",
            "path",
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
    assert address.locate(url, name) == address.Address(endpoint, found, region, addressing)


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
    found = address.locate(url, name)
    assert (found.endpoint_url, found.name, found.region) == (endpoint or url, name, region)


@pytest.mark.parametrize(
    ("url", "addressing", "object_url"),
    [
        ("http://flux.example.test:9000", "auto", "http://flux.example.test:9000/flux/k"),
        ("http://flux.example.test:9000", "path", "http://flux.example.test:9000/flux/k"),
        ("http://flux.example.test:9000", "virtual", "http://flux.example.test:9000/k"),
        ("http://example.test:9000", "virtual", "http://flux.example.test:9000/k"),
        ("https://s3.eu-west-1.amazonaws.com", "path", "https://s3.eu-west-1.amazonaws.com/flux/k"),
        (
            "https://flux.s3.eu-west-1.amazonaws.com",
            "path",
            "https://s3.eu-west-1.amazonaws.com/flux/k",
        ),
        ("https://ref.supabase.co/storage/v1/s3", "auto", None),
    ],
)
def test_the_addressing_decides_where_the_bucket_stands(url, addressing, object_url):
    assert address.locate(url, "flux", addressing).url("k") == (object_url or f"{url}/flux/k")


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("https://s3.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3.us-east-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("https://s3-us-west-2.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        (
            "https://s3.dualstack.us-east-1.amazonaws.com",
            "https://s3.dualstack.eu-west-1.amazonaws.com",
        ),
        ("https://s3-accelerate.amazonaws.com", "https://s3-accelerate.amazonaws.com"),
        ("http://minio.example.com:9000", "http://minio.example.com:9000"),
    ],
)
def test_another_region_has_another_host_on_aws_alone(url, moved):
    found = address.locate(url, "photos").in_region("eu-west-1")
    assert (found.endpoint_url, found.region) == (moved, "eu-west-1")


def test_a_key_is_quoted_once():
    found = address.locate("http://127.0.0.1:8333", "flux")
    assert found.url("a b/ü%~.png") == "http://127.0.0.1:8333/flux/a%20b/%C3%BC%25~.png"
