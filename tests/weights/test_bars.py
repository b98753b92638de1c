"""What the log says of a download under way."""

from types import SimpleNamespace

import pytest

from flux_worker.weights import bars


@pytest.fixture
def clock(monkeypatch):
    """The clock of the progress lines, to be set."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def lines(caplog, clock, course, unit="B"):
    """The lines that are said of a download of 8 GB in the course of (second, sent, written)."""
    caplog.set_level("INFO", "flux_worker")
    shown = [kind(total=10**9, unit=unit) for kind in [bars.logged(8 * 10**9)] * 2]
    begin = clock.now
    for second, *done in course:
        clock.now = begin + second
        for bar, gigabytes in zip(shown, done, strict=True):
            bar.n = gigabytes * 10**9
            bar.refresh()
    return [record.getMessage() for record in caplog.records]


def test_a_download_says_every_five_seconds_how_far_it_is(caplog, clock):
    course = [(0, 0, 0), (1, 1, 0), (5.9, 2, 1), (6, 3, 3), (10.9, 4, 3), (11, 5, 4), (11.5, 8, 8)]
    assert lines(caplog, clock, course) == [
        f"Downloaded {gigabytes}.00 of 8.00 GB." for gigabytes in (1, 3, 5)
    ]


def test_files_are_not_counted_as_bytes(caplog, clock):
    assert lines(caplog, clock, [(0, 1, 1), (9, 23, 23)], unit="it") == []
