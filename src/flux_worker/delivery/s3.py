"""Speaks S3 to one bucket: puts an object, removes it, and signs its URL.

boto3 signs every request, as a presigned URL; it doesn't send them. It would follow a bucket to
another region for the upload, but sign URLs for the first one; and it reads every answer to its end
and has no deadline, so that a sick server would hold a thread for as long as it likes.
"""

import asyncio
import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import boto3.session
import botocore.session
from aiohttp import ClientError, ClientSession, InvalidURL
from botocore.config import Config

from flux_worker import web
from flux_worker.delivery.address import AWS_REGION, Address
from flux_worker.delivery.bucket import Bucket
from flux_worker.web import Answer, ask

UPLOAD_PATIENCE = 60.0
"""Seconds for a whole upload, whatever the server does. The largest image has 9.45 MB, so this is
1.3 Mbit/s; who waits longer pays for the GPU longer than most images take."""
PAUSES = (0.2, 0.6, 1.8)
"""Seconds between the attempts to upload, of which there is one more."""
SIGNED_FOR = 900
"""Seconds that a request may take to arrive: the clocks of the two may differ, too."""
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


async def put(
    to: ClientSession, bucket: Bucket, key: str, data: bytes, content_type: str, cache_control: str
) -> Stored:
    """Upload an object, in four attempts, and in the region that the server asks for.

    Args:
        to: sends the requests.
        bucket: where to.
        key: the object's.
        data: the object.
        content_type: kept with it.
        cache_control: kept with it.

    Raises:
        Refused: the server doesn't take it.
        NotStored: what answers isn't an S3 server.
        ClientError, TimeoutError, OSError: it can't be reached.
    """
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    headers = {
        "Content-Type": content_type,
        "Cache-Control": cache_control,
        # Buckets with object lock demand it, and no provider refuses it.
        "Content-MD5": base64.b64encode(digest).decode(),
    }
    for pause in PAUSES:
        try:
            return await _put_once(to, bucket, key, data, headers)
        except (Refused, ClientError, TimeoutError, OSError) as error:
            if not _is_passing(error):
                raise
        await asyncio.sleep(pause)
    return await _put_once(to, bucket, key, data, headers)


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
    version = {"VersionId": stored.version} if stored.version else {}
    url = _signed("delete_object", bucket, stored.address, stored.key, SIGNED_FOR, **version)
    answer = await ask(to, "DELETE", url, allow_redirects=False)
    if answer.status >= 300:
        raise refusal(answer)


def url_of(bucket: Bucket, key: str, seconds: int) -> str:
    """Return what a client fetches an object by: a public URL, or one signed for so many seconds.

    It is signed for the region of the bucket's address, whoever's host it has.
    """
    if public := bucket.public(key):
        return public
    address = bucket.presign_address or bucket.address
    address = address.in_region(bucket.address.region)
    return _signed("get_object", bucket, address, key, seconds)


async def _put_once(
    to: ClientSession, bucket: Bucket, key: str, data: bytes, headers: Mapping[str, str]
) -> Stored:
    address = bucket.address
    answer = await _send(to, bucket, address, key, data, headers)
    region = refusal(answer).region
    if region and region != address.region:
        address = address.in_region(region)
        answer = await _send(to, bucket, address, key, data, headers)
    if answer.status != 200:
        raise refusal(answer)
    etag = answer.headers.get("ETag", "").removeprefix("W/").strip('"').lower()
    if etag != base64.b64decode(headers["Content-MD5"]).hex():
        # Encrypted with a key of one's own, an object's tag only looks like an MD5.
        is_encrypted = any("server-side-encryption" in name.lower() for name in answer.headers)
        # S3 has nothing more to say, while pages of web servers have tags, too.
        if not etag or answer.body or (MD5.fullmatch(etag) and not is_encrypted):
            raise NotStored
    version = answer.headers.get("x-amz-version-id")
    return Stored(address, key, None if version == "null" else version)


def _is_passing(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.status in PASSING or error.code == "RequestTimeout"
    return not web.forbidden(error) and not isinstance(error, InvalidURL)


async def _send(
    to: ClientSession,
    bucket: Bucket,
    address: Address,
    key: str,
    data: bytes,
    headers: Mapping[str, str],
) -> Answer:
    kept = {name.replace("-", ""): value for name, value in headers.items()}  # boto3's names
    return await ask(
        to,
        "PUT",
        _signed("put_object", bucket, address, key, SIGNED_FOR, **kept),
        headers,
        data,
        allow_redirects=False,
        # AWS closes the connection of what it sends elsewhere, with its answer lost in a long body.
        expect100="amazonaws.com" in address.host,
    )


def _signed(
    operation: str, bucket: Bucket, address: Address, key: str, seconds: int, **parameters: str
) -> str:
    """Return a URL that is signed for one operation, for so many seconds."""
    url: str = _client(bucket, address).generate_presigned_url(
        operation,
        Params={"Bucket": address.name, "Key": key, **parameters},
        ExpiresIn=seconds,
    )
    return url


def _client(bucket: Bucket, address: Address) -> Any:
    """Return boto3's client, which takes longer to make than to use."""
    made = _clients.setdefault(bucket, {})
    if address not in made:
        made[address] = _new_client(bucket, address)
    return made[address]


_clients: WeakKeyDictionary[Bucket, dict[Address, Any]] = WeakKeyDictionary()
"""A job's own go with its bucket, and with them its keys."""


def _new_client(bucket: Bucket, address: Address) -> Any:
    token = bucket.session_token
    return _session().client(
        "s3",
        endpoint_url=address.endpoint_url,
        region_name=address.region,
        aws_access_key_id=bucket.access_key_id.get_secret_value(),
        aws_secret_access_key=bucket.secret_access_key.get_secret_value(),
        aws_session_token=token and token.get_secret_value(),
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": address.addressing},
            # Cloudflare R2, Google Cloud Storage and others refuse boto3's own checksums.
            request_checksum_calculation="when_required",
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
        ),
    )


@lru_cache(maxsize=1)
def _session() -> boto3.session.Session:
    """Return boto3's session, without profiles and files that other programs share."""
    of_our_own: dict[str, Any] = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.session.Session(botocore_session=botocore.session.Session(of_our_own))
