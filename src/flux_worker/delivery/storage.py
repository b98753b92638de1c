"""Publishes images: uploads them to an S3-compatible bucket and builds their URLs.

Without a bucket, and whenever an upload fails, the image travels in the answer as a `data:` URL:
an image that was paid for is never lost.
"""

import asyncio
import logging
import time
from dataclasses import replace

from flux_worker import guard, web
from flux_worker.delivery import bucket as buckets
from flux_worker.delivery import causes, rehearsal, s3
from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.images import EncodedImage
from flux_worker.delivery.sick_list import SickList
from flux_worker.errors import InvalidRequest
from flux_worker.settings import Settings

log = logging.getLogger(__name__)

CACHE_CONTROL = "public, max-age=604800, immutable"
"""A key is written once and never again; its URL lives seven days at most."""


class Storage:
    """Uploads to the configured bucket, or to the bucket that a job brings along."""

    def __init__(self, settings: Settings) -> None:
        """Read which bucket is configured.

        Raises:
            CannotStart: the bucket is half configured or a setting of it is malformed.
        """
        self._url_ttl = settings.url_ttl_seconds
        self._allow_private = settings.allow_private_addresses
        self._bucket = buckets.from_settings(settings)
        self._sick = SickList()
        if self._bucket is None:
            log.warning("No bucket is configured: images are answered as data: URLs.")

    async def check(self) -> None:
        """Try the configured bucket out; without one there is nothing to check.

        Raises:
            CannotStart: the bucket doesn't take an object, or its URL doesn't give it.
        """
        if self._bucket:
            self._bucket = await rehearsal.rehearse(self._bucket, self._url_ttl)

    async def admit(self, job_bucket: Bucket | None) -> None:
        """Refuse a job's bucket whose host leads where callers have no business.

        Raises:
            InvalidRequest: it does. Where it leads later is checked again when it is connected to.
        """
        if job_bucket is None:
            return
        host = job_bucket.address.host
        try:
            await guard.check_host(host, allow_private=self._allow_private)
        except guard.ForbiddenAddress as error:
            raise InvalidRequest(f"s3Config.endpointUrl {error}") from None

    async def publish(self, image: EncodedImage, job_bucket: Bucket | None = None) -> str:
        """Upload the image and return its URL; a `data:` URL where that can't be done in time.

        Args:
            image: the file to publish.
            job_bucket: the job's own bucket, used in place of the configured one.
        """
        bucket = job_bucket or self._bucket
        if bucket is None:
            return image.data_url
        if bucket in self._sick:
            log.warning("The bucket failed lately, so the image is answered as a data: URL.")
            return image.data_url
        begin = time.monotonic()
        try:
            async with asyncio.timeout(s3.UPLOAD_PATIENCE):
                return await self._upload(bucket, image, is_callers=job_bucket is not None)
        except Exception as error:
            if not isinstance(error, s3.Refused) or error.status in s3.PASSING:
                self._sick.add(bucket, time.monotonic() - begin)
            fields = {"failure": causes.kind(error)}
            if job_bucket is None:
                fields["advice"] = causes.advice(error, bucket)
            log.error(
                "The upload failed, so the image is answered as a data: URL.",
                extra={"fields": fields},
            )
            return image.data_url

    async def _upload(self, bucket: Bucket, image: EncodedImage, *, is_callers: bool) -> str:
        key = bucket.new_key(image.format.extension)
        async with web.session(
            callers_url=bucket.address.url(key) if is_callers else None,
            allow_private=self._allow_private,
        ) as session:
            stored = await s3.put(
                session,
                bucket,
                key,
                image.data,
                image.format.content_type,
                CACHE_CONTROL,
            )
        if stored.address != bucket.address:
            bucket = replace(bucket, address=stored.address)
            if not is_callers:
                self._bucket = bucket
        return s3.url_of(bucket, key, self._url_ttl)
