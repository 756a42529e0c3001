"""A loop without sockets, whose clock jumps to the next timer when nothing else is to do: an hour takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Jumping:
    """A selector that never waits."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits and nothing will ever happen")
        self.now_s += max(timeout, 0.0)
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class PureLoop(asyncio.SelectorEventLoop):
    """Its time starts at 0."""

    def __init__(self, jumping: Jumping | None = None) -> None:
        self._jumping = jumping or Jumping()
        super().__init__(self._jumping)  # type: ignore[arg-type]
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.now_s


def play(story: Coroutine[Any, Any, T], *, loop: Callable[[], asyncio.AbstractEventLoop] = PureLoop) -> T:
    """Run it to its end, in no time."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(story)
