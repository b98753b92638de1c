"""Which bucket images go to: read from the settings, or from a job's own `s3Config`.

Endpoint URLs come in three shapes, all of them copied from some provider's console: with the bucket
in the host (`https://photos.s3.eu-west-1.amazonaws.com`), in the path
(`https://<account>.r2.cloudflarestorage.com/photos`), or without it.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flux_worker.errors import CannotStart, InvalidRequest
from flux_worker.settings import Settings

DEFAULT_REGION = "us-east-1"
"""What AWS's global endpoint, MinIO and most self-hosted servers sign for."""

PROVIDERS = [
    (re.compile(r"(?:(?P<bucket>.+)\.)?(?P<host>" + host + ")"), region)
    for host, region in (
        (r"s3(?:\.dualstack)?[.-](?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", None),
        (r"s3\.amazonaws\.com", DEFAULT_REGION),
        (r"s3\.(?P<region>[a-z0-9-]+)\.(?:backblazeb2|wasabisys)\.com", None),
        (r"s3\.wasabisys\.com", DEFAULT_REGION),
        (r"s3\.(?P<region>[a-z0-9-]+)\.scw\.cloud", None),
        (r"s3\.(?P<region>[a-z0-9-]+)\.(?:io|perf)\.cloud\.ovh\.[a-z]+", None),
        (r"s3api-(?P<region>[a-z0-9-]+)\.runpod\.io", None),
        (r"(?P<region>[a-z]{3}\d)\.digitaloceanspaces\.com", None),
        (r"oss-(?P<region>[a-z0-9-]+)\.aliyuncs\.com", None),
        (r"cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com", None),
        (r"[0-9a-f]{32}(?:\.[a-z]+)?\.r2\.cloudflarestorage\.com", "auto"),
        (r"storage\.googleapis\.com", "auto"),
    )
]

URL_FORM = "must be a URL such as https://s3.eu-west-1.amazonaws.com"

VIRTUAL_HOSTED = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com")
"""Providers that want the bucket in the host: path-style is deprecated or refused there."""


@dataclass(frozen=True)
class Bucket:
    """All that is needed to write to a bucket and to build URLs of what is in it."""

    endpoint_url: str
    """Scheme, host and port, without the bucket."""
    name: str
    region: str
    addressing: Literal["path", "virtual"]
    access_key_id: SecretStr
    secret_access_key: SecretStr
    prefix: str = ""
    public_url: str | None = None


class S3Config(BaseModel):
    """The bucket that a job brings along, by the platform's names for its four values."""

    model_config = ConfigDict(extra="ignore", strict=True)

    access_id: SecretStr = Field(alias="accessId", min_length=1)
    access_secret: SecretStr = Field(alias="accessSecret", min_length=1)
    bucket_name: str | None = Field(alias="bucketName", default=None)
    endpoint_url: str = Field(alias="endpointUrl", min_length=1)


def locate(
    endpoint_url: str, name: str | None, region: str | None = None
) -> tuple[str, str, str, Literal["path", "virtual"]]:
    """Split an endpoint URL into its bare endpoint, bucket, region and addressing style.

    Args:
        endpoint_url: with the bucket in its host or its path, or without it.
        name: the bucket, where the URL doesn't carry it; wins over what the URL seems to say.
        region: wins over the one in the host.

    Returns:
        The bucket's name is empty where neither gives it.

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
    host = parts.hostname
    in_host, in_region = "", DEFAULT_REGION
    for pattern, default in PROVIDERS:
        if match := pattern.fullmatch(host):
            in_region = default or match["region"]
            if name is None or match["bucket"] == name:
                in_host, host = match["bucket"] or "", match["host"]
            break
    if name and host.startswith(f"{name}."):
        in_host, host = name, host.removeprefix(f"{name}.")
    in_path = parts.path.strip("/")
    if "/" in in_path or (in_path and (name or in_host) not in ("", None, in_path)):
        raise ValueError("must have no path but the bucket's name")
    bucket = name or in_host or in_path
    # A dot in the bucket's name would fall outside the host's wildcard certificate.
    in_certificate = parts.scheme == "http" or "." not in bucket
    virtual = in_certificate and (bool(in_host) or host.endswith(VIRTUAL_HOSTED))
    endpoint = f"{parts.scheme}://{host}{port}"
    return endpoint, bucket, region or in_region, "virtual" if virtual else "path"


def from_settings(settings: Settings) -> Bucket | None:
    """Return the configured bucket, or None where none of its settings is given.

    Raises:
        CannotStart: some settings are given and others are missing, or the URL is malformed.
    """
    required = {
        "BUCKET_ENDPOINT_URL": settings.bucket_endpoint_url,
        "BUCKET_ACCESS_KEY_ID": settings.bucket_access_key_id,
        "BUCKET_SECRET_ACCESS_KEY": settings.bucket_secret_access_key,
    }
    optional = (settings.bucket_name, settings.bucket_region, settings.bucket_public_url)
    if not any((*required.values(), *optional, settings.bucket_prefix)):
        return None
    missing = [name for name, value in required.items() if not value]
    where = None
    if settings.bucket_endpoint_url:
        try:
            where = locate(
                settings.bucket_endpoint_url, settings.bucket_name, settings.bucket_region
            )
        except ValueError as error:
            raise CannotStart(f"BUCKET_ENDPOINT_URL {error}.") from None
    if not (settings.bucket_name or (where and where[1])):
        missing.append("BUCKET_NAME")
    if missing or where is None:
        raise CannotStart(
            f"The bucket is half configured: set {', '.join(missing)}, or remove every BUCKET_… "
            "variable to answer with data URLs."
        )
    assert settings.bucket_access_key_id
    assert settings.bucket_secret_access_key
    return Bucket(
        *where,
        access_key_id=settings.bucket_access_key_id,
        secret_access_key=settings.bucket_secret_access_key,
        prefix=settings.bucket_prefix,
        public_url=settings.bucket_public_url,
    )


def from_job(s3_config: object) -> Bucket | None:
    """Return the bucket of a job's `s3Config`, or None where the job brings none.

    Raises:
        InvalidRequest: it is incomplete or malformed; no value of it is repeated.
    """
    if s3_config is None or s3_config == {}:
        return None
    try:
        config = S3Config.model_validate(s3_config)
        where = locate(config.endpoint_url, config.bucket_name or None)
    except ValidationError as error:
        keys = [str(fault["loc"][0]) for fault in error.errors() if fault["loc"]]
        what = f"{', '.join(keys)} must be given as strings" if keys else "must be an object"
        raise InvalidRequest(f"Invalid parameter: s3Config: {what}") from None
    except ValueError as error:
        raise InvalidRequest(f"Invalid parameter: s3Config: endpointUrl {error}") from None
    if not where[1]:
        raise InvalidRequest("Invalid parameter: s3Config: bucketName must be given as a string")
    return Bucket(*where, access_key_id=config.access_id, secret_access_key=config.access_secret)
