"""A loop on virtual time in which a life can be stopped, as a process by SIGSTOP: what it awaits comes true without it.

Whose a task or a timer is stands in its context. The others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

from tests.control.pure_time import PureLoop


class Life:
    """What of one process wants to run while it stands still, in order."""

    def __init__(self) -> None:
        self.stopped = False
        self.held: list[asyncio.Handle] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def stop(self) -> None:
        self.stopped = True

    def go_on(self, loop: StoppableLoop) -> None:
        self.stopped = False
        held, self.held = self.held, []
        loop.run_soon(held)

    async def end(self) -> None:
        """What nobody waited for dies with it all the same; and what lost the word that it is to end, as a task may
        that waits for a group of which one fails in that very turn."""
        left = list(self.tasks)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)


class StoppableLoop(PureLoop):
    """longest_s, held_by: the step of a life that took most CPU. Nothing else of a story depends on it."""

    longest_s = 0.0
    held_by = ""

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = super().create_task(coro, name=name, context=context)
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None:
            life.tasks[task] = None
            task.add_done_callback(lambda over: life.tasks.pop(over, None))
        return task

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is None:
            return super().call_soon(callback, *args, context=context)

        def measured() -> None:
            began_s = time.thread_time()
            callback(*args)
            took_s = time.thread_time() - began_s
            if took_s > self.longest_s:
                self.longest_s, self.held_by = took_s, repr(callback)[:300]

        if not life.stopped:
            return super().call_soon(measured, context=context)
        handle = asyncio.Handle(measured, (), self, context or copy_context())
        life.held.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        life = LIFE.get() if context is None else context.get(LIFE)

        def unless_cancelled() -> None:
            if not timer.cancelled():  # by what ran before it, when both were held
                callback(*args)

        def ring() -> None:
            self.reach(when)
            if life is not None and life.stopped:
                life.held.append(asyncio.Handle(unless_cancelled, (), self, copy_context()))
            else:
                callback(*args)

        timer = super().call_at(when, ring, context=context)
        return timer

    def run_soon(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)

    def reach(self, when: float) -> None:
        """A timer rings a hair early; who then finds that it is not yet time would ask again for ever."""
        self._jumping.now_s = max(self._jumping.now_s, when)
