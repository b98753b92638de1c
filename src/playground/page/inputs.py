"""What happens when something is typed or chosen: it is checked, priced and written as code."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from flux_worker.contract.catalog import MODELS, Price, ServedModel
from flux_worker.contract.values import draw_seed
from playground import estimate, form, pictures
from playground.local_endpoints import Served
from playground.page import loras, words
from playground.page.layout import Layout
from playground.page.panels import DEMO, DEMO_PROMPTS, PROMPTS, hint
from playground.places import Place
from playground.sessions import Trust
from playground.snippets import languages
from playground.snippets.call import Call

Data = Mapping[Any, Any]
"""What is in each component."""
Updates = dict[Any, Any]
"""What shall be in some of them."""


class Inputs:
    """The left half of the page."""

    def __init__(self, layout: Layout, served: list[Served], trusts: Trust) -> None:
        """Take what it is about.

        Args:
            layout: the page's components.
            served: the endpoints whose model and price are known.
            trusts: whether an endpoint of this URL may be at a private address.
        """
        self._on, self._trusts = layout, trusts
        self._served = {each.place.url: each for each in served}

    def check(self, data: Data) -> form.Checked:
        """Hold the form against the chosen model's contract."""
        typed = {name: data[field] for name, field in self._on.fields.items()}
        rows = loras.typed(self._on.loras, data)
        return form.check({**typed, "loras": rows}, self.model(data))

    def model(self, data: Data) -> ServedModel:
        """Return the model that is chosen."""
        return MODELS[data[self._on.model]]

    def place(self, data: Data) -> Place:
        """Return the endpoint that is named."""
        on = self._on
        base_url, endpoint_id = data[on.base_url].strip().rstrip("/"), data[on.endpoint_id].strip()
        place = Place(base_url, endpoint_id, data[on.key].strip())
        return replace(place, allow_private=self._trusts(place.url))

    def price(self, data: Data) -> Price:
        """Return what the endpoint charges.

        Raises:
            ValueError: what is typed is no price; a sentence says so.
        """
        return estimate.price(self.model(data), data[self._on.price])

    def review(self, data: Data, *, is_sent: bool = False) -> Updates:
        """Say beside each field what is wrong with it, what the image costs, and the call's code.

        That there is no prompt yet is no fault before the form is sent.
        """
        on, model, checked = self._on, self.model(data), self.check(data)
        is_begun = is_sent or data[on.fields["prompt"]].strip()
        faults = {
            name: told for name, told in checked.faults.items() if is_begun or name != "prompt"
        }
        return {
            **self._hints(faults, model),
            **loras.review(on.loras, data, faults),
            on.cost: self._cost(data, checked),
            on.code: self._code(data, checked),
        }

    def switch(self, data: Data) -> Updates:
        """Take another model's limits, defaults and endpoint."""
        on, model = self._on, self.model(data)
        defaults = model.parameters.defaults()
        differ = [
            name
            for name in defaults
            if len({getattr(each.parameters, name) for each in MODELS.values()}) > 1
        ]
        return {**{on.fields[name]: defaults[name] for name in differ}, **self._move(model, data)}

    def go_to(self, data: Data) -> Updates:
        """Take what is known of the endpoint that is named: its price, and what it can draw."""
        served = self._served.get(self.place(data).url)
        is_demo = served is not None and served.is_demo
        price = served.price_per_megapixel if served else ""
        prompts = DEMO_PROMPTS if is_demo else PROMPTS
        return {
            **dict(zip(self._on.examples, prompts, strict=True)),
            **({self._on.price: price} if price != data[self._on.price] else {}),
            **loras.offer(self._on.loras, served.loras if served else []),
            self._on.model_said: words.note(DEMO) if is_demo else "",
        }

    def shape(self, ratio: str, data: Data) -> Updates:
        """Set both sides as the worker would for this aspect ratio."""
        width, height = form.sides(ratio, self.model(data))
        return {self._on.fields["width"]: width, self._on.fields["height"]: height}

    def draw_seed(self, _: Data) -> Updates:
        """Choose a seed."""
        return {self._on.fields["seed"]: str(draw_seed())}

    def remove_lora(self, number: int, data: Data) -> Updates:
        """Take a row of LoRAs out."""
        return loras.remove(self._on.loras, number, data)

    def fill(self, given: Mapping[str, Any], model: ServedModel, data: Data) -> Updates:
        """Set every field: to what is given, else to the default. The endpoint is the model's."""
        values = {**model.parameters.defaults(), **given}
        values["seed"] = str(values["seed"])
        return {
            self._on.model: model.name,
            **{field: values.get(name) for name, field in self._on.fields.items()},
            **loras.fill(self._on.loras, values.get("loras", ())),
            **self._move(model, data),
        }

    def read_file(self, data: Data) -> Updates:
        """Take the parameters out of a picture that was dropped."""
        on = self._on
        if not data[on.file]:
            return {on.file_said: ""}
        try:
            with open(data[on.file], "rb") as file:
                content = file.read(pictures.LARGEST)
            found = pictures.parameters(content)
            found["image_format"] = pictures.extension(content)
            checks = (form.check(found, each) for each in MODELS.values())
            given = next((each.given for each in checks if each.request), None)
            if given is None:
                raise pictures.NoPicture("What that picture carries isn't a worker's parameters.")
        except pictures.NoPicture as error:
            return {on.file_said: words.problem(str(error)), on.file: None}
        model = next(
            (each for each in MODELS.values() if each.title == found.get("model")),
            self.model(data),
        )
        maker = str(found.get("model"))[:100].encode(errors="replace").decode()
        said = f"These are the parameters of a picture by {maker}."
        return {**self.fill(given, model, data), on.file_said: words.note(said), on.file: None}

    def _move(self, model: ServedModel, data: Data) -> Updates:
        """Go to the model's endpoint, where the one that is named has a model's name."""
        if data[self._on.endpoint_id] in {each.endpoint_id for each in MODELS.values()}:
            return {self._on.endpoint_id: model.endpoint_id}
        return {}

    def _hints(self, faults: Mapping[str, str], model: ServedModel) -> Updates:
        return {
            field: gr.update(
                info=faults.get(name) or hint(name, model),
                elem_classes=["invalid"] if name in faults else [],
            )
            for name, field in self._on.fields.items()
        }

    def _cost(self, data: Data, checked: form.Checked) -> str:
        try:
            price = self.price(data)
        except ValueError as error:
            return words.problem(str(error))
        sides = {name: checked.faults.get(name) for name in ("width", "height")}
        if any(sides.values()):
            return words.note("Correct the size to see the cost.")
        values = form.complete(checked.given, self.model(data))
        return words.note(estimate.line(values["width"], values["height"], price))

    def _code(self, data: Data, checked: form.Checked) -> Any:
        on, model, place = self._on, self.model(data), self.place(data)
        if reasons := [*filter(None, [place.fault()]), *checked.faults.values()]:
            return gr.update(value="\n".join(reasons), elem_classes=["problem"])
        language = data[on.language]
        given = form.complete(checked.given, model)
        if not data[on.everything]:
            given = form.differing(given, model)
        call = Call(place.base_url, place.endpoint_id, model, given, data[on.operation])
        syntax = languages.SNIPPETS[language].syntax
        code = languages.write(language, call).rstrip()
        return gr.update(value=code, language=syntax, elem_classes=[])
