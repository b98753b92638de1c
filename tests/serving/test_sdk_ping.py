"""The pings go on when the SDK's process for them has died."""

import asyncio
import multiprocessing
import threading
from functools import partial
from types import SimpleNamespace

import loopback
import pytest
from runpod.serverless.modules import rp_ping
from runpod.serverless.modules.worker_state import JobsProgress, PingJobMirror

from flux_worker.serving import sdk_ping


@pytest.fixture
def heartbeat(monkeypatch):
    """The SDK's process, started as the SDK starts it, and what arrives of its pings."""
    arrived = []

    def take(request):
        arrived.append(request.path)
        request.answer(200)

    def once(seconds):
        """Let a thread of this process ping once."""
        raise SystemExit

    with loopback.serving(take) as url:
        for name, value in (("AI_API_KEY", "k"), ("POD_ID", "w"), ("WEBHOOK_PING", f"{url}/ping")):
            monkeypatch.setenv(f"RUNPOD_{name}", value)
        monkeypatch.setattr(rp_ping, "Process", partial(multiprocessing.Process, name="ping"))
        monkeypatch.setattr(rp_ping.Heartbeat, "_process_started", False)
        monkeypatch.setattr(sdk_ping, "LOOK", 0.01)
        JobsProgress().clear()
        mirror = PingJobMirror()
        JobsProgress().set_mirror(mirror)
        rp_ping.Heartbeat().start_ping(mirror)
        monkeypatch.setattr(rp_ping, "time", SimpleNamespace(sleep=once))
        [process] = [child for child in multiprocessing.active_children() if child.name == "ping"]
        try:
            yield SimpleNamespace(process=process, arrived=arrived, mirror=mirror)
        finally:
            process.kill()
            process.join()
            JobsProgress().set_mirror(None)


def pinging_threads():
    return [thread for thread in threading.enumerate() if thread.name == sdk_ping.NAME]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_worker_pings_when_the_process_has_died_and_says_so(heartbeat, caplog):
    heartbeat.process.kill()
    heartbeat.process.join()
    heartbeat.mirror._buffer.get_lock().acquire()  # as if it had died in the middle of reading
    before = len(heartbeat.arrived)

    async def main():
        JobsProgress()._mirror = None
        JobsProgress().add("job-1")
        await asyncio.wait_for(sdk_ping.take_over(), 30)

    asyncio.run(main())
    for thread in pinging_threads():
        thread.join(30)
    [ping] = heartbeat.arrived[before:]
    assert "job_id=job-1" in ping
    assert "has ended; the worker pings from now on" in caplog.text


def test_nothing_is_done_while_the_process_lives(heartbeat):
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(sdk_ping.take_over(), 0.2))
    assert not pinging_threads()


def test_nothing_is_done_where_nobody_pings():
    assert not rp_ping.Heartbeat._process_started
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(sdk_ping.take_over(), 0.2))
    assert not pinging_threads()


def test_the_sdk_itself_still_lets_its_process_die_unnoticed(heartbeat):
    heartbeat.process.kill()
    heartbeat.process.join()
    rp_ping.Heartbeat().start_ping(heartbeat.mirror)
    assert not [child for child in multiprocessing.active_children() if child.name == "ping"]
