"""Hands the worker to the pinned SDK, runpod 1.12.0, with every change that is made to it.

The changes are in the modules `sdk_…`, each with its reason. Remove one when the SDK has made it
itself: a test for each fails then.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import Process

import runpod
from runpod.serverless.modules import rp_http, rp_ping, rp_scale

from flux_worker.serving import sdk_ping
from flux_worker.serving.fitness import Check
from flux_worker.serving.sdk_loop import Loop
from flux_worker.serving.sdk_posts import post_result
from flux_worker.serving.worker import Worker


def serve(
    worker: Worker,
    checks: Iterable[Check],
    ceiling: int,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Hand the worker to the SDK, with all changes made, until the platform ends it.

    Args:
        worker: answers the jobs.
        checks: must hold before the first job.
        ceiling: how many jobs may be in flight at once.
        ready: called when the checks hold and the first job can be taken.
    """
    shutdown = asyncio.Event()
    rp_http._transmit = partial(post_result, shutdown=shutdown)
    rp_ping.Process = partial(Process, name=sdk_ping.NAME)
    rp_scale.JobScaler = partial(
        Loop,
        turns=worker.turns,
        unusable=worker.unusable,
        shutdown=shutdown,
        ceiling=ceiling,
        ready=ready,
    )
    for check in checks:
        runpod.serverless.register_fitness_check(check)
    if "RUNPOD_WEBHOOK_GET_JOB" not in os.environ:
        ready()  # without a queue the SDK neither checks anything nor makes the loop
    runpod.serverless.start({"handler": worker.handle})
