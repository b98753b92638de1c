"""Speaks S3 to one bucket: puts an object, removes it, and signs its URL.

Requests are signed by botocore. Its client isn't used: it follows a bucket to another region for
the upload, but signs URLs for the first one; it reads every answer to its end, has no deadline, and
takes settings from profiles and variables that are not ours.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, InvalidURL
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from flux_worker import guard
from flux_worker.delivery.address import AWS_REGION, Address
from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.web import Answer, ask

UPLOAD_PATIENCE = 60.0
"""Seconds for a whole upload, whatever the server does. The largest image has 9.45 MB, so this is
1.3 Mbit/s; who waits longer pays for the GPU longer than most images take."""
PAUSES = (0.2, 0.6, 1.8)
"""Seconds between the attempts to upload, of which there is one more."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses with which a server asks to be tried again."""

REDIRECTS = frozenset({301, 307, 400})
"""Statuses with which a server tells of another region."""

MD5 = re.compile(r"[0-9a-f]{32}")
CODE = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
OTHER_REGION = (
    re.compile(r"^x-amz-bucket-region: (?P<region>[a-z0-9-]{1,64})$", re.MULTILINE),
    re.compile(r"<Region>\s*(?P<region>[a-z0-9-]{1,64})\s*</Region>"),
    re.compile(r"expecting '(?P<region>[a-z0-9-]{1,64})'"),
    re.compile(rf"<Endpoint>[^<]*\bs3[.-]{AWS_REGION}\.amazonaws\.com"),
)
"""Where the answers of AWS, MinIO and others name the region that they wanted."""


class Refused(Exception):
    """The server answered that it didn't do what was asked; nothing of the request is repeated."""

    def __init__(self, status: int, code: str = "", region: str | None = None) -> None:
        """Keep the status, S3's word for the reason if there is one, and the region it wanted."""
        super().__init__(code or f"status {status}")
        self.status = status
        self.code = code
        self.region = region


class NotStored(Exception):
    """The server answered that all is well, but not as S3 does when it has stored an object."""


@dataclass(frozen=True)
class Stored:
    """An object that is in the bucket."""

    address: Address
    """Where, with the region in which the server took it."""
    key: str
    version: str | None
    """In a bucket that keeps versions, which one."""


async def put(to: ClientSession, bucket: Bucket, key: str, data: bytes, **headers: str) -> Stored:
    """Upload an object, in four attempts, and in the region that the server asks for.

    Args:
        to: sends the requests.
        bucket: where to.
        key: the object's.
        data: the object.
        headers: kept with it, such as `Content_Type`.

    Raises:
        Refused: the server doesn't take it.
        NotStored: what answers isn't an S3 server.
        ClientError, TimeoutError, OSError: it can't be reached.
    """
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    kept = {name.replace("_", "-"): value for name, value in headers.items()}
    # Buckets with object lock demand it, and no provider refuses it.
    kept["Content-MD5"] = base64.b64encode(digest).decode()
    for pause in PAUSES:
        try:
            return await _put_once(to, bucket, key, data, kept)
        except (Refused, ClientError, TimeoutError, OSError) as error:
            if not _is_passing(error):
                raise
        await asyncio.sleep(pause)
    return await _put_once(to, bucket, key, data, kept)


def refusal(answer: Answer) -> Refused:
    """Return what an answer says of why it is none of those that were hoped for."""
    text = answer.body.decode("utf-8", "replace")
    code = CODE.search(text)
    region = None
    if answer.status in REDIRECTS:
        told = f"x-amz-bucket-region: {answer.headers.get('x-amz-bucket-region', '')}\n{text}"
        found = next(filter(None, (each.search(told) for each in OTHER_REGION)), None)
        region = found["region"] if found else None
    return Refused(answer.status, code[1] if code else "", region)


async def remove(to: ClientSession, bucket: Bucket, stored: Stored) -> None:
    """Remove an object for good: its version, where the bucket keeps versions.

    Raises:
        Refused: the key may not.
        ClientError, TimeoutError, OSError: the server can't be reached.
    """
    query = {"versionId": stored.version} if stored.version else {}
    answer = await _signed(to, "DELETE", bucket, stored.address, stored.key, {}, query=query)
    if answer.status >= 300:
        raise refusal(answer)


def url_of(bucket: Bucket, key: str, seconds: int) -> str:
    """Return what a client fetches an object by: a public URL, or one signed for so many seconds.

    It is signed for the region of the bucket's address, whoever's host it has.
    """
    if public := bucket.public(key):
        return public
    region = bucket.address.region
    address = (bucket.presign_address or bucket.address).in_region(region)
    request = AWSRequest("GET", address.url(key))
    S3SigV4QueryAuth(_credentials(bucket), "s3", region, expires=seconds).add_auth(request)
    return str(request.url)


async def _put_once(
    to: ClientSession, bucket: Bucket, key: str, data: bytes, headers: Mapping[str, str]
) -> Stored:
    address = bucket.address
    answer = await _signed(to, "PUT", bucket, address, key, headers, data)
    region = refusal(answer).region
    if region and region != address.region:
        address = address.in_region(region)
        answer = await _signed(to, "PUT", bucket, address, key, headers, data)
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    etag = answer.headers.get("ETag", "").strip('"').lower()
    # Encrypted with a key of one's own, an object's tag only looks like an MD5.
    is_encrypted = any("server-side-encryption" in name.lower() for name in answer.headers)
    is_md5 = MD5.fullmatch(etag) and not is_encrypted
    if not etag or (is_md5 and etag != base64.b64decode(headers["Content-MD5"]).hex()):
        raise NotStored
    version = answer.headers.get("x-amz-version-id")
    return Stored(address, key, None if version == "null" else version)


def _is_passing(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.status in PASSING or error.code == "RequestTimeout"
    cause = getattr(error, "os_error", None)
    return not isinstance(cause, guard.ForbiddenAddress) and not isinstance(error, InvalidURL)


async def _signed(
    to: ClientSession,
    method: str,
    bucket: Bucket,
    address: Address,
    key: str,
    headers: Mapping[str, str],
    data: bytes = b"",
    query: Mapping[str, str] = {},
) -> Answer:
    url = f"{address.url(key)}?{urlencode(query)}" if query else address.url(key)
    request = AWSRequest(method, url, data=data, headers=headers)
    S3SigV4Auth(_credentials(bucket), "s3", address.region).add_auth(request)
    return await ask(
        to,
        method,
        url,
        request.headers,
        data,
        allow_redirects=False,
        # AWS closes the connection of what it sends elsewhere, with its answer lost in a long body.
        expect100=bool(data) and "amazonaws.com" in address.host,
    )


def _credentials(bucket: Bucket) -> Credentials:
    token = bucket.session_token
    return Credentials(
        bucket.access_key_id.get_secret_value(),
        bucket.secret_access_key.get_secret_value(),
        token and token.get_secret_value(),
    )
