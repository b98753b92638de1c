"""Where a bucket is: what its endpoint URL says of host, region and the style of its URLs.

Endpoint URLs come in three shapes, all of them copied from some provider's console: with the bucket
in the host (`https://photos.s3.eu-west-1.amazonaws.com`), in the path
(`https://<account>.r2.cloudflarestorage.com/photos`), or without it.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import SplitResult, quote, urlsplit

from yarl import URL

from flux_worker.contract import urls

Addressing = Literal["auto", "path", "virtual"]

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
AWS_HOST = re.compile(
    rf"(?<=://)(?P<kind>s3(?:-fips)?(?:\.dualstack)?)(?:[.-]{AWS_REGION})?(?=\.amazonaws\.com)"
)

VIRTUAL_HOSTED = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com")
"""Providers that want the bucket in the host: path-style is deprecated or refused there."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
"""What some provider accepts as a bucket's name."""
LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
HOST = re.compile(rf"({LABEL}\.)*{LABEL}\.?|\[.*\]")
"""What boto3 signs for: https://datatracker.ietf.org/doc/html/rfc1123#section-2.1."""
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

    @property
    def host(self) -> str:
        """The endpoint's host, without bucket and port."""
        return urlsplit(self.endpoint_url).hostname or ""

    def url(self, key: str) -> str:
        """Return an object's URL, without a signature."""
        path = quote(key, safe="/~")
        if self.addressing == "path":
            return f"{self.endpoint_url}/{self.name}/{path}"
        return f"{self.endpoint_url.replace('://', f'://{self.name}.', 1)}/{path}"

    def in_region(self, region: str) -> Self:
        """Return the same bucket in another region, which AWS has in the host, too."""
        url = AWS_HOST.sub(lambda host: f"{host['kind']}.{region}", self.endpoint_url)
        return replace(self, region=region, endpoint_url=url)


def locate(endpoint_url: str, name: str | None, addressing: Addressing = "auto") -> Address:
    """Split an endpoint URL into its bare endpoint, bucket, region and addressing style.

    A host of no known provider is used by path, even where its first label is the bucket's name:
    a server that expects the path creates or uses another bucket where the bucket is in the host,
    while one that expects the host takes the path for a part of the key, and serves that.

    Args:
        endpoint_url: with the bucket in its host or its path, or without it.
        name: the bucket, where the URL doesn't carry it.
        addressing: what the operator has decided. With `virtual`, a first label that is the
            bucket's name is the bucket on every host.

    Raises:
        ValueError: what the URL must be, as the end of a sentence.
    """
    parts = http_url(endpoint_url)
    if parts is None:
        raise ValueError(URL_FORM)
    if not is_bare(parts):
        raise ValueError("must hold nothing but scheme, host, port and bucket")
    in_host, host, region = _split_host(parts.hostname or "", name, addressing)
    if not HOST.fullmatch(host):
        raise ValueError("must have a host of letters, digits, hyphens and dots alone")
    port = f":{parts.port}" if parts.port is not None else ""
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
    if bucket and not NAME.fullmatch(bucket):
        raise ValueError("must have no path but the bucket's name")
    # A dot in the bucket's name would fall outside the host's wildcard certificate.
    in_certificate = parts.scheme == "http" or "." not in bucket
    virtual = in_certificate and (bool(in_host) or host.endswith(VIRTUAL_HOSTED))
    return Address(
        endpoint_url=f"{parts.scheme}://{host}{port}{base}",
        name=bucket,
        region=region,
        addressing=("virtual" if virtual else "path") if addressing == "auto" else addressing,
    )


def http_url(text: str) -> SplitResult | None:
    """Split a URL of HTTP, or return None where it is none that can be asked for."""
    try:
        URL(text, encoded=True)  # what will send requests there is stricter
    except ValueError:
        return None
    return urls.split(text)


def is_bare(parts: SplitResult) -> bool:
    """Whether a URL holds nothing but scheme, host, port and path."""
    return not (parts.username or parts.password or parts.query or parts.fragment)


def _split_host(host: str, name: str | None, addressing: Addressing) -> tuple[str, str, str]:
    """Split a host into the bucket that it carries, or "", the rest, and the region."""
    for pattern, default in PROVIDERS:
        if match := pattern.fullmatch(host):
            return match["bucket"] or "", match["host"], default or match["region"]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if name and addressing == "virtual" and host.startswith(f"{name}."):
            return name, host.removeprefix(f"{name}."), DEFAULT_REGION
        return "", host, DEFAULT_REGION
    return "", f"[{host}]" if ":" in host else host, DEFAULT_REGION
