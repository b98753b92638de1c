"""What happens when something is typed or chosen: it is checked, priced and written as code."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from flux_worker.contract.catalog import MODELS, Price, ServedModel
from flux_worker.contract.formats import PNG
from flux_worker.contract.sizes import SIDES
from flux_worker.contract.values import draw_seed
from playground import estimate, form, input_pictures, pictures
from playground.input_pictures import STAND_IN, InputPicture
from playground.local_endpoints import Served
from playground.page import image, loras, words
from playground.page.layout import Layout
from playground.page.panels import DEMO, examples, hint
from playground.places import Place
from playground.sessions import Trust
from playground.snippets import languages
from playground.snippets.call import Call, File

Data = Mapping[Any, Any]
"""What is in each component."""
Updates = dict[Any, Any]
"""What shall be in some of them."""
FILES = {
    "image": File("picture.png", PNG.content_type),
    "mask_image": File(input_pictures.MASK, PNG.content_type),
}
"""What the code to copy calls the pictures."""
NO_PICTURE_BACK = "It was made of a picture, which isn't here any more: drop that, too."


class Inputs:
    """The left half of the page."""

    def __init__(self, layout: Layout, served: list[Served], trusts: Trust, folder: Path) -> None:
        """Take what it is about.

        Args:
            layout: the page's components.
            served: the endpoints whose model and price are known.
            trusts: whether an endpoint of this URL may be at a private address.
            folder: where input pictures are saved.
        """
        self._on, self._trusts, self._folder = layout, trusts, folder
        self._served = {each.place.url: each for each in served}

    def check(self, data: Data) -> form.Checked:
        """Hold the form against the chosen model's contract."""
        typed = {name: data[field] for name, field in self._on.fields.items()}
        typed["loras"] = loras.typed(self._on.loras, data)
        picture: InputPicture | None = data[self._on.image.picture]
        if picture:
            typed["image"] = STAND_IN
            typed["mask_image"] = STAND_IN if data[self._on.image.mask] else None
        return form.check(typed, self.model(data), picture.sides if picture else None)

    def picture(self, data: Data) -> InputPicture | None:
        """Return the picture that a run is to start from, with the mask that is painted now.

        Raises:
            Unusable: the mask isn't this picture's.
        """
        picture: InputPicture | None = data[self._on.image.picture]
        painted = data[self._on.image.mask] if form.takes_mask(self.model(data)) else ""
        return picture and picture.masked(painted)

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
        served = self._served.get(self.place(data).url)
        prompts = examples(model, is_demo=served is not None and served.is_demo)
        is_begun = is_sent or data[on.fields["prompt"]].strip()
        faults = {
            name: told for name, told in checked.faults.items() if is_begun or name != "prompt"
        }
        return {
            **dict(zip(on.examples, prompts, strict=True)),
            **self._hints(faults, model, data[on.image.picture] is not None),
            **image.review(
                on.image, data[on.image.picture], model, is_painted=bool(data[on.image.mask])
            ),
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
        return {
            **{on.fields[name]: defaults[name] for name in differ if defaults[name] is not None},
            **self._sides(data, model, data[on.image.picture]),
            **self._move(model, data),
        }

    def go_to(self, data: Data) -> Updates:
        """Take what is known of the endpoint that is named: its price, and what it can draw."""
        served = self._served.get(self.place(data).url)
        is_demo = served is not None and served.is_demo
        price = served.price_per_megapixel if served else ""
        return {
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

    async def take_file(self, data: Data) -> Updates:
        """Start from the picture that was dropped."""
        if not (file := data[self._on.image.file]):
            return {}
        content = await asyncio.to_thread(Path(file).read_bytes)
        Path(file).unlink(missing_ok=True)
        return await self.take(content, data)

    async def take(self, content: bytes, data: Data) -> Updates:
        """Start from a picture: a file's bytes."""
        on = self._on
        try:
            picture = await asyncio.to_thread(input_pictures.take, content, self._folder)
        except input_pictures.Unusable as error:
            return {on.image.said: words.problem(str(error)), on.image.file: None}
        return {
            **self._show(picture, data),
            **self._sides(data, self.model(data), picture),
        }

    def remove_picture(self, data: Data) -> Updates:
        """Start from no picture."""
        return {**self._show(None, data), **self._sides(data, self.model(data), None)}

    def fill(
        self,
        given: Mapping[str, Any],
        model: ServedModel,
        data: Data,
        picture: InputPicture | None = None,
    ) -> Updates:
        """Set every field: to what is given, else to the default. The endpoint is the model's.

        Args:
            given: the parameters; one that stands for a picture makes the page ask for it.
            model: whose they are.
            data: what is on the page.
            picture: what it stands for, if that is here; it is copied.
        """
        on, has_picture = self._on, given.get("image") is not None
        values = {**form.defaults(given, model), **given}
        values["seed"] = str(values["seed"])
        fields = {field: values.get(name) for name, field in on.fields.items()}
        if values.get("strength") is None:
            del fields[on.fields["strength"]]
        return {
            on.model: model.name,
            **fields,
            **loras.fill(on.loras, values.get("loras", ())),
            **self._show(picture and picture.copied(input_pictures.place(self._folder)), data),
            on.image.said: words.note(NO_PICTURE_BACK) if has_picture and not picture else "",
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
            if "task" in found:  # of those that start from a picture
                found["image"] = STAND_IN
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

    def _show(self, picture: InputPicture | None, data: Data) -> Updates:
        """Put a picture in the place of the one that is on the page."""
        input_pictures.discard(data[self._on.image.picture])
        return {**image.show(self._on.image, picture), self._on.image.said: ""}

    def _sides(self, data: Data, model: ServedModel, picture: InputPicture | None) -> Updates:
        """Leave the size to the picture, unless another one was chosen."""
        usual = model.parameters.defaults()
        if any(data[self._on.fields[side]] not in (None, usual[side]) for side in SIDES):
            return {}
        is_open = picture is not None and model.parameters.strength is not None
        return {self._on.fields[side]: None if is_open else usual[side] for side in SIDES}

    def _move(self, model: ServedModel, data: Data) -> Updates:
        """Go to the model's endpoint, where the one that is named has a model's name."""
        if data[self._on.endpoint_id] in {each.endpoint_id for each in MODELS.values()}:
            return {self._on.endpoint_id: model.endpoint_id}
        return {}

    def _hints(self, faults: Mapping[str, str], model: ServedModel, has_picture: bool) -> Updates:
        hints = {
            field: gr.update(
                info=faults.get(name) or hint(name, model, has_picture),
                elem_classes=["invalid"] if name in faults else [],
            )
            for name, field in self._on.fields.items()
        }
        strength = hints[self._on.fields["strength"]]
        strength["visible"] = has_picture and model.parameters.strength is not None
        return hints

    def _cost(self, data: Data, checked: form.Checked) -> str:
        try:
            price = self.price(data)
        except ValueError as error:
            return words.problem(str(error))
        sides = {name: checked.faults.get(name) for name in ("width", "height")}
        if any(sides.values()):
            return words.note("Correct the size to see the cost.")
        model, picture = self.model(data), data[self._on.image.picture]
        size = form.size(checked.given, model, picture and picture.sides)
        if isinstance(size, str):
            return words.problem(f"{size[0].upper()}{size[1:]}.")
        line = estimate.line(*size, price)
        if picture and not {*SIDES} <= checked.given.keys() and model.parameters.strength:
            line += f": {size[0]}x{size[1]}, in the picture's shape"
        return words.note(line)

    def _code(self, data: Data, checked: form.Checked) -> Any:
        on, model, place = self._on, self.model(data), self.place(data)
        if reasons := [*filter(None, [place.fault()]), *checked.faults.values()]:
            return gr.update(value="\n".join(reasons), elem_classes=["problem"])
        language = data[on.language]
        given = form.complete(checked.given, model)
        if not data[on.everything]:
            given = form.differing(given, model)
        files = {name: FILES[name] for name in FILES if given.pop(name, None)}
        size = (checked.request.width, checked.request.height) if checked.request else None
        call = Call(
            place.base_url, place.endpoint_id, model, given, data[on.operation], files, size
        )
        syntax = languages.SNIPPETS[language].syntax
        code = languages.write(language, call).rstrip()
        return gr.update(value=code, language=syntax, elem_classes=[])
