"""`verify`: all checks, one after the other, the first with the patience for a cold start."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from builder.deploy.errors import CannotDeploy
from builder.deploy.verify import checks, pictures, requests
from builder.deploy.verify.endpoint import Endpoint
from builder.deploy.verify.pictures import Picture
from builder.deploy.verify.report import Differs, Report
from flux_worker.contract.catalog import MODELS, Price, ServedModel
from flux_worker.contract.request import ImageRequest
from flux_worker.errors import InvalidRequest
from flux_worker.settings import SEVEN_DAYS
from playground import estimate, places
from playground.places import RUNPOD, Place


def run(chosen: Namespace, key: str, agree: Callable[[str], bool]) -> bool:
    """Verify an endpoint and return whether all of it is as documented.

    Args:
        chosen: the command line.
        key: the API key, or nothing.
        agree: asks whether to go on.

    Raises:
        CannotDeploy: the endpoint isn't named, or nobody agrees to the cost.
    """
    place = _place(chosen.endpoint, key)
    model = _model(chosen.model, place)
    price = _price(model, chosen.price)
    _check_steps(model, chosen.steps)
    number, cost = requests.total(model, price)
    print(
        f"{number} pictures by {place.url}, one refused and one cancelled job. Their `cost` adds "
        f"up to {estimate.dollars(cost)}; an endpoint of your own is billed by seconds instead, "
        "cold start and idle time included.\n"
    )
    if cost > chosen.limit and not agree("Go on?"):
        return False
    say = partial(print, flush=True)  # as it goes, into a pipe, too
    report = Report(say)
    endpoint = Endpoint(place, chosen.wait, say)
    _Checks(endpoint, report, model, price, chosen).all()
    differences = report.differences
    print(f"\n{differences} differ." if differences else "\nAll as documented.")
    return not differences


@dataclass(frozen=True)
class _Checks:
    endpoint: Endpoint
    report: Report
    model: ServedModel
    price: Price
    chosen: Namespace

    def all(self) -> None:
        check = self.report.check
        check("health", lambda: checks.health(self.endpoint.health()))
        steps = self.chosen.steps
        first = self._made(
            "the documented request", requests.documented(self.model, steps), sync=True
        )
        if first is None:
            self.report.skip("everything else", "the first job didn't bring a picture")
            return
        self._variations()
        self._made("an odd size", requests.odd(self.model, steps), sync=False)
        invalid = requests.invalid(self.model)
        sentence = _refusal(invalid, self.model)
        check(
            "an invalid request",
            lambda: checks.refusal(self.endpoint.runsync(invalid), sentence),
        )
        check("cancelling", self._cancel)

    def _made(self, what: str, asked: dict[str, Any], *, sync: bool) -> Picture | None:
        """Check everything about one job, and return its picture."""
        check = self.report.check
        job = check(f"{what}: answer", lambda: self._answered(asked, sync=sync))
        if job is None:
            return None
        output, (given, _) = job["output"], ImageRequest.parse(asked, self.model)
        width, height, url = given.width, given.height, output["image_url"]
        ttl = self.chosen.url_ttl or SEVEN_DAYS
        check(f"{what}: cost", lambda: checks.cost(output, width, height, self.price))
        check(f"{what}: expiry", lambda: checks.expiry(url, self.chosen.images, ttl))
        picture = check(f"{what}: picture without a key", lambda: pictures.fetch(url))
        if picture is not None:
            check(f"{what}: size", lambda: checks.size(picture, width, height))
            check(f"{what}: format", lambda: checks.format_of(picture, given.image_format))
        return picture

    def _answered(self, asked: dict[str, Any], *, sync: bool) -> dict[str, Any]:
        if sync:
            job = self.endpoint.runsync(asked)
        else:
            job = self.endpoint.finished(self.endpoint.run(asked))
        checks.envelope(job)
        return job

    def _variations(self) -> None:
        check = self.report.check
        asked = requests.plain(self.model, self.chosen.steps)
        plain = self._made("png", asked, sync=False)
        again = check("the same seed: answer", lambda: self._picture(asked))
        if plain is None or again is None:
            self.report.skip("seed, negative prompt, guidance", "there is nothing to compare with")
            return
        check("the same seed", lambda: checks.same(plain, again))
        noise = pictures.difference(plain, again)
        variations = requests.variations(self.model, self.chosen.steps)
        for name, job_input in variations.items():
            check(name, partial(self._changed, job_input, plain, noise))
        if "another guidance" not in variations:
            self.report.skip("another guidance", f"{self.model.title} takes none")

    def _changed(self, asked: dict[str, Any], plain: Picture, noise: float) -> str:
        return checks.changed(plain, self._picture(asked), noise)

    def _picture(self, asked: dict[str, Any]) -> Picture:
        return pictures.fetch(self._answered(asked, sync=False)["output"]["image_url"])

    def _cancel(self) -> None:
        job = self.endpoint.run(requests.long_one(self.model))
        if not isinstance(job.get("id"), str):
            raise Differs("an id", repr(job.get("id")))
        checks.cancelled(self.endpoint.cancel(job["id"]))
        checks.cancelled(self.endpoint.status(job["id"]))


def _place(told: str, key: str) -> Place:
    try:
        place = places.read(told if "://" in told else f"{RUNPOD}/{told}")
    except ValueError as error:
        raise CannotDeploy(str(error)) from None
    if place.base_url == RUNPOD and not key:
        raise CannotDeploy(
            "Set RUNPOD_API_KEY to a key of the account that owns the endpoint, from "
            "https://console.runpod.io/user/settings."
        )
    return Place(place.base_url, place.endpoint_id, key)


def _model(told: str | None, place: Place) -> ServedModel:
    by_id = {model.endpoint_id: model for model in MODELS.values()}
    return MODELS[told] if told else by_id.get(place.endpoint_id, MODELS["dev"])


def _price(model: ServedModel, told: str) -> Price:
    try:
        return estimate.price(model, told)
    except ValueError as error:
        raise CannotDeploy(str(error)) from None


def _check_steps(model: ServedModel, steps: int | None) -> None:
    allowed = model.parameters.num_inference_steps
    if steps is not None and not allowed.low <= steps <= allowed.high:
        raise CannotDeploy(f"--steps of {model.title} is {allowed.low} to {allowed.high}.")


def _refusal(job_input: dict[str, Any], model: ServedModel) -> str:
    """Return the sentence in which the worker refuses a request."""
    try:
        ImageRequest.parse(job_input, model)
    except InvalidRequest as error:
        return str(error)
    raise AssertionError("the request is valid")
