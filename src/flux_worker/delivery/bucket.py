"""Which bucket images go to: read from the settings, or from a job's own `s3Config`.

Endpoint URLs come in three shapes, all of them copied from some provider's console: with the bucket
in the host (`https://photos.s3.eu-west-1.amazonaws.com`), in the path
(`https://<account>.r2.cloudflarestorage.com/photos`), or without it.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.settings import Settings

DEFAULT_REGION = "us-east-1"
"""What AWS's global endpoint, MinIO and most self-hosted servers sign for."""

AWS_REGION = r"(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)"
PROVIDERS = [
    (re.compile(r"(?:(?P<bucket>.+)\.)??(?P<host>" + host + ")"), region)
    for host, region in (
        (rf"s3(?:-fips)?(?:\.dualstack)?[.-]{AWS_REGION}\.amazonaws\.com(?:\.cn)?", None),
        (rf"(?:bucket\.)?vpce-[a-z0-9-]+\.s3\.{AWS_REGION}\.vpce\.amazonaws\.com", None),
        (r"s3[a-z0-9-]*\.amazonaws\.com", DEFAULT_REGION),
        (r"s3\.(?P<region>[a-z0-9-]+)\.(?:backblazeb2|wasabisys)\.com", None),
        (r"s3\.wasabisys\.com", DEFAULT_REGION),
        (r"s3\.(?P<region>[a-z0-9-]+)\.scw\.cloud", None),
        (r"s3\.(?P<region>[a-z0-9-]+)\.(?:io|perf)\.cloud\.ovh\.[a-z]+", None),
        (r"s3api-(?P<region>[a-z0-9-]+)\.runpod\.io", None),
        (r"(?P<region>[a-z]{3}\d)\.digitaloceanspaces\.com", None),
        (r"(?:s3\.)?oss-(?P<region>[a-z0-9-]+)\.aliyuncs\.com", None),
        (r"cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com", None),
        (r"[a-z0-9]+\.compat\.objectstorage\.(?P<region>[a-z0-9-]+)\.oraclecloud\.com", None),
        (r"[0-9a-f]{32}(?:\.[a-z]+)?\.r2\.cloudflarestorage\.com", "auto"),
        (r"storage\.googleapis\.com", "auto"),
    )
]

VIRTUAL_HOSTED = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com")
"""Providers that want the bucket in the host: path-style is deprecated or refused there."""

URL_FORM = "must be a URL such as https://s3.eu-west-1.amazonaws.com"


@dataclass(frozen=True)
class Address:
    """Where a bucket is, as far as its endpoint URL says."""

    endpoint_url: str
    """Scheme, host and port, without the bucket."""
    name: str
    """Empty where neither the URL nor the caller gives it."""
    region: str
    addressing: Literal["path", "virtual"]


@dataclass(frozen=True)
class Bucket:
    """All that is needed to write to a bucket and to build URLs of what is in it."""

    address: Address
    access_key_id: SecretStr
    secret_access_key: SecretStr
    prefix: str = ""
    public_url: str | None = None


class S3Config(BaseModel):
    """The bucket that a job brings along, by the platform's names for its four values."""

    model_config = ConfigDict(extra="ignore", strict=True, str_strip_whitespace=True)

    access_id: SecretStr = Field(alias="accessId", min_length=1)
    access_secret: SecretStr = Field(alias="accessSecret", min_length=1)
    bucket_name: str | None = Field(alias="bucketName", default=None)
    endpoint_url: str = Field(alias="endpointUrl", min_length=1)


def locate(endpoint_url: str, name: str | None) -> Address:
    """Split an endpoint URL into its bare endpoint, bucket, region and addressing style.

    Args:
        endpoint_url: with the bucket in its host or its path, or without it. On a host of no known
            provider, a first label that is the bucket's name is taken for the bucket.
        name: the bucket, where the URL doesn't carry it.

    Raises:
        ValueError: what the URL must be, as the end of a sentence.
    """
    try:
        parts = urlsplit(endpoint_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ValueError(URL_FORM) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(URL_FORM)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold nothing but scheme, host, port and bucket")
    in_host, host, region = _split_host(parts.hostname, name)
    if name and in_host not in ("", name):
        raise ValueError("carries another bucket than the one that is named")
    path = parts.path.strip("/")
    if path and path != (name or in_host or path):
        if "/" not in path or not name:
            raise ValueError("must have no path but the bucket's name")
        base = f"/{path}"  # an S3 API below a path, such as Supabase's
    else:
        base = ""
    bucket = name or in_host or path
    if "/" in bucket:
        raise ValueError("must have no path but the bucket's name")
    # A dot in the bucket's name would fall outside the host's wildcard certificate.
    in_certificate = parts.scheme == "http" or "." not in bucket
    virtual = in_certificate and (bool(in_host) or host.endswith(VIRTUAL_HOSTED))
    return Address(
        endpoint_url=f"{parts.scheme}://{host}{port}{base}",
        name=bucket,
        region=region,
        addressing="virtual" if virtual else "path",
    )


def _split_host(host: str, name: str | None) -> tuple[str, str, str]:
    """Split a host into the bucket that it carries, or "", the rest, and the region."""
    for pattern, default in PROVIDERS:
        if match := pattern.fullmatch(host):
            return match["bucket"] or "", match["host"], default or match["region"]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if name and host.startswith(f"{name}."):
            return name, host.removeprefix(f"{name}."), DEFAULT_REGION
        return "", host, DEFAULT_REGION
    return "", f"[{host}]" if ":" in host else host, DEFAULT_REGION


def from_settings(settings: Settings) -> Bucket | None:
    """Return the configured bucket, or None where none of its settings is given.

    Raises:
        CannotStart: some settings are given and others are missing, or a URL is malformed.
    """
    url, key_id = settings.bucket_endpoint_url, settings.bucket_access_key_id
    secret, name = settings.bucket_secret_access_key, settings.bucket_name
    public_url = settings.bucket_public_url
    if not any(value for key, value in settings if key.startswith("bucket_")):
        return None
    try:
        address = locate(url, name) if url else None
    except ValueError as error:
        raise CannotStart(f"BUCKET_ENDPOINT_URL {error}.") from None
    if url and key_id and secret and address and address.name:
        if public_url and not _is_base_url(public_url):
            raise CannotStart("BUCKET_PUBLIC_URL must be a URL such as https://cdn.example.com.")
        if settings.bucket_region:
            address = replace(address, region=settings.bucket_region)
        return Bucket(address, key_id, secret, settings.bucket_prefix, public_url)
    given = {
        "BUCKET_ENDPOINT_URL": url,
        "BUCKET_ACCESS_KEY_ID": key_id,
        "BUCKET_SECRET_ACCESS_KEY": secret,
        "BUCKET_NAME": name or (address and address.name),
    }
    raise CannotStart(
        f"The bucket is half configured: set {', '.join(n for n, v in given.items() if not v)}, or "
        "remove every BUCKET_… variable to answer with data URLs."
    )


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query


def from_job(s3_config: object) -> Bucket | None:
    """Return the bucket of a job's `s3Config`, or None where the job brings none.

    Raises:
        InvalidRequest: it is incomplete or malformed; no value of it is repeated.
    """
    if s3_config is None or s3_config == {}:
        return None
    try:
        config = S3Config.model_validate(s3_config)
        address = locate(config.endpoint_url, config.bucket_name or None)
    except ValidationError as error:
        keys = [str(fault["loc"][0]) for fault in error.errors() if fault["loc"]]
        what = f"must give {', '.join(keys)} as text" if keys else "must be an object"
        raise InvalidRequest(f"s3Config {what}") from None
    except ValueError as error:
        raise InvalidRequest(f"s3Config.endpointUrl {error}") from None
    if not address.name:
        raise InvalidRequest("s3Config must give bucketName as text")
    return Bucket(address, config.access_id, config.access_secret)
