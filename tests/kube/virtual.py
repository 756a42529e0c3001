"""A loop whose clock jumps to the next timer as soon as nothing else is to do, so that an hour takes no time.

Sockets are real, on loopback and inside this one process: what one side wrote, the other can read at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from tests.control.pure_time import Jumping, PureLoop, play

_SETTLE_S = 0.001  # real time granted to the kernel before the clock jumps
_STUCK_S = 10.0  # real time without any timer or byte after which a test is stuck


class _JumpingSelector(Jumping):
    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            ready = self._real.select(_STUCK_S)
            if not ready:
                raise RuntimeError("nothing will ever happen in this test")
            return ready
        ready = self._real.select(0)
        if ready or timeout <= 0:
            return ready
        ready = self._real.select(_SETTLE_S)
        if not ready:
            self.now_s += timeout
        return ready


class VirtualLoop(PureLoop):
    """With sockets: its time stands still while a byte is on its way."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector())


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a VirtualLoop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        play(test(*args, **kwargs), loop=VirtualLoop)

    return run
