"""Publishes images: uploads them to an S3-compatible bucket and builds their URLs.

Without a bucket, and whenever an upload fails, the image travels in the answer as a `data:` URL:
an image that was paid for is never lost.
"""

import logging
import uuid
from contextlib import closing, suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Literal
from urllib.parse import quote

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from flux_worker.delivery import bucket as buckets
from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.images import EncodedImage
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

log = logging.getLogger(__name__)

CACHE_CONTROL = "public, max-age=604800, immutable"
"""A key is written once and never again; its URL lives seven days at most."""


class Storage:
    """Uploads to the configured bucket, or to the bucket that a job brings along."""

    def __init__(self, settings: Settings) -> None:
        """Make the client of the configured bucket.

        Raises:
            CannotStart: the bucket is half configured or a URL is malformed.
        """
        self._session = Session()
        self._making_client = Lock()  # a boto3 session is not thread-safe, its clients are
        self._url_ttl = settings.url_ttl_seconds
        self._bucket = buckets.from_settings(settings)
        try:
            self._client = self._client_of(self._bucket) if self._bucket else None
        except (BotoCoreError, ValueError) as error:
            raise CannotStart(
                f"The bucket's client can't be made ({type(error).__name__}): check the host in "
                "BUCKET_ENDPOINT_URL, and AWS_… variables that don't belong here."
            ) from None
        if self._bucket is None:
            log.warning("No bucket is configured: images are answered as data: URLs.")

    def check(self) -> None:
        """Write an empty object to the configured bucket, and remove it if that is allowed.

        Without a bucket there is nothing to check.

        Raises:
            CannotStart: the bucket can't be written.
        """
        if self._bucket is None or self._client is None:
            return
        place = {
            "Bucket": self._bucket.address.name,
            "Key": f"{self._bucket.prefix}write-check-{uuid.uuid4()}",
        }
        try:
            self._client.put_object(**place, Body=b"")
        except Exception as error:
            raise CannotStart(
                f"The bucket {self._bucket.address.name} can't be written ({_kind(error)}): check "
                "its endpoint, name, keys and permissions."
            ) from None
        with suppress(ClientError, BotoCoreError):  # the right to delete is not needed otherwise
            self._client.delete_object(**place)

    def publish(self, image: EncodedImage, job_bucket: Bucket | None = None) -> str:
        """Upload the image and return its URL; a `data:` URL where that can't be done.

        Args:
            image: the file to publish.
            job_bucket: the job's own bucket, used in place of the configured one.
        """
        bucket = job_bucket or self._bucket
        if bucket is None:
            return image.data_url
        try:
            if job_bucket is None:
                return self._upload(self._client, bucket, image)
            with closing(self._client_of(job_bucket)) as client:
                return self._upload(client, job_bucket, image)
        except Exception as error:
            # Only the kind of failure: messages of the S3 client can quote the URL and the key id.
            log.error(
                "The upload failed, so the image is answered as a data: URL. Check the bucket's "
                "endpoint, name, keys and permissions.",
                extra={"fields": {"failure": _kind(error)}},
            )
            return image.data_url

    def _upload(self, client: Any, bucket: Bucket, image: EncodedImage) -> str:
        now = datetime.now(UTC)
        key = f"{bucket.prefix}{now:%Y/%m/%d}/{uuid.uuid4()}.{image.format.extension}"
        client.put_object(
            Bucket=bucket.address.name,
            Key=key,
            Body=image.data,
            ContentType=image.format.content_type,
            CacheControl=CACHE_CONTROL,
        )
        if bucket.public_url:
            return f"{bucket.public_url.rstrip('/')}/{quote(key)}"
        url: str = client.generate_presigned_url(
            "get_object",
            Params={"Bucket": bucket.address.name, "Key": key},
            ExpiresIn=self._url_ttl,
        )
        return url

    def _client_of(self, bucket: Bucket) -> Any:
        with self._making_client:
            return self._session.client(
                "s3",
                endpoint_url=bucket.address.endpoint_url,
                region_name=bucket.address.region,
                aws_access_key_id=bucket.access_key_id.get_secret_value(),
                aws_secret_access_key=bucket.secret_access_key.get_secret_value(),
                config=client_config(bucket.address.addressing),
            )


def client_config(addressing: Literal["path", "virtual"]) -> Config:
    """Return how the client talks to a bucket of whatever provider."""
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": addressing},
        # Cloudflare R2, Google Cloud Storage and others refuse boto3's own checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=5,
        read_timeout=30,
    )


def _kind(error: Exception) -> str:
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return f"{type(error).__name__} {code}".strip()
