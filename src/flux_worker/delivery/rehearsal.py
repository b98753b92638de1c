"""Goes an image's way once before the first job: into the bucket, and back by a client's URL."""

import asyncio
import logging
import uuid
from dataclasses import replace

from aiohttp import ClientError, ClientSession, TooManyRedirects

from flux_worker import guard, web
from flux_worker.delivery import causes, s3
from flux_worker.delivery.bucket import Bucket
from flux_worker.errors import CannotStart

log = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds to fetch and to remove the object, which is one line of text."""
CONTENT = "Written by flux-worker when it starts, to be fetched and removed: "
"""No picture, though its key ends as one's: a CDN that compresses pictures would change it."""


async def rehearse(bucket: Bucket, seconds: int) -> Bucket:
    """Write an object, fetch it by the URL that a client would get, and remove it.

    Args:
        bucket: as it is configured.
        seconds: how long URLs are valid.

    Returns:
        The bucket, with the region in which it took the object.

    Raises:
        CannotStart: the bucket doesn't take the object, or its URL doesn't give it.
    """
    name, key = bucket.address.name, bucket.new_key("png")
    content = f"{CONTENT}{uuid.uuid4()}\n".encode()
    async with web.session() as session:
        try:
            async with asyncio.timeout(s3.UPLOAD_PATIENCE):
                stored = await s3.put(session, bucket, key, content, "text/plain", "no-store")
        except Exception as error:
            raise CannotStart(
                f"The bucket {name} can't be written ({causes.kind(error)}): "
                f"{causes.advice(error, bucket)}."
            ) from None
        bucket = replace(bucket, address=stored.address)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await web.ask(session, "GET", s3.url_of(bucket, key, seconds))
        except TooManyRedirects as error:
            _judge(web.Answer(error.history[-1].status, {}, b""), content, bucket)
        except (ClientError, TimeoutError, OSError) as error:
            _warn_of_untried_urls(causes.kind(error))
        else:
            _judge(answer, content, bucket)
        finally:
            await _remove(session, bucket, stored)
    await _warn_of_inner_hosts(bucket)
    return bucket


def _judge(answer: web.Answer, content: bytes, bucket: Bucket) -> None:
    """Say what a client would get in place of the object.

    Raises:
        CannotStart: something that isn't the object, for good.
    """
    if answer.status == 200 and answer.body == content:
        return
    refusal = s3.refusal(answer)
    if answer.status >= 500 or answer.status in s3.PASSING:
        _warn_of_untried_urls(causes.kind(refusal))
        return
    got = causes.kind(refusal) if answer.status != 200 else "something else than the image"
    name = bucket.address.name
    if bucket.public_url:
        raise CannotStart(
            f"An image's URL at BUCKET_PUBLIC_URL answers {got}: set it to where the bucket {name} "
            "can be read without a signature, or remove it to have URLs signed."
        )
    if bucket.presign_address:
        raise CannotStart(
            f"An image's URL at BUCKET_PRESIGN_URL answers {got}: set it to an endpoint of the "
            f"same S3 server as BUCKET_ENDPOINT_URL, where clients reach the bucket {name}."
        )
    raise CannotStart(
        f"An image's signed URL answers {got}: give the key the permission s3:GetObject for "
        f"{name}/{bucket.prefix}*, or set BUCKET_PUBLIC_URL if the bucket is public."
    )


async def _remove(session: ClientSession, bucket: Bucket, stored: s3.Stored) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await s3.remove(session, bucket, stored)
    except (s3.Refused, ClientError, TimeoutError, OSError) as error:
        # The right to delete is not needed otherwise.
        log.warning(
            "The object that was written to try the bucket could not be removed; with the "
            "permissions s3:DeleteObject and s3:DeleteObjectVersion it would be.",
            extra={"fields": {"failure": causes.kind(error), "key": stored.key}},
        )


def _warn_of_untried_urls(failure: str) -> None:
    log.warning(
        "Image URLs can't be tried from here, so nobody knows whether clients can fetch them.",
        extra={"fields": {"failure": failure}},
    )


async def _warn_of_inner_hosts(bucket: Bucket) -> None:
    """Warn of URLs whose host means something only where the worker is."""
    if bucket.public_url or bucket.presign_address:
        return
    host = bucket.address.host
    try:
        await guard.check_host(host, allow_private=False)
        is_inner = not {".", ":"} & set(host)
    except guard.ForbiddenAddress:
        is_inner = True
    if is_inner:
        log.warning(
            "Image URLs lead to a host that is private, as seen from here: for clients elsewhere "
            "set BUCKET_PRESIGN_URL to the endpoint that clients reach.",
            extra={"fields": {"host": host}},
        )
