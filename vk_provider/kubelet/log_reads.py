"""Who has just read a log, so that an attachment that follows does not show the same again.

`kubectl run -i` from 1.37 on reads the log first and then attaches; older ones attach only. An attachment to a new
container shows its log from the beginning, for the older ones, but without what a call has shown a moment before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

JUST_NOW_S = 5.0
MOST = 256  # containers whose reading is remembered; beyond them the one read first is forgotten


class LogReads:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._read: dict[tuple[str, str], tuple[float, int]] = {}

    def note(self, instance_id: str, container: str, size: int) -> None:
        """A call has shown the first `size` bytes of the log, and all that there were."""
        self._read.pop((instance_id, container), None)
        self._read[instance_id, container] = self._monotonic(), size
        while len(self._read) > MOST:
            del self._read[next(iter(self._read))]

    def shown(self, instance_id: str, container: str) -> int:
        """How many bytes of its beginning a call has shown just now. Told once."""
        at, size = self._read.pop((instance_id, container), (float("-inf"), 0))
        return size if self._monotonic() - at <= JUST_NOW_S else 0
