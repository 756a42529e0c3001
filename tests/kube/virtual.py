"""A loop whose clock jumps to the next timer as soon as nothing else is to do, so that an hour takes no time.

Sockets are real, on loopback and inside this one process: what one side wrote, the other can read at once.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

_SETTLE_S = 0.001  # real time granted to the kernel before the clock jumps
_STUCK_S = 10.0  # real time without any timer or byte after which a test is stuck


class _JumpingSelector:
    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.jumped_s = 0.0

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
            self.jumped_s += timeout
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time starts at 0 and stands still while anything runs."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)  # type: ignore[arg-type]
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.jumped_s


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a VirtualLoop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
