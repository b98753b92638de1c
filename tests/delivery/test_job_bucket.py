import pytest
from pydantic import SecretStr

from flux_worker.delivery import job_bucket
from flux_worker.errors import InvalidRequest

CONFIG = {
    "accessId": "id",
    "accessSecret": "hush",
    "bucketName": "b",
    "endpointUrl": "https://s3.eu-west-1.amazonaws.com",
}


def test_a_jobs_bucket():
    found = job_bucket.parse(CONFIG)
    assert (found.address.name, found.address.region) == ("b", "eu-west-1")
    assert found.secret_access_key == SecretStr("hush")


def test_a_jobs_bucket_may_be_in_the_host():
    url = "https://photos.s3.eu-west-1.amazonaws.com"
    found = job_bucket.parse({**CONFIG, "bucketName": "", "endpointUrl": url})
    assert found.address.name == "photos"


@pytest.mark.parametrize("nothing", [None, {}, {"accessId": None}])
def test_a_job_may_bring_no_bucket(nothing):
    assert job_bucket.parse(nothing) is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (
            {k: v for k, v in CONFIG.items() if k != "accessId"},
            "s3Config must give accessId as text",
        ),
        ({**CONFIG, "accessSecret": 5, "accessId": ""}, "must give accessId, accessSecret as text"),
        ({**CONFIG, "endpointUrl": "hush://x"}, "s3Config.endpointUrl must be a URL"),
        (
            {**CONFIG, "endpointUrl": "https://minio", "bucketName": None},
            "must give bucketName as text",
        ),
        ({**CONFIG, "endpointUrl": "http://hush_s3:9000"}, "must have a host of letters, digits"),
        ({**CONFIG, "bucketName": ".."}, "s3Config.bucketName must be the bucket's name"),
        ({**CONFIG, "bucketName": "photos/hush"}, "s3Config.bucketName must be the bucket's name"),
        ({**CONFIG, "region": "EU (hush)"}, "s3Config.region must be the region's code alone"),
        ({**CONFIG, "accessSecret": "hush hush"}, "s3Config.accessSecret must be the key alone"),
        ({**CONFIG, "sessionToken": 5}, "must give sessionToken as text"),
        ({**CONFIG, "accessId": "ASIAHUSH"}, "s3Config.accessId is a temporary key's and needs"),
        (
            {**CONFIG, "prefix": "hush/", "acl": 1},
            "s3Config.prefix is unknown: s3Config has accessId, accessSecret, bucketName, "
            "endpointUrl, region, sessionToken; s3Config.acl is unknown",
        ),
        ("hush", "must be an object"),
        ([], "must be an object"),
    ],
)
def test_a_malformed_bucket_of_a_job_is_refused_without_repeating_it(config, named):
    with pytest.raises(InvalidRequest, match="Invalid parameter: s3Config") as refusal:
        job_bucket.parse(config)
    assert named in str(refusal.value)
    assert "hush" not in str(refusal.value).lower()


def test_a_jobs_bucket_may_say_its_region_and_bring_a_temporary_key():
    found = job_bucket.parse(
        {
            **CONFIG,
            "accessId": "ASIAEXAMPLE",
            "sessionToken": "token",
            "endpointUrl": "https://s3.amazonaws.com",
            "region": "eu-west-1",
        }
    )
    assert found.session_token == SecretStr("token")
    assert found.address.url("k") == "https://b.s3.eu-west-1.amazonaws.com/k"


def test_what_is_null_is_left_out():
    given = {**CONFIG, "region": None, "sessionToken": None, "prefix": None}
    assert job_bucket.parse(given) == job_bucket.parse(CONFIG)
