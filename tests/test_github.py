"""GitHub's files: workflows with few rights and an end, and forms that GitHub can show.

What a workflow does shows on GitHub alone.
"""

import re

import pytest
import yaml
from conftest import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in GITHUB.glob("workflows/*.yml")}
FORMS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml")
    if path.stem != "config"
}
JOBS = {
    f"{workflow}: {name}": job
    for workflow, document in WORKFLOWS.items()
    for name, job in document["jobs"].items()
}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read_unless_a_job_says_otherwise(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[name]["concurrency"]["group"]


def test_only_the_release_may_write_and_only_packages():
    writing = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert writing == {"release: image": {"contents": "read", "packages": "write"}}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_its_actions_are_pinned(name):
    job = JOBS[name]
    if "uses" in job:  # another workflow of ours
        assert (ROOT / job["uses"]).is_file()
        return
    assert job["timeout-minutes"] <= 90
    assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])
    for action in (step["uses"] for step in job["steps"] if "uses" in step):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action)


@pytest.mark.parametrize("name", JOBS)
def test_no_secret_is_left_in_the_checkout_and_no_event_text_reaches_a_shell(name):
    for step in JOBS[name].get("steps", ()):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", "")


def test_the_release_is_tested_before_it_is_pushed():
    jobs = WORKFLOWS["release"]["jobs"]
    assert {jobs[name]["uses"].rpartition("/")[2] for name in jobs["image"]["needs"]} == {
        "ci.yml",
        "image.yml",
    }
    assert all(jobs[name]["needs"] == "version" for name in jobs["image"]["needs"])
    assert "builder.release" in jobs["version"]["steps"][-1]["run"]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_can_be_shown(name):
    form = FORMS[name]
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert {part["type"] for part in asked} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(part["attributes"]["label"] for part in asked)


def test_a_fault_is_reported_with_what_is_needed_and_without_secrets():
    parts = {part["id"]: part for part in FORMS["bug"]["body"]}
    needed = {name for name, part in parts.items() if part.get("validations", {}).get("required")}
    assert needed == {"what", "start", "settings", "card", "version"}
    assert "names alone" in parts["settings"]["attributes"]["description"]
