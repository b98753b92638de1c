"""What docs/buckets.md says of each provider is what the worker makes of it, and runs."""

import asyncio
import json
import re
import shlex
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from conftest import ROOT

from flux_worker.delivery import bucket, rehearsal
from flux_worker.errors import CannotStart
from flux_worker.settings import Settings

PAGE = (ROOT / "docs/buckets.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)$\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROWS = re.findall(r"^\| \[(.+?)\]\(.+?\) \| `(.+?)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
ADDRESSING = {"in the path": "path", "in the host": "virtual"}


def blocks(section, language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)


def variables(section):
    """The settings that a section shows, with a secret where it shows dots."""
    (block,) = (each for each in blocks(section, "bash") if each.startswith("BUCKET_"))
    given = dict(line.split("=", 1) for line in block.splitlines())
    return {name.lower(): value.replace("…", "x") for name, value in given.items()}


def rule_and_policy():
    policy, rule = map(json.loads, blocks("For every provider", "json"))
    return rule, policy


def test_each_provider_has_a_row_and_a_section_with_all_that_is_promised():
    assert [name for name, *_ in ROWS] == list(SECTIONS)[1:]
    for name, *_ in ROWS:
        for part in ("**The key**", "**Seven days**", "What goes wrong:"):
            assert part in SECTIONS[name], f"{name}: {part}"


@pytest.mark.parametrize(("name", "endpoint", "region", "where"), ROWS, ids=[r[0] for r in ROWS])
def test_the_variables_make_the_bucket_that_its_row_tells(name, endpoint, region, where):
    made = bucket.from_settings(Settings(**variables(name)))
    assert made.address.name == "photos"
    assert made.address.addressing == ADDRESSING[where]
    written = re.findall(r"`(.+?)`", region)
    if written:
        assert made.address.region == written[0]
    else:
        assert made.address.region in made.address.host
    account = re.sub(r"\b[0-9a-f]{32}\b", "<account id>", variables(name)["bucket_endpoint_url"])
    assert account == endpoint


def test_the_policy_has_each_right_that_the_sentences_ask_for():
    _, policy = rule_and_policy()
    (statement,) = policy["Statement"]
    asked = set()
    for module in ("causes", "rehearsal"):
        source = (ROOT / f"src/flux_worker/delivery/{module}.py").read_text()
        asked |= set(re.findall(r"s3:\w+", source))
    assert set(statement["Action"]) == asked
    assert statement["Resource"] == "arn:aws:s3:::photos/*"


@pytest.mark.parametrize("name", SECTIONS)
def test_all_json_can_be_read_and_counts_seven_days(name):
    for block in blocks(name, "json"):
        if "Statement" not in (rule := json.loads(block)):
            assert re.search(r'"(Days|age)": 7\b|"maxAge": 604800\b', json.dumps(rule)), rule


def test_a_server_takes_the_rule_and_gives_it_back(s3):
    rule, _ = rule_and_policy()
    s3.client().create_bucket(Bucket="ruled")
    s3.client().put_bucket_lifecycle_configuration(Bucket="ruled", LifecycleConfiguration=rule)
    kept = s3.client().get_bucket_lifecycle_configuration(Bucket="ruled")["Rules"]
    assert kept == rule["Rules"]


def rehearsed(made):
    """Rehearse, and again while the server, which learns of keys later, doesn't know this one."""
    for _ in range(100):
        try:
            return asyncio.run(rehearsal.rehearse(made, 60))
        except CannotStart as reason:
            if "doesn't know the key" not in str(reason):
                raise
        time.sleep(0.1)
    return None


def test_seaweedfs_key_is_made_as_written_and_serves_the_worker(s3, bucket_settings):
    """And one that may only write makes the worker say what the page says that it does."""
    (line,) = (each for each in blocks("SeaweedFS", "bash") if "s3.configure" in each)
    _, configure, *_ = shlex.split(line.replace("\\\n", " "))
    as_written = configure.replace("=photos", "=flux")
    blind = as_written.replace("flux-worker", "blind").replace("Read,Write", "Write")
    subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "weed", "shell", f"-master={s3.master}"],
        input=f"{as_written}\n{blind}\n",
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )

    def key(name):
        own = {"bucket_access_key_id": name, "bucket_secret_access_key": "ANOTHER_SECRET"}
        return bucket.from_settings(Settings(**{**bucket_settings, **own}))

    assert rehearsed(key("flux-worker"))
    with pytest.raises(CannotStart, match=r"answers 403 AccessDenied: give the key .*s3:GetObject"):
        rehearsed(key("blind"))
