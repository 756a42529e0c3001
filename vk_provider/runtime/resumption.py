"""A process that was stopped, and goes on: whether it may.

After SIGCONT a process goes on in the middle of anything, also of sending a request for which the fence was asked
before it was stopped. The kernel delivers that signal before anything else runs, and Python's handler comes before the
next line of ours: so whoever wakes too late ends there, with nothing sent.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vk_provider.fence import Fence

log = logging.getLogger(__name__)

STOPPED_TOO_LONG = 75  # the exit code (EX_TEMPFAIL): begin anew

_guarded: set[Fence] = set()


@contextmanager
def ends_if_shut(fence: Fence) -> Iterator[None]:
    """Meanwhile the process ends when it is resumed and may not write any more, though it did not know that yet.

    For the main thread.
    """
    _guarded.add(fence)
    signal.signal(signal.SIGCONT, _resumed)
    try:
        yield
    finally:
        _guarded.discard(fence)
        if not _guarded:
            signal.signal(signal.SIGCONT, signal.SIG_DFL)


def _resumed(_: int, __: FrameType | None) -> None:
    if not all(fence.is_open for fence in _guarded):
        os.write(2, b"vk-provider: stopped for too long, another process may serve the node; ending\n")
        os._exit(STOPPED_TOO_LONG)
