"""The bucket that images go to, and the operator's, as the settings describe it."""

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from pydantic import SecretStr

from flux_worker.delivery.address import NAME, Address, http_url, is_bare, locate
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

TEXTS = {
    "name": (NAME, "must be the bucket's name alone, such as photos, without s3:// and folders"),
    "region": (
        re.compile(r"[A-Za-z0-9_-]{1,64}"),
        "must be the region's code alone, such as eu-west-1",
    ),
    "key": (re.compile(r"[!-~]{1,8192}"), "must be the key alone, without blanks"),
}
"""What a setting or a job may say of a bucket, and the sentence's end where it says otherwise."""
TEMPORARY = "ASIA"
"""How AWS begins the ids of keys that are worth nothing without their session token."""


@dataclass(frozen=True)
class Bucket:
    """All that is needed to write to a bucket and to build URLs of what is in it."""

    address: Address
    access_key_id: SecretStr
    secret_access_key: SecretStr
    session_token: SecretStr | None = None
    prefix: str = ""
    """Empty, or with a slash at its end."""
    public_url: str | None = None
    """What to put before a key instead of signing a URL, without a slash at its end."""
    presign_address: Address | None = None
    """The address in signed URLs, where clients reach the bucket by another one."""

    def new_key(self, extension: str) -> str:
        """Return a key that no object has."""
        return f"{self.prefix}{datetime.now(UTC):%Y/%m/%d}/{uuid.uuid4()}.{extension}"

    def public(self, key: str) -> str | None:
        """Return the object's URL below the public one, if there is one."""
        return f"{self.public_url}/{quote(key)}" if self.public_url else None


def misspelt(*given: tuple[str, str, SecretStr | str | None]) -> list[str]:
    """Say what is wrong with texts about a bucket, none of which is repeated.

    Args:
        given: of each text, its name for whoever wrote it, a key of `TEXTS`, and itself.
    """
    faults = []
    for called, kind, text in given:
        pattern, rule = TEXTS[kind]
        if text and not pattern.fullmatch(_plain(text)):
            faults.append(f"{called} {rule}")
    return faults


def needs_token(key_id: SecretStr, token: SecretStr | None) -> bool:
    """Say whether the key is a temporary one whose session token is missing."""
    return _plain(key_id).startswith(TEMPORARY) and not token


def from_settings(settings: Settings) -> Bucket | None:
    """Return the configured bucket, or None where none of its settings is given.

    Raises:
        CannotStart: some settings are given and others are missing, or one is malformed.
    """
    fields = Settings.model_fields
    if all(v == fields[k].default for k, v in settings if k.startswith("bucket_")):
        return None
    url, name = settings.bucket_endpoint_url, settings.bucket_name
    key_id, secret = settings.bucket_access_key_id, settings.bucket_secret_access_key
    token, public_url = settings.bucket_session_token, settings.bucket_public_url
    faults = misspelt(
        ("BUCKET_NAME", "name", name),
        ("BUCKET_REGION", "region", settings.bucket_region),
        ("BUCKET_ACCESS_KEY_ID", "key", key_id),
        ("BUCKET_SECRET_ACCESS_KEY", "key", secret),
        ("BUCKET_SESSION_TOKEN", "key", token),
    )
    if public_url and not ((parts := http_url(public_url)) and is_bare(parts)):
        faults.append(
            "BUCKET_PUBLIC_URL must be a URL such as https://cdn.example.com, of scheme, host, "
            "port and folders alone"
        )
    if public_url and settings.bucket_presign_url:
        faults.append(
            "only one of BUCKET_PUBLIC_URL and BUCKET_PRESIGN_URL can be what URLs begin with"
        )
    if faults:
        raise CannotStart("; ".join(faults) + ".")
    address = _located("BUCKET_ENDPOINT_URL", url, name, settings)
    if not (url and key_id and secret and address and address.name):
        given = {
            "BUCKET_ENDPOINT_URL": url,
            "BUCKET_ACCESS_KEY_ID": key_id,
            "BUCKET_SECRET_ACCESS_KEY": secret,
            "BUCKET_NAME": name or (address and address.name),
        }
        raise CannotStart(
            f"The bucket is half configured: set {', '.join(n for n, v in given.items() if not v)},"
            " or remove every BUCKET_… variable to answer with data URLs."
        )
    if needs_token(key_id, token):
        raise CannotStart(
            "The key in BUCKET_ACCESS_KEY_ID is a temporary one: set BUCKET_SESSION_TOKEN to the "
            "token that it came with."
        )
    return Bucket(
        address,
        key_id,
        secret,
        token,
        _prefix(settings.bucket_prefix),
        public_url and public_url.rstrip("/"),
        _located("BUCKET_PRESIGN_URL", settings.bucket_presign_url, address.name, settings),
    )


def _located(
    variable: str, url: str | None, name: str | None, settings: Settings
) -> Address | None:
    if url is None:
        return None
    try:
        address = locate(url, name, settings.bucket_addressing)
    except ValueError as error:
        raise CannotStart(f"{variable} {error}.") from None
    return address.in_region(settings.bucket_region) if settings.bucket_region else address


def _plain(text: SecretStr | str) -> str:
    return text if isinstance(text, str) else text.get_secret_value()


def _prefix(given: str) -> str:
    prefix = given.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise CannotStart("BUCKET_PREFIX must be folders such as images/flux/.")
    return f"{prefix}/" if prefix else ""
