"""Finds tasks that nobody will ever wake.

For want of memory a loop may fail to note that a task is to go on, in the hands of a library that takes that for a
broken connection and says nothing: what the task waits for has come, and it waits for ever, past every timeout. It is
one of two ways in which a watch of pods may have come to stand still (chaos seed 15032).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

EVERY_S = 2.0

Waits = Mapping["asyncio.Task[Any]", object]


def watch_over(loop: asyncio.AbstractEventLoop, lost: Callable[[asyncio.Task[Any]], object]) -> None:
    """Call `lost` with a task of the loop that stands still for good; look again and again while the loop runs.

    A callback rather than a task: it cannot be lost in the same way, for what fails in it reaches the loop's handler of
    exceptions.
    """
    _scan(loop, {}, lost)


def _scan(loop: asyncio.AbstractEventLoop, before: Waits, lost: Callable[[asyncio.Task[Any]], object]) -> None:
    """Whoever is to go on does so before the next scan: the loop's line is first come first served."""
    now = {task: waiter for task in asyncio.all_tasks(loop) if (waiter := _over(task)) is not None}
    for task, waiter in now.items():
        if before.get(task) is waiter:
            lost(task)
    loop.call_later(EVERY_S, _scan, loop, now, lost)


def _over(task: asyncio.Task[Any]) -> object:
    """What it waits for, if that is over; else None."""
    waiter = getattr(task, "_fut_waiter", None)
    return waiter if waiter is not None and waiter.done() else None
