"""Warnings that would repeat for as long as something lasts: told at once, then at growing intervals."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

FIRST_S, MOST_S = 60.0, 3600.0  # between two lines about the same thing, doubling
FORGOTTEN_S = 120.0  # what has not come for so long is news when it comes again
MOST_KEYS = 256


@dataclass(slots=True)
class _Repeat:
    """Loop times: when it came last, and from when on it may be told again. held_back: how often it was not told."""

    came_s: float
    due_s: float
    interval_s: float
    held_back: int = 0


class ThrottledLog:
    """key: what counts as the same thing. Bounded: the key that came longest ago is forgotten first."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._repeats: OrderedDict[Hashable, _Repeat] = OrderedDict()

    def warning(self, key: Hashable, message: str, *args: object, exc_info: BaseException | None = None) -> bool:
        """False: held back. Must be called in a running event loop, whose clock counts."""
        now_s = asyncio.get_running_loop().time()
        repeat = self._repeats.get(key)
        if repeat is None or now_s - repeat.came_s > FORGOTTEN_S:
            self._repeats[key] = _Repeat(now_s, now_s + FIRST_S, FIRST_S)
            self._repeats.move_to_end(key)
            if len(self._repeats) > MOST_KEYS:
                self._repeats.popitem(last=False)
            self._log.warning(message, *args, exc_info=exc_info)
            return True
        self._repeats.move_to_end(key)
        repeat.came_s = now_s
        if now_s < repeat.due_s:
            repeat.held_back += 1
            return False
        more, repeat.held_back = repeat.held_back, 0
        repeat.interval_s = min(MOST_S, repeat.interval_s * 2)
        repeat.due_s = now_s + repeat.interval_s
        self._log.warning(f"{message} (and repeats=%d since it was last logged)", *args, more, exc_info=exc_info)
        return True

    def forget(self, key: Hashable) -> bool:
        """It is over: the next time it is news. True if it had been told."""
        return self._repeats.pop(key, None) is not None
