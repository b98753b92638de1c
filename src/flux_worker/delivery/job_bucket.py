"""The bucket that a job brings along in its `s3Config`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from flux_worker.contract.values import shown
from flux_worker.delivery.address import locate
from flux_worker.delivery.bucket import Bucket, misspelt, needs_token
from flux_worker.errors import InvalidRequest


class S3Config(BaseModel):
    """The bucket that a job brings along; the first four go by the platform's names."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)

    access_id: SecretStr = Field(alias="accessId", min_length=1)
    access_secret: SecretStr = Field(alias="accessSecret", min_length=1)
    bucket_name: str | None = Field(alias="bucketName", default=None)
    endpoint_url: str = Field(alias="endpointUrl", min_length=1)
    region: str | None = None
    session_token: SecretStr | None = Field(alias="sessionToken", default=None)


KEYS = [str(field.alias or name) for name, field in S3Config.model_fields.items()]


def parse(s3_config: object) -> Bucket | None:
    """Return the bucket of a job's `s3Config`, or None where the job brings none.

    Raises:
        InvalidRequest: it is incomplete, malformed or has a key that isn't known, so that it might
            mean another place; no value of it is repeated.
    """
    if isinstance(s3_config, dict):
        s3_config = {key: value for key, value in s3_config.items() if value is not None}
    if s3_config is None or s3_config == {}:
        return None
    try:
        config = S3Config.model_validate(s3_config)
    except ValidationError as error:
        raise InvalidRequest(*_config_faults(error)) from None
    name, region, token = config.bucket_name, config.region, config.session_token
    faults = misspelt(
        ("s3Config.bucketName", "name", name),
        ("s3Config.region", "region", region),
        ("s3Config.accessId", "key", config.access_id),
        ("s3Config.accessSecret", "key", config.access_secret),
        ("s3Config.sessionToken", "key", token),
    )
    if needs_token(config.access_id, token):
        faults.append("s3Config.accessId is a temporary key's and needs its sessionToken")
    if faults:
        raise InvalidRequest(*faults)
    try:
        address = locate(config.endpoint_url, name or None)
    except ValueError as error:
        raise InvalidRequest(f"s3Config.endpointUrl {error}") from None
    if not address.name:
        raise InvalidRequest("s3Config must give bucketName as text")
    if region:
        address = address.in_region(region)
    return Bucket(address, config.access_id, config.access_secret, token or None)


def _config_faults(error: ValidationError) -> list[str]:
    faults: list[dict[str, Any]] = [dict(fault) for fault in error.errors()]
    if not all(fault["loc"] for fault in faults):
        return ["s3Config must be an object"]
    unknown = [str(f["loc"][0]) for f in faults if f["type"] == "extra_forbidden"]
    wanting = [str(f["loc"][0]) for f in faults if f["type"] != "extra_forbidden"]
    known = ", ".join(KEYS)
    return [f"s3Config.{shown(key)[1:-1]} is unknown: s3Config has {known}" for key in unknown] + (
        [f"s3Config must give {', '.join(wanting)} as text"] if wanting else []
    )
