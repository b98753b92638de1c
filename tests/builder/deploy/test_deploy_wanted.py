"""What a file says is held against what there is, before anything is sent."""

import re

import pytest
from conftest import ROOT

from builder.deploy import body, costs, hub_file, plan
from builder.deploy.environment import KEY_LIKE, SECRETS, environment, shown
from builder.deploy.errors import CannotDeploy
from builder.deploy.wanted import Wanted, read

BUCKET = {"BUCKET_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com", "BUCKET_NAME": "pictures"}
KEYS = {"BUCKET_ACCESS_KEY_ID": "bucket_id", "BUCKET_SECRET_ACCESS_KEY": "bucket_key"}


def created(**given):
    return body.creation(Wanted.model_validate({"name": "flux", "image": "you/flux", **given}))


def test_the_documented_file_is_one(tmp_path):
    page = (ROOT / "docs/deployment.md").read_text()
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "endpoint.toml").write_text(example)
    wanted = read(tmp_path / "endpoint.toml", {})
    shown = set(re.findall(r"^(\w+) =", example.split("[")[0] + example, re.MULTILINE))
    assert set(Wanted.model_fields) - {"env", "secrets"} <= shown
    body.creation(wanted)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modle": "dev"}, "modle is unknown: there are name, image, model"),
        ({"model": "pro"}, "model must be one of dev, schnell, krea-dev, kontext"),
        ({"pools": ["A", "B", "C", "D"]}, "pools"),
        ({"pools": ["A", "A"]}, "names a pool twice"),
        ({"workers_min": 4, "workers_max": 2}, "workers_min (4) is more than workers_max (2)"),
        ({"idle_timeout": 0}, "idle_timeout"),
        ({"idle_timeout": "5"}, "idle_timeout"),
        ({"flashboot": "yes"}, "flashboot"),
        ({"cached_model": "FLUX.1-dev"}, "cached_model"),
        ({"cuda": "13"}, "cuda"),
        ({"cuda": "12.8"}, "cuda must be 13.0 or newer"),
        ({"name": "ab"}, "name"),
        ({"name": "   "}, "name must have no blanks at its ends"),
        ({"name": "flux\x1b[2J"}, "nothing unprintable"),
        ({"image": " "}, "image is one such as"),
    ],
)
def test_what_is_wrong_is_named(given, sentence):
    with pytest.raises(CannotDeploy, match=re.escape(sentence)):
        read(None, given)


def test_a_file_that_is_no_toml(tmp_path):
    (tmp_path / "a.toml").write_text("name flux")
    with pytest.raises(CannotDeploy, match=r"is no TOML"):
        read(tmp_path / "a.toml", {})
    with pytest.raises(CannotDeploy, match=r"can't be read: No such file"):
        read(tmp_path / "b.toml", {})


@pytest.mark.parametrize("table", ["env", "secrets"])
def test_a_table_that_is_none_is_named_whatever_flags_there_are(tmp_path, table):
    path = tmp_path / "a.toml"
    path.write_text(f'{table} = "HF_TOKEN"')
    for flags in ({"env": {}, "secrets": {}}, {table: {"HF_TOKEN": "hf_token"}}):
        with pytest.raises(CannotDeploy, match=f"{table}: Input should be a valid dictionary"):
            read(path, flags)


def test_a_file_as_windows_editors_save_it_is_read(tmp_path):
    (tmp_path / "a.toml").write_text('name = "flux"', encoding="utf-8-sig")
    assert read(tmp_path / "a.toml", {}).name == "flux"


def test_name_and_image_cannot_be_guessed():
    with pytest.raises(CannotDeploy, match="Give the endpoint's image"):
        body.creation(Wanted(name="flux"))


# -- the worker's variables


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"BUCKET_NAM": "x"}, "BUCKET_NAM is no variable of the worker; did you mean BUCKET_NAME?"),
        ({"PRECISION": "fp4"}, "PRECISION: Input should be 'auto'"),
        ({"JOBS_IN_FLIGHT": "65", "COMPILE": "perhaps"}, "JOBS_IN_FLIGHT"),
        ({"BUCKET_NAME": "pictures"}, "The bucket is half configured"),
        ({"FLUX_MODEL": "dev"}, "FLUX_MODEL is set by `model`"),
        ({"RUNPOD_INIT_TIMEOUT": "30m"}, "RUNPOD_INIT_TIMEOUT isn't what it can be"),
    ],
)
def test_variables_that_the_worker_would_not_start_with(env, sentence):
    with pytest.raises(CannotDeploy, match=re.escape(sentence)):
        created(env=env)


def test_every_variable_of_the_settings_page_can_be_set():
    page = (ROOT / "docs/settings.md").read_text()
    named = set(re.findall(r"`([A-Z0-9]+_[A-Z0-9_]+)(?:=[^`]*)?`", page))
    assert {"HTTPS_PROXY", "OTEL_SERVICE_NAME", "BUCKET_NAME"} <= named
    environment(Wanted(secrets=dict.fromkeys(named - {"FLUX_MODEL"}, "a_secret")))


def test_where_spans_go_is_shown_and_what_may_hold_a_key_is_not():
    assert shown("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318") == "http://c:4318"
    for name, value in (
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k"),
        ("BUCKET_ENDPOINT_URL", "https://id:secret@s3.example.com"),
        ("OF_SOMEBODY", "else"),
    ):
        assert shown(name, value) == "(a value that isn't shown)"


def test_this_machines_own_variables_do_not_count(monkeypatch):
    monkeypatch.setenv("PRECISION", "nonsense")
    monkeypatch.setenv("BUCKET_NAME", "mine")
    created()


def test_secrets_go_by_their_names_alone():
    sent = created(env=BUCKET, secrets=KEYS)["env"]
    assert sent["BUCKET_SECRET_ACCESS_KEY"] == "{{ RUNPOD_SECRET_bucket_key }}"


def test_a_variable_has_one_value():
    with pytest.raises(CannotDeploy, match=r"BUCKET_NAME is both under \[env\] and under"):
        created(env=BUCKET, secrets={**KEYS, "BUCKET_NAME": "bucket_name"})


def test_a_bucket_of_secrets_only():
    created(secrets={**KEYS, "BUCKET_ENDPOINT_URL": "bucket_url"})


@pytest.mark.parametrize(
    "given",
    [
        {"env": {"HF_TOKEN": "anything"}},
        {"env": {**BUCKET, "BUCKET_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}},
        {"env": {"MODEL_PATH": "hf_abcdefghijklmnopqrstuvwx"}},
        {"env": {"BUCKET_ENDPOINT_URL": "https://id:secret@s3.example.com"}},
        {"env": {"HTTP_PROXY": "id:secret@proxy:3128"}},
        {"env": {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer x"}},
        {"env": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-key=k"}},
        {"secrets": {"HF_TOKEN": "hf_abcdefghijklmnopqrstuvwx"}},
        {"secrets": {"BUCKET_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}},
        {
            "secrets": {
                "BUCKET_SECRET_ACCESS_KEY": "0123456789abcdef0123456789abcdef0123456789abcdef"
            }
        },
    ],
)
def test_keys_themselves_are_refused_and_not_repeated(given):
    with pytest.raises(CannotDeploy) as refused:
        created(**given)
    assert "[secrets]" in str(refused.value)
    for value in [*given.get("env", {}).values(), *given.get("secrets", {}).values()]:
        assert value not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        "you/tuned@0123456789abcdef0123456789abcdef01234567",
        "/runpod-volume/compiled2026/and/more",
        "my-company-flux-pictures-2026-production",
        "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
    ],
)
def test_long_names_are_no_keys(value):
    assert not KEY_LIKE.fullmatch(value)


def test_every_setting_that_hides_its_value_is_a_secret():
    assert {"HF_TOKEN", "CIVITAI_TOKEN", "BUCKET_SECRET_ACCESS_KEY"} <= SECRETS
    assert "BUCKET_NAME" not in SECRETS


def test_an_update_sets_no_variable_that_was_not_named():
    assert environment(Wanted(image="you/flux")) == {}


# -- what follows from what


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({}, "black-forest-labs/FLUX.1-dev"),
        ({"model": "schnell"}, "black-forest-labs/FLUX.1-schnell"),
        ({"cached_model": "you/tuned:v2"}, "you/tuned:v2"),
        ({"cached_model": "none"}, None),
        ({"env": {"MODEL_PATH": "you/tuned@v1"}}, "you/tuned:v1"),
        ({"env": {"MODEL_PATH": "/runpod-volume/tuned"}}, None),
    ],
)
def test_the_cached_model_is_that_of_the_weights(given, model):
    assert plan.cached_model(Wanted(**given)) == model


def test_the_default_pools_are_the_cheapest_for_an_image():
    pools = costs.default_pools()
    by_image = [costs.image(pool, Wanted().served, {}) for pool in pools]
    assert len(pools) == 3
    assert by_image == sorted(by_image)


def test_what_the_hubs_file_says_is_the_default():
    made = created()
    assert made["disk"] == hub_file.disk()
    assert made["gpu"]["minCudaVersion"] == hub_file.cuda() == "13.0"


def test_an_always_running_worker_and_a_missing_token_are_pointed_out():
    wanted = Wanted(name="flux", image="you/flux", workers_min=1)
    said = plan.creation(body.creation(wanted), wanted, {"ADA_80_PRO": 4.0})
    assert "1 always running: up to $" in said
    assert "FLUX.1-dev is gated" in said
    assert "data: URLs" in said
