"""What is said where some of a request's files can't be had."""

import asyncio

import pytest

from flux_worker.downloads import outcomes
from flux_worker.downloads.refusals import Refused, Unavailable
from flux_worker.errors import GenerationFailed, InvalidRequest


def of_all(**wanted):
    async def each(outcome):
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def all_of_them():
        return await outcomes.of_all({name: each(outcome) for name, outcome in wanted.items()})

    return asyncio.run(all_of_them())


def test_what_has_come_is_returned_by_name():
    assert of_all(a=1, b=2) == {"a": 1, "b": 2}
    assert of_all() == {}


def test_every_fault_is_named_and_faults_come_before_failures():
    with pytest.raises(InvalidRequest) as refusal:
        of_all(a=Refused("is x"), b=1, c=Unavailable("is y"), d=Refused("is z"))
    assert str(refusal.value) == "Invalid parameter: a is x; d is z"


def test_failures_are_named_together():
    with pytest.raises(GenerationFailed, match=r"^a is x; c is y\.$"):
        of_all(a=Unavailable("is x"), b=1, c=Unavailable("is y"))


def test_any_other_error_is_itself():
    with pytest.raises(ZeroDivisionError):
        of_all(a=Refused("is x"), b=ZeroDivisionError())
