import asyncio

import pytest
from aiohttp import ClientPayloadError, InvalidURL

from flux_worker.downloads.attempts import LIMITS, Again, Limits, persist
from flux_worker.downloads.refusals import Refused, Unavailable, Unreached

QUICK = Limits(5, (0, 0))


def persisting(*outcomes, limits=QUICK, is_worth_it=lambda: True):
    left = list(outcomes)

    async def attempt():
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            await outcome()
        return outcome

    return asyncio.run(persist(attempt, "files.example", limits, is_worth_it)), left


def test_the_first_success_counts():
    assert persisting(Again(503), ClientPayloadError(), "done") == ("done", [])
    assert persisting("done", "not asked") == ("done", ["not asked"])


def test_the_last_failure_is_told():
    with pytest.raises(Unreached, match="files.example answers 429; send the job again"):  # noqa: RUF043
        persisting(Again(503), OSError(), Again(429))
    with pytest.raises(Unreached, match="doesn't answer"):
        persisting(Again(503), Again(503), TimeoutError())


def test_what_no_attempt_mends_is_not_tried_again():
    with pytest.raises(Refused, match="has a host that no server can have"):
        persisting(InvalidURL("https://"), "not asked")


def test_an_attempt_that_is_not_worth_it_is_not_made():
    with pytest.raises(Unreached):
        persisting(Again(503), "not asked", is_worth_it=lambda: False)


def test_all_attempts_together_have_their_time():
    with pytest.raises(Unavailable, match=r"takes longer than 0\.05 seconds") as failure:
        persisting(Again(), lambda: asyncio.sleep(60), limits=Limits(0.05, (0,)))
    assert not isinstance(failure.value, Unreached)


def test_an_origin_is_not_asked_in_haste():
    assert list(LIMITS.pauses) == sorted(LIMITS.pauses)
    assert LIMITS.pauses[0] > 0
    assert sum(LIMITS.pauses) < LIMITS.patience
