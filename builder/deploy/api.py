"""Runpod's REST v2, as far as an endpoint is created and changed by it.

Paths, answers and errors (RFC 9457): https://docs.runpod.io/api-reference-v2/serverless and
https://docs.runpod.io/api-reference-v2/migrate-from-v1. Lists aren't paged there. What isn't
written: whether names are unique, so that several endpoints of one name are allowed for; and how
an account without funds is answered, for which 402 is taken.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.deploy import connection
from builder.deploy.errors import CannotDeploy, Unanswered

RUNPOD = "https://api.runpod.io/v2"
TRIES = 4
PATIENCE = 60.0
"""Seconds until a request counts as unanswered."""
FIRST_PAUSE = 2.0
"""Seconds before the second try; they double."""
LONGEST_PAUSE = 60.0
"""Seconds: the shortest window of the rate limit."""
FLASHBOOT_SUFFIX = " -fb"
"""What GraphQL had appended to the name of an endpoint with FlashBoot
(https://docs.runpod.io/sdks/graphql/manage-endpoints)."""

LOOK = (
    "Nothing is sent twice: look at https://console.runpod.io/serverless in a minute, then run "
    "this again."
)
Endpoint = dict[str, Any]


@dataclass(frozen=True)
class Gpu:
    """A card of the catalog."""

    id: str
    pool: str | None
    dollars_an_hour: float | None
    """As a serverless worker."""


@dataclass(frozen=True)
class Api:
    """The account that a key belongs to."""

    key: str = field(repr=False)
    base_url: str = RUNPOD

    def endpoints(self) -> list[Endpoint]:
        """Return all of the account's endpoints."""
        return list(map(_endpoint, _listed(self._ask("GET", "/serverless"), "endpoints")))

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return one endpoint."""
        return _endpoint(self._ask("GET", f"/serverless/{endpoint_id}"))

    def gpus(self) -> list[Gpu]:
        """Return the catalog of cards: https://docs.runpod.io/api-reference-v2/catalog/list-gpu-types."""
        return [_gpu(each) for each in _listed(self._ask("GET", "/catalog/gpus"), "gpus")]

    def create(self, body: Mapping[str, Any]) -> tuple[Endpoint, bool]:
        """Create an endpoint, once, whose name is known to be free.

        Returns:
            It, and whether that was seen by looking, after an answer that never came.

        Raises:
            Unanswered: it isn't known whether it was created.
        """
        try:
            return _endpoint(self._ask("POST", "/serverless", body, may_repeat=False)), False
        except Unanswered as error:
            try:
                new = named(self.endpoints(), body["name"])
            except CannotDeploy:
                new, seen = [], "Whether it was created isn't known."
            else:
                seen = f"No endpoint {body['name']} is there now."
            if new:
                return new[0], True
            raise Unanswered(f"{error} {seen} {LOOK}") from None
        except KeyboardInterrupt:
            raise CannotDeploy(f"Interrupted while it was being created. {LOOK}") from None

    def update(self, endpoint_id: str, body: Mapping[str, Any]) -> Endpoint:
        """Change what the body names. Absolute values: sent twice they do the same."""
        return self._ask("PATCH", f"/serverless/{endpoint_id}", body)

    def _ask(
        self, method: str, path: str, body: object = None, *, may_repeat: bool = True
    ) -> dict[str, Any]:
        url = self.base_url.rstrip("/") + path
        pause = FIRST_PAUSE
        for left in reversed(range(TRIES)):
            try:
                answer = connection.ask(
                    method, url, connection.headers(url, self.key), body, seconds=PATIENCE
                )
            except Unanswered:
                if not (may_repeat and left):
                    raise
            else:
                # 429 refuses before anything is done; after 5xx only what may be done twice is.
                again = answer.status == 429 or (answer.status >= 500 and may_repeat)
                if not (again and left):
                    return _read(answer.status, answer.body, path)
                told = answer.headers.get("Retry-After", "")
                pause = float(told) if told.isdecimal() else pause
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last try returns or raises")


def named(endpoints: list[Endpoint], name: str) -> list[Endpoint]:
    """Return those of a name."""
    return [e for e in endpoints if e["name"] in (name, name + FLASHBOOT_SUFFIX)]


def _read(status: int, body: bytes, path: str) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if 200 <= status < 300 and isinstance(told, dict):
        return told
    if 200 <= status < 300:
        raise Unanswered("The API's answer is no JSON object: check RUNPOD_API_URL.")
    raise _refusal(status, told if isinstance(told, dict) else {}, path)


def _refusal(status: int, told: Mapping[str, Any], path: str) -> CannotDeploy:
    """Turn a problem (`title`, `status`, `detail`, `errors`) into a sentence."""
    parts = [
        str(told.get("detail") or told.get("title") or ""),
        *map(str, told.get("errors") or ()),
    ]
    said = "; ".join(part.rstrip(".") for part in parts if part)[:2000]
    says = f" Runpod says: {said}." if said else ""
    if status == 401:
        return CannotDeploy(
            "Runpod doesn't know this API key: set RUNPOD_API_KEY to one from "
            f"https://console.runpod.io/user/settings.{says}"
        )
    if status == 402:
        return CannotDeploy(
            f"The account has no funds: add some at https://console.runpod.io/user/billing.{says}"
        )
    if status == 403:
        return CannotDeploy(
            "This API key may not do that: give it read and write access to Serverless at "
            f"https://console.runpod.io/user/settings.{says}"
        )
    if status == 404:
        return CannotDeploy(f"Runpod has nothing at {path}: check the endpoint's id.{says}")
    if status == 409:
        return CannotDeploy(f"The name is in use: choose another, or update that endpoint.{says}")
    if status == 429:
        return CannotDeploy(f"Runpod gets too many requests of this key: wait a minute.{says}")
    if status >= 500:
        return Unanswered(f"Runpod's API is out of order (HTTP {status}).{says}")
    return CannotDeploy(
        f"Runpod refuses this (HTTP {status}).{says} Nothing was created or changed."
    )


def _endpoint(told: Any) -> Endpoint:
    """Look whether this is an endpoint; what else is in it is told apart by `type` and `gpu`."""
    texts = isinstance(told, dict) and [told.get(name) for name in ("id", "name")]
    if not (texts and all(isinstance(text, str) for text in texts)):
        raise Unanswered("The API's answer holds no endpoint: check RUNPOD_API_URL.")
    return dict(told)


def _gpu(told: Any) -> Gpu:
    try:
        dollars = (told.get("price") or {}).get("serverless")
        return Gpu(told["id"], told.get("pool"), None if dollars is None else float(dollars))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unanswered("The API's catalog holds no card: check RUNPOD_API_URL.") from None


def _listed(told: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(told.get(name), list):
        raise Unanswered(f"The API's answer has no {name}: check RUNPOD_API_URL.")
    return list(told[name])
