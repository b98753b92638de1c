"""Endpoints are planned, created and changed at a stand-in of REST v2, over HTTP."""

import pytest
from runpod_rest import KEY, READING_KEY, problem, standing_in

from builder.deploy import __main__, api
from builder.deploy.api import Api
from builder.deploy.body import update
from builder.deploy.errors import CannotDeploy
from builder.deploy.wanted import Wanted

NEW = ("--name", "flux", "--image", "you/flux:2")


@pytest.fixture
def runpod(monkeypatch, tmp_path):
    with standing_in() as stand_in:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RUNPOD_API_KEY", KEY)
        monkeypatch.setenv("RUNPOD_API_URL", stand_in.url)
        monkeypatch.setattr(api.time, "sleep", lambda seconds: None)
        yield stand_in


@pytest.fixture
def deploy(runpod, capsys):
    """Run a command; return its exit status, or the sentence that it ends with, and its output."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            __main__.main(list(arguments))
        return ended.value.code, capsys.readouterr().out

    return run


# -- creating


def test_create_sends_what_the_plan_shows(runpod, deploy):
    code, said = deploy("create", *NEW, "--secret", "HF_TOKEN=hf_token", "--yes")
    assert code == 0
    (sent,) = runpod.bodies("POST")
    assert sent["gpu"] == {
        "pools": ["ADA_80_PRO", "HOPPER_141", "AMPERE_80"],
        "count": 1,
        "minCudaVersion": "13.0",
    }
    assert sent["workers"] == {"min": 0, "max": 3, "idleTimeout": 5}
    assert (sent["timeout"], sent["flashboot"], sent["type"]) == (600_000, "FLASHBOOT", "QUEUE")
    assert sent["env"]["HF_TOKEN"] == "{{ RUNPOD_SECRET_hf_token }}"
    assert sent["env"]["FLUX_MODEL"] == "dev"
    assert int(sent["env"]["RUNPOD_INIT_TIMEOUT"]) > 7 * 60
    for shown in ("you/flux:2", "ADA_80_PRO, HOPPER_141, AMPERE_80", "0 to 3", "FLASHBOOT"):
        assert shown in said
    assert "--model-reference https://huggingface.co/black-forest-labs/FLUX.1-dev:main" in said
    assert "verify ep0 --model dev" in said


def test_the_plan_tells_what_an_hour_and_an_image_cost_by_todays_catalog(deploy):
    _, said = deploy("plan", *NEW, "--pools", "AMPERE_80,ADA_48_PRO")
    row = next(line for line in said.splitlines() if line.startswith("AMPERE_80"))
    assert " ".join(row.split()).endswith(f"2.72 {10 * 2.72 / 3600:.4f} (10 s, published)")
    row = next(line for line in said.splitlines() if line.startswith("ADA_48_PRO"))
    assert "1.90" in row  # the dearer of its cards
    assert row.endswith("estimated)")
    assert "$0.0210 an image" in said
    assert "up to $8.16 an hour" in said
    assert "idle seconds" in said


@pytest.mark.parametrize(
    ("model", "is_known"), [("krea-dev", True), ("schnell", False), ("kontext", True)]
)
def test_an_images_cost_is_told_where_its_seconds_are_known(deploy, model, is_known):
    _, said = deploy("plan", *NEW, "--model", model, "--pools", "ADA_80_PRO")
    row = next(line for line in said.splitlines() if line.startswith("ADA_80_PRO"))
    assert ("unknown" in row) is not is_known


def test_an_endpoint_of_kontext_is_planned_with_its_own_estimate_and_price(deploy):
    _, said = deploy("plan", *NEW, "--model", "kontext", "--pools", "ADA_80_PRO")
    row = next(line for line in said.splitlines() if line.startswith("ADA_80_PRO"))
    assert row.endswith(" s, estimated)")
    assert "The public endpoint's price for FLUX.1-Kontext-dev: $0.0250 an image." in said
    assert "black-forest-labs/FLUX.1-Kontext-dev, to be chosen afterwards" in said


def test_without_a_key_the_plan_goes_by_the_dated_table(runpod, deploy, monkeypatch):
    monkeypatch.delenv("RUNPOD_API_KEY")
    code, said = deploy("plan", *NEW)
    assert code == 0
    assert "August 2026" in said
    assert not runpod.asked
    assert "Set RUNPOD_API_KEY" in deploy("plan", *NEW, "--endpoint", "ep0")[0]


def test_planning_changes_nothing(runpod, deploy):
    deploy("plan", *NEW)
    runpod.add()
    deploy("plan", *NEW)
    assert {method for method, _, _ in runpod.asked} == {"GET"}


def test_nothing_is_created_where_nobody_can_be_asked(runpod, deploy, monkeypatch):
    code, said = deploy("create", *NEW)
    assert "add --yes" in code
    assert "you/flux:2" in said
    assert not runpod.endpoints


@pytest.mark.parametrize(("answer", "number"), [("n", 0), ("", 0), ("y", 1), (None, 0)])
def test_create_asks_first(runpod, deploy, monkeypatch, answer, number):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "" if answer is None else f"{answer}\n")
    code, said = deploy("create", *NEW)
    assert code == 1 - number
    assert ("Nothing was done." in said) == (not number)
    assert len(runpod.endpoints) == number


def test_a_file_is_read_and_flags_win(runpod, deploy, tmp_path):
    (tmp_path / "endpoint.toml").write_text(
        'name = "flux"\nimage = "you/flux:1"\nmodel = "schnell"\nidle_timeout = 30\n'
        '[secrets]\nHF_TOKEN = "one"\n[env]\nWARMUP_SIZES = "512x512"\n'
    )
    deploy("create", "--image", "you/flux:9", "--secret", "HF_TOKEN=two", "--yes")
    (made,) = runpod.endpoints
    assert made["image"] == "you/flux:9"
    assert made["workers"]["idleTimeout"] == 30
    assert made["env"]["FLUX_MODEL"] == "schnell"
    assert made["env"]["WARMUP_SIZES"] == "512x512"
    assert made["env"]["HF_TOKEN"] == "{{ RUNPOD_SECRET_two }}"


def test_created_twice_it_is_there_once(runpod, deploy):
    deploy("create", *NEW, "--yes")
    code, said = deploy("create", *NEW, "--yes")
    assert code == 0
    assert "There is an endpoint of this name already: ep0" in said
    assert "nothing to do" in said
    assert len(runpod.endpoints) == 1
    assert not runpod.bodies("PATCH")


def test_an_endpoint_whose_name_flashboot_has_lengthened_is_found(runpod, deploy):
    runpod.add(name="flux -fb", image="you/flux:2")
    _, said = deploy("create", *NEW, "--yes")
    assert "nothing to do" in said
    assert len(runpod.endpoints) == 1


def test_where_the_answer_is_lost_it_looks_instead_of_creating_twice(runpod, deploy):
    runpod.faults = [("POST", "lose")]
    code, said = deploy("create", *NEW, "--yes")
    assert code == 0
    assert "lost on the way" in said
    assert len(runpod.endpoints) == len(runpod.bodies("POST")) == 1


@pytest.mark.parametrize("fault", ["drop", problem(502, "Bad Gateway", "upstream")])
def test_where_it_was_not_created_it_says_so_and_sends_nothing_twice(runpod, deploy, fault):
    runpod.faults = [("POST", fault)]
    code, _ = deploy("create", *NEW, "--yes")
    assert "Nothing is sent twice" in code
    assert len(runpod.bodies("POST")) == 1


def test_where_nobody_can_look_whether_it_was_created_that_is_said(runpod, deploy):
    runpod.faults = [("POST", "lose"), *[("GET", "drop")] * 20]
    code, _ = deploy("create", *NEW, "--yes")
    assert "Whether it was created isn't known. Nothing is sent twice" in code
    assert len(runpod.bodies("POST")) == 1


def test_an_answer_without_an_id_is_looked_after(runpod, deploy):
    runpod.faults = [("POST", (201, {"ok": True}))]
    code, _ = deploy("create", *NEW, "--yes")
    assert "No endpoint flux is there now. Nothing is sent twice" in code


@pytest.mark.parametrize(
    "fault", ["drop", problem(503, "Down", "x"), problem(429, "Too Many Requests", "x")]
)
def test_reading_is_tried_again(runpod, deploy, fault):
    runpod.faults = [("GET", fault)] * 3
    assert deploy("plan", *NEW)[0] == 0


def test_too_many_requests_create_nothing_and_are_tried_again(runpod, deploy):
    runpod.faults = [("POST", problem(429, "Too Many Requests", "x"))]
    assert deploy("create", *NEW, "--yes")[0] == 0
    assert len(runpod.endpoints) == 1


# -- changing


def test_an_update_changes_what_is_named_and_nothing_else(runpod, deploy):
    before = runpod.add(
        env={"FLUX_MODEL": "dev", "OF_SOMEBODY": "else"},
        workers={"min": 1, "max": 9, "idleTimeout": 77},
        networkVolumes=["vol"],
        timeout=111_000,
        registry="cred",
    )
    code, said = deploy("update", *NEW, "--workers-max", "4", "--env", "COMPILE=false", "--yes")
    assert code == 0
    assert runpod.bodies("PATCH") == [
        {
            "image": "you/flux:2",
            "workers": {"min": 1, "max": 4, "idleTimeout": 77},
            "env": {"FLUX_MODEL": "dev", "OF_SOMEBODY": "else", "COMPILE": "false"},
        }
    ]
    changed = [line.strip() for line in said.splitlines() if "→" in line]
    assert [line.replace("  ", " ").split() for line in changed] == [
        ["image", "you/flux:1", "→", "you/flux:2"],
        ["workers.max", "9", "→", "4"],
        ["env.COMPILE", "(not", "set)", "→", "false"],
    ]
    assert before["networkVolumes"] == ["vol"]


def test_what_somebody_changes_while_it_asks_is_not_undone(runpod, deploy, monkeypatch):
    endpoint = runpod.add(env={"JOBS_IN_FLIGHT": "4"})

    def agree():
        endpoint["env"] = {"JOBS_IN_FLIGHT": "16"}
        return "y\n"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", agree)
    code, _ = deploy("update", *NEW, "--env", "COMPILE=false")
    assert "was changed meanwhile" in code
    assert not runpod.bodies("PATCH")


def test_what_is_deleted_while_it_asks_is_said(runpod, deploy, monkeypatch):
    runpod.add()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: runpod.endpoints.clear() or "y\n")
    code, _ = deploy("update", *NEW)
    assert "check the endpoint's id" in code


def test_an_update_tells_what_always_running_workers_cost(runpod, deploy):
    runpod.add()
    _, said = deploy("plan", *NEW, "--workers-min", "2")
    assert f"2 always running: up to ${24 * 2 * 1.10:.2f} a day" in said


@pytest.mark.parametrize(
    ("env", "flags"),
    [
        ({}, "--model dev --images data"),
        ({"FLUX_MODEL": "schnell"}, "--model schnell --images data"),
        ({"BUCKET_ENDPOINT_URL": "https://s3"}, "--model dev"),
        ({"BUCKET_ENDPOINT_URL": "x", "BUCKET_PUBLIC_URL": "y"}, "--model dev --images public"),
        (
            {"BUCKET_ENDPOINT_URL": "x", "URL_TTL_SECONDS": "60", "PRICE_PER_MEGAPIXEL": "0.03"},
            "--model dev --url-ttl 60 --price 0.03",
        ),
    ],
)
def test_the_check_that_is_advised_is_one_that_the_endpoint_passes(runpod, deploy, env, flags):
    runpod.add(env=env)
    _, said = deploy("update", "--name", "flux", "--disk", "70", "--yes")
    assert said.rstrip().endswith(f"verify ep0 {flags}")


def test_the_same_update_again_does_nothing(runpod, deploy):
    runpod.add()
    deploy("update", *NEW, "--idle-timeout", "9", "--yes")
    _, said = deploy("update", *NEW, "--idle-timeout", "9", "--yes")
    assert "nothing to do" in said
    assert len(runpod.bodies("PATCH")) == 1


def test_values_that_may_be_secret_are_shown_nowhere(runpod, deploy):
    key = "AKIAIOSFODNN7EXAMPLE"
    runpod.add(env={"CIVITAI_TOKEN": key, "HF_TOKEN": "short"})
    _, said = deploy("plan", *NEW, "--secret", "HF_TOKEN=a", "--secret", "CIVITAI_TOKEN=b")
    assert "env.HF_TOKEN       (a value that isn't shown) → {{ RUNPOD_SECRET_a }}" in said
    assert key not in said
    assert "short" not in said
    assert KEY not in said


def test_new_pools_keep_the_exclusions_that_still_fit(runpod, deploy):
    runpod.add(gpu={"pools": ["ADA_48_PRO", "ADA_24"], "excludedTypes": ["NVIDIA L40"]})
    deploy("update", *NEW, "--pools", "ADA_48_PRO", "--yes")
    assert runpod.endpoints[0]["gpu"]["excludedTypes"] == ["NVIDIA L40"]
    _, said = deploy("update", *NEW, "--pools", "AMPERE_80", "--yes")
    assert runpod.endpoints[0]["gpu"]["excludedTypes"] == []
    assert "NVIDIA L40 → (none)" in said


def test_a_lowest_cuda_version_replaces_a_set_of_them(runpod, deploy):
    runpod.add(gpu={"pools": ["ADA_24"], "allowedCudaVersions": ["12.8"]})
    code, said = deploy("update", *NEW, "--cuda", "13.0", "--yes")
    assert code == 0
    assert "12.8 → (none)" in said
    assert runpod.endpoints[0]["gpu"]["minCudaVersion"] == "13.0"


def test_an_update_by_id_may_rename(runpod, deploy):
    runpod.add(name="older")
    deploy("update", *NEW, "--endpoint", "ep0", "--yes")
    assert runpod.endpoints[0]["name"] == "flux"


@pytest.mark.parametrize("endpoint_id", ["", "../pods/x", "ep0 x", "ep0?y"])
def test_an_id_that_is_none_names_no_other_endpoint(runpod, deploy, endpoint_id):
    runpod.add()
    code, _ = deploy("update", *NEW, "--endpoint", endpoint_id, "--disk", "70", "--yes")
    assert code == 2
    assert not runpod.asked


def test_values_that_runpod_masks_are_not_written_back(runpod, deploy):
    runpod.add(env={"HF_TOKEN": "********"})
    code, _ = deploy("update", *NEW, "--env", "COMPILE=false", "--yes")
    assert "doesn't show what HF_TOKEN is" in code
    assert not runpod.bodies("PATCH")


def test_the_whole_bucket_is_judged_after_an_update(runpod, deploy):
    runpod.add(env={"BUCKET_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"})
    code, _ = deploy("update", *NEW, "--env", "BUCKET_NAME=pictures", "--yes")
    assert "half configured: set BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY" in code


@pytest.mark.parametrize(
    ("given", "arguments", "sentence"),
    [
        (
            {"scaling": {"type": "REQUEST_COUNT", "requestCount": 4}},
            ("--idle-timeout", "9"),
            "no idle time-out then",
        ),
        ({"type": "LOAD_BALANCER"}, (), "load balancer's"),
        ({"workers": {"min": 2, "max": 5}}, ("--workers-max", "1"), "give both"),
    ],
)
def test_what_an_endpoint_cannot_become_is_said_before_anything_is_sent(
    runpod, deploy, given, arguments, sentence
):
    runpod.add(**given)
    code, _ = deploy("update", *NEW, *arguments, "--yes")
    assert sentence in code
    assert not runpod.bodies("PATCH")


def test_cpu_endpoints_are_left_alone():
    endpoint = {"id": "ep", "type": "QUEUE", "gpu": None, "cpu": [{"id": "cpu5c"}]}
    with pytest.raises(CannotDeploy, match="runs on CPUs"):
        update(Wanted(), endpoint, [], rename=False)


def test_two_endpoints_of_one_name_are_told_apart_by_their_ids(runpod, deploy):
    runpod.add()
    runpod.add()
    code, _ = deploy("update", *NEW, "--yes")
    assert "say --endpoint, of ep0, ep1" in code


# -- refusals


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (problem(400, "Bad Request", "no"), "Runpod refuses this (HTTP 400). Runpod says: no."),
        (problem(402, "Payment Required", "balance"), "has no funds"),
        (problem(404, "Not Found", "x"), "check the endpoint's id"),
        (problem(409, "Conflict", "x"), "The name is in use"),
        (problem(422, "Unprocessable", "failed.", "$: no 'x'"), "says: failed; $: no 'x'."),
        ((418, "tea"), "HTTP 418"),
    ],
)
def test_a_refusal_is_a_sentence_by_its_cause(runpod, deploy, fault, sentence):
    runpod.faults = [("POST", fault)]
    code, _ = deploy("create", *NEW, "--yes")
    assert sentence in code


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("", "Set RUNPOD_API_KEY"),
        ("rpa_wrong", "doesn't know this API key"),
        ("rpa_of\nX: y", "a character that no key has"),
        (READING_KEY, "may not do that"),
    ],
)
def test_a_key_that_does_not_fit(runpod, deploy, monkeypatch, key, sentence):
    monkeypatch.setenv("RUNPOD_API_KEY", key)
    code, _ = deploy("create", *NEW, "--yes")
    assert sentence in code
    assert not key or key not in code


def test_no_api_at_all(deploy, monkeypatch):
    monkeypatch.setenv("RUNPOD_API_URL", "http://127.0.0.1:9/v2")
    assert "check the address and this machine's network" in deploy("plan", *NEW)[0]


@pytest.mark.parametrize(
    "answers",
    [
        [{"pods": []}],
        [{"endpoints": [None]}],
        [{"endpoints": [{"id": "ep0"}]}],
        [{"endpoints": []}, {"gpus": [{"pool": "ADA_24"}]}],
    ],
)
def test_something_else_that_answers(runpod, deploy, answers):
    runpod.faults = [("GET", (200, answer)) for answer in answers]
    assert "check RUNPOD_API_URL" in deploy("plan", *NEW)[0]


def test_a_key_never_leaves_the_machine_unencrypted():
    with pytest.raises(CannotDeploy, match="unencrypted"):
        Api(KEY, "http://api.example.com/v2").endpoints()


def test_nor_does_it_by_way_of_a_proxy(runpod, deploy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    code, _ = deploy("plan", *NEW)
    assert "add 127.0.0.1 to NO_PROXY" in code
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert deploy("plan", *NEW)[0] == 0


@pytest.mark.parametrize(
    ("url", "sentence"), [("https://[", "RUNPOD_API_URL is no URL"), ("foo", "unencrypted")]
)
def test_an_address_that_is_none(deploy, monkeypatch, url, sentence):
    monkeypatch.setenv("RUNPOD_API_URL", url)
    assert sentence in deploy("plan", *NEW)[0]


def test_unknown_pools_are_refused_by_the_catalog(runpod, deploy):
    code, _ = deploy("create", *NEW, "--pools", "BLACKWELL_180", "--yes")
    assert "There is no pool BLACKWELL_180. Runpod has ADA_24," in code
    assert not runpod.bodies("POST")
