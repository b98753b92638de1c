"""Why a bucket didn't do what was asked of it, and which setting mends that.

Only the kind of failure is told: messages of servers and libraries can quote URLs and key ids.
"""

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientError,
    ClientSSLError,
    InvalidURL,
)

from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.s3 import NotStored, Refused
from flux_worker.web import forbidden

SMALL = "{host}, or a proxy before it, doesn't take uploads of this size: allow 10 MB there"
ADVICE = {
    "NoSuchBucket": "there is no such bucket at {host}: set BUCKET_NAME to one that exists, and "
    "BUCKET_ADDRESSING to path or virtual if this server wants it otherwise",
    "InvalidBucketName": "{host} has no bucket of such a name: correct BUCKET_NAME",
    "InvalidAccessKeyId": "{host} doesn't know the key: set BUCKET_ACCESS_KEY_ID to one of its own",
    "SignatureDoesNotMatch": "set BUCKET_SECRET_ACCESS_KEY to the secret that belongs to "
    "BUCKET_ACCESS_KEY_ID; if it does, the server signs for another BUCKET_REGION",
    "InvalidToken": "set BUCKET_SESSION_TOKEN to the token that came with the key",
    "ExpiredToken": "the key has expired: set the BUCKET_… keys and BUCKET_SESSION_TOKEN anew",
    "AccessDenied": "give the key the permission s3:PutObject for {keys}",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "EntityTooLarge": SMALL,
    "413": SMALL,  # of a proxy, which has no S3 code
    "NotImplemented": "{host} doesn't implement an upload's headers",
}
"""What to do about S3's own codes, and a status without one."""
UNKNOWN = "look {code} up in what {host} documents"
NO_CODE = "check that BUCKET_ENDPOINT_URL is an S3 endpoint"
ANOTHER_REGION = "the server signs for another region: set BUCKET_REGION to {region}"


def kind(error: Exception) -> str:
    """Name the failure in a word or two, for a log line."""
    if isinstance(error, Refused):
        return f"{error.status} {error.code}".strip()
    return type(forbidden(error) or error).__name__


def advice(error: Exception, bucket: Bucket) -> str:
    """Say what the operator can do about it, as the end of a sentence."""
    host = bucket.address.host
    if isinstance(error, Refused):
        if error.region:
            return ANOTHER_REGION.format(region=error.region)
        text = ADVICE.get(error.code or str(error.status), UNKNOWN if error.code else NO_CODE)
        keys = f"{bucket.address.name}/{bucket.prefix}*"
        return text.format(host=host, keys=keys, code=error.code)
    if isinstance(error, NotStored):
        return f"what answers at {host} isn't an S3 server: check BUCKET_ENDPOINT_URL and proxies"
    if forbidden(error):
        return "the address isn't one that callers may use"
    if isinstance(error, ClientConnectorDNSError | InvalidURL):
        is_regions = bucket.address.region.lower() in host.split(".")
        region = " and BUCKET_REGION" if is_regions else ""
        return f"the host {host} can't be found: check BUCKET_ENDPOINT_URL{region}"
    if isinstance(error, ClientConnectorCertificateError):
        return f"{host} can't prove that it is that host: check BUCKET_ENDPOINT_URL"
    if isinstance(error, ClientSSLError):
        return (
            f"{host} can't be talked to by TLS: where it speaks plain HTTP, BUCKET_ENDPOINT_URL "
            "begins with http://"
        )
    if isinstance(error, ClientError | TimeoutError | OSError):
        return f"{host} doesn't answer: check BUCKET_ENDPOINT_URL, and that this machine reaches it"
    return "check the bucket's settings"
