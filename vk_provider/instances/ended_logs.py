"""The ends of the logs of instances that this node stopped for good: their pods stay, and are asked why.

A pod that ran out of time, or whose startup failed, keeps its object after its instance has gone with its logs. What
they said last is read before and kept here, in memory and within bounds: after a restart of the provider it is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from vk_provider import bounds


class EndedLogs:
    """By pod uid. Beyond the bound the pod that was kept first is forgotten."""

    def __init__(self, *, most_bytes: int = bounds.MOST_ENDED_LOGS) -> None:
        self._most_bytes = most_bytes
        self._held = 0
        self._logs: OrderedDict[str, Mapping[str, bytes]] = OrderedDict()

    def keep(self, uid: str, logs: Mapping[str, bytes]) -> None:
        """logs: by container, with a time before each line as the cloud gives it."""
        self.forget(uid)
        self._logs[uid] = dict(logs)
        self._held += _size(logs)
        while self._held > self._most_bytes and self._logs:
            _, oldest = self._logs.popitem(last=False)
            self._held -= _size(oldest)

    def of(self, uid: str, container: str) -> bytes | None:
        """None: nothing was kept."""
        return self._logs.get(uid, {}).get(container)

    def forget(self, uid: str) -> None:
        self._held -= _size(self._logs.pop(uid, {}))


def _size(logs: Mapping[str, bytes]) -> int:
    return sum(len(log) for log in logs.values())
