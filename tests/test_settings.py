import json
import re
from decimal import Decimal

import pytest
from pydantic import ValidationError

from flux_worker.baked import BAKED_SETTINGS
from flux_worker.contract.catalog import DEV, SCHNELL, Price
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings


def test_dev_is_served_by_default():
    settings = Settings.from_environment()
    assert settings.model is DEV
    assert settings.url_ttl_seconds == 604800
    assert settings.runpod_log_level == "INFO"


def test_what_is_not_set_is_the_documented_default():
    settings = Settings.from_environment()
    assert settings.embed_metadata
    assert not settings.allow_cpu
    assert settings.price is DEV.price
    assert (settings.precision, settings.attention, settings.offload) == ("auto", "auto", "auto")
    assert settings.compile is None
    assert settings.warmup_sizes == "1024x1024"
    assert settings.bucket_prefix == ""


def test_the_operators_price_is_that_of_a_megapixel():
    assert Settings(price_per_megapixel=0).price == Price(Decimal(0), "megapixel")
    assert Settings(price_per_megapixel="0.5").price == Price(Decimal("0.5"), "megapixel")


def test_settings_stay_as_they_were_read():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().flux_model = "schnell"


@pytest.fixture
def image(tmp_path, monkeypatch):
    """Read the settings of an image that holds these weights, as the operator sets them."""

    def read(choice, **environment):
        (tmp_path / BAKED_SETTINGS).write_text(json.dumps(choice))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_environment(tmp_path)
        return settings.flux_model, settings.model_path

    return read


@pytest.mark.parametrize("choice", ["schnell", [], {}, {"FLUX_MODEL": "sdxl"}, {"FLUX_MODEL": []}])
def test_a_damaged_choice_of_the_image_is_said(image, choice):
    with pytest.raises(CannotStart, match=rf"/{BAKED_SETTINGS} can't be read or is damaged: it"):
        image(choice)


TUNED = {"FLUX_MODEL": "schnell", "MODEL_PATH": "You/Tuned@0123456"}
OFFICIAL = {"FLUX_MODEL": "schnell"}
SCHNELL_AT = "black-forest-labs/flux.1-SCHNELL@v2"


@pytest.mark.parametrize(
    ("choice", "environment", "read"),
    [
        (OFFICIAL, {}, ("schnell", None)),
        (OFFICIAL, {"FLUX_MODEL": "", "MODEL_PATH": " "}, ("schnell", None)),
        (OFFICIAL, {"FLUX_MODEL": "dev"}, ("dev", None)),
        (OFFICIAL, {"MODEL_PATH": SCHNELL_AT}, ("schnell", SCHNELL_AT)),
        (OFFICIAL, {"MODEL_PATH": "you/tuned"}, ("dev", "you/tuned")),
        (OFFICIAL, {"MODEL_PATH": "/weights"}, ("dev", "/weights")),
        (OFFICIAL, {"MODEL_PATH": "/weights", "FLUX_MODEL": "schnell"}, ("schnell", "/weights")),
        (TUNED, {}, ("schnell", "You/Tuned@0123456")),
        (TUNED, {"FLUX_MODEL": "schnell"}, ("schnell", "You/Tuned@0123456")),
        (TUNED, {"FLUX_MODEL": "dev"}, ("dev", None)),
        (TUNED, {"MODEL_PATH": "you/tuned@v2"}, ("schnell", "you/tuned@v2")),
        (TUNED, {"MODEL_PATH": "you/other"}, ("dev", "you/other")),
        (TUNED, {"FLUX_MODEL": "dev", "MODEL_PATH": "you/tuned"}, ("dev", "you/tuned")),
    ],
)
def test_an_image_serves_what_it_holds_unless_the_operator_asks_for_something_else(
    image, choice, environment, read
):
    assert image(choice, **environment) == read


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_empty_variables_count_as_not_set(monkeypatch, empty):
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), empty)
    assert Settings.from_environment() == Settings()


def test_blanks_around_a_value_are_not_meant(monkeypatch):
    monkeypatch.setenv("FLUX_MODEL", "schnell ")
    monkeypatch.setenv("HF_TOKEN", " hf_token\n")
    settings = Settings.from_environment()
    assert settings.model is SCHNELL
    assert settings.hf_token.get_secret_value() == "hf_token"


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("JOBS_IN_FLIGHT", 1, 64),
        ("LORA_CACHE_GB", 1, 10_000),
        ("MAX_LORA_MB", 1, 100_000),
        ("MAX_LORA_RANK", 1, 4096),
        ("PRICE_PER_MEGAPIXEL", 0, 1000),
        ("URL_TTL_SECONDS", 1, 604_800),
    ],
)
def test_a_number_is_taken_up_to_its_limits_and_no_further(monkeypatch, name, least, most):
    for value in (least, most):
        monkeypatch.setenv(name, str(value))
        assert getattr(Settings.from_environment(), name.lower()) == value
    for value in (least - 1, most + 1):
        monkeypatch.setenv(name, str(value))
        with pytest.raises(CannotStart, match=f"environment variables: {name}: "):
            Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLUX_MODEL", "pro"),
        ("PRICE_PER_MEGAPIXEL", "nan"),
        ("PRICE_PER_MEGAPIXEL", "1e20"),
        ("RUNPOD_LOG_LEVEL", "loud"),
        ("EMBED_METADATA", "perhaps"),
        ("LORA_HOSTS", "https://huggingface.co"),
        ("LORA_HOSTS", "huggingface.co civitai.com"),
        ("LORA_HOSTS", "hugging*.co"),
        ("IMAGE_HOSTS", "https://images.example"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_be(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotStart, match=f"environment variables: {name}: "):
        Settings.from_environment()


def test_a_model_that_is_not_served_is_told_from_those_that_are(monkeypatch):
    monkeypatch.setenv("FLUX_MODEL", "pro")
    with pytest.raises(
        CannotStart, match="FLUX_MODEL: must be one of dev, schnell, krea-dev, kontext"
    ):
        Settings.from_environment()


def test_the_operators_price_is_for_a_megapixel_and_none_means_the_models():
    assert Settings(price_per_megapixel="0").price == Price(Decimal(0), "megapixel")
    assert Settings(flux_model="schnell").price == SCHNELL.price


NUMBERS = (
    *("JOBS_IN_FLIGHT", "PRICE_PER_MEGAPIXEL", "URL_TTL_SECONDS"),
    *("LORA_CACHE_GB", "MAX_LORA_MB", "MAX_LORA_RANK"),
)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-0", "+1", "1e0", "1_0", "0x1", "٣", "½", "1,5", ".5", "inf"])
def test_numbers_are_plain_digits(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotStart, match=f"{name}: must be a number in plain digits"):
        Settings.from_environment()


def test_every_number_among_the_settings_is_such_a_one():
    kinds = {name: str(field.annotation) for name, field in Settings.model_fields.items()}
    assert {n.upper() for n, k in kinds.items() if re.search(r"\bint\b|Decimal", k)} == set(NUMBERS)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("JOBS_IN_FLIGHT", 1, 64), ("PRICE_PER_MEGAPIXEL", 0, 1000), ("URL_TTL_SECONDS", 1, 604800)],
)
def test_limits_are_inclusive(monkeypatch, name, low, high):
    for value in (low, high):
        monkeypatch.setenv(name, str(value))
        assert getattr(Settings.from_environment(), name.lower()) == value
    for value in (low - 1, high + 1):
        monkeypatch.setenv(name, str(value))
        with pytest.raises(CannotStart, match=name):
            Settings.from_environment()


def test_hosts_are_read_as_they_are_meant():
    assert Settings(lora_hosts="Example.com, *.Example.com").lora_hosts == (
        "example.com,*.example.com"
    )
