"""Lets SIGTERM end a worker that is a container's first process, from this import on.

The image has an init in its place, so this is for who starts Python without that.

The kernel doesn't end such a process by a signal that it has no handler for. The SDK has one when
jobs are taken; until then there is nothing to finish, and a start takes minutes.
"""

import os
import signal

if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
