"""What those who look are sent: server-sent events, made once for all of them.

`snapshot`: the whole without pods, every TICK_S. `pods`: at first all of them in parts, then those that changed, with
the uids of those that are gone. `history`: the last hour at first, then each new point. Nobody looks: nothing is made
but a point every half minute. Who reads slower than we write is cut off, and the browser comes again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from vk_provider.dashboard.history import EVERY_S, History
from vk_provider.retry_loop import retry_loop
from vk_provider.snapshot.collector import SnapshotCollector

TICK_S = 2.0
PODS_AT_ONCE = 250
MOST_VIEWERS = 8
MOST_UNREAD = 64  # messages that wait for one viewer

_encode = msgspec.json.Encoder().encode


def event(name: str, value: object) -> bytes:
    """JSON has no line ends of its own here, so that nothing in it can begin another event."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(value) + b"\n\n"


class Viewer:
    """One open page. messages: what is to be sent to it; None = it is to end."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_UNREAD)

    def put(self, message: bytes) -> bool:
        """False: it does not keep up."""
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def end(self) -> None:
        while not self.messages.empty():
            self.messages.get_nowait()
        self.messages.put_nowait(None)


class Broadcaster:
    def __init__(self, collector: SnapshotCollector) -> None:
        self._collector = collector
        self._history = History()
        self._viewers: set[Viewer] = set()
        self._changes: set[str] | None = None
        self._arrived = asyncio.Event()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(retry_loop(self._tick, name="dashboard", rest=self._rest), name="dashboard")
            tasks.create_task(retry_loop(self._record, name="dashboard history", rest=_rest_of_history), name="history")

    def join(self) -> Viewer | None:
        """None: there are so many already."""
        if len(self._viewers) >= MOST_VIEWERS:
            return None
        viewer = Viewer()
        self._viewers.add(viewer)
        if self._changes is None:
            self._changes = self._collector.index.follow()
        self._arrived.set()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers and self._changes is not None:
            self._collector.index.unfollow(self._changes)
            self._changes = None

    def close(self) -> None:
        for viewer in list(self._viewers):
            viewer.end()
            self.leave(viewer)

    def first(self) -> Sequence[bytes]:
        """What a new viewer is sent before all else."""
        rows = [self._collector.priced(each) for each in self._collector.index]
        parts = [rows[start : start + PODS_AT_ONCE] for start in range(0, len(rows), PODS_AT_ONCE)] or [[]]
        return [
            b"retry: 3000\n\n",
            event("snapshot", self._collector.snapshot()),
            event("history", {"points": self._history.points(), "reset": True}),
            *(event("pods", {"reset": not number, "rows": part, "gone": []}) for number, part in enumerate(parts)),
        ]

    async def _tick(self) -> None:
        if not self._viewers:
            self._arrived.clear()
            return
        self._send(event("snapshot", self._collector.snapshot()))
        if self._changes:
            uids = sorted(self._changes)
            self._changes.clear()
            index = self._collector.index
            rows = [self._collector.priced(each) for uid in uids if (each := index.get(uid)) is not None]
            gone = [uid for uid in uids if index.get(uid) is None]
            for start in range(0, max(len(rows), 1), PODS_AT_ONCE):
                part = {"reset": False, "rows": rows[start : start + PODS_AT_ONCE], "gone": gone if not start else []}
                self._send(event("pods", part))

    async def _rest(self) -> None:
        if self._viewers:
            await asyncio.sleep(TICK_S)
        else:
            await self._arrived.wait()

    async def _record(self) -> None:
        point = self._history.add(self._collector.snapshot())
        if self._viewers:
            self._send(event("history", {"points": [point], "reset": False}))

    def _send(self, message: bytes) -> None:
        for viewer in list(self._viewers):
            if not viewer.put(message):
                viewer.end()
                self.leave(viewer)


async def _rest_of_history() -> None:
    await asyncio.sleep(EVERY_S)
