"""The revision log: every object ever written, in order, until it is compacted away.

Always true: the revision grows by exactly one with each write of any resource; an object's
`metadata.resourceVersion` is the revision that wrote it; what is stored is never changed in place.
A reader that wants to wait takes its ticket *before* it scans, so no write falls between.
"""

import asyncio
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Literal

Json = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Place = tuple[str, str]
"""Namespace ("" for cluster scope) and name."""


class Compacted(Exception):
    """The history asked for is gone; `oldest` is the oldest revision still known."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history before revision {oldest} is gone")
        self.oldest = oldest


class Snapshot:
    """One immutable state of one object, with its JSON made at most once per shape."""

    __slots__ = ("_encoded", "object")

    def __init__(self, obj: Json) -> None:
        self.object = obj
        self._encoded: bytes | None = None

    def item(self) -> bytes:
        """The object as JSON without kind and apiVersion, as items of a list are sent."""
        if self._encoded is None:
            bare = {key: value for key, value in self.object.items() if key not in ("kind", "apiVersion")}
            self._encoded = encode(bare)
        return self._encoded

    def whole(self, kind: str, api_version: str) -> bytes:
        """The object as JSON, under the kind and version the reader asked for."""
        head = f'{{"kind":"{kind}","apiVersion":"{api_version}"'.encode()
        body = self.item()
        return head + b"}" if body == b"{}" else head + b"," + body[1:]


def encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Change:
    """One write: what became of an object, and what it was before (None when it was created)."""

    __slots__ = ("after", "before", "revision", "type")

    def __init__(self, revision: int, kind: EventType, after: Snapshot, before: Snapshot | None) -> None:
        self.revision = revision
        self.type: EventType = kind
        self.after = after
        self.before = before


class Log:
    """The history of one resource, oldest first, and those who wait for its next entry."""

    def __init__(self) -> None:
        self.objects: dict[Place, Snapshot] = {}
        self.changes: list[Change] = []
        self.revisions: list[int] = []
        self.dropped = 0
        self.waiting: set[asyncio.Future[None]] = set()


class Store:
    """All objects by resource key ("pods", "jobs.batch"), with history.

    keep: how many revisions back a watch may resume; older history is compacted in steps of a tenth.
    """

    def __init__(self, keep: int = 10_000) -> None:
        self.revision = 1
        self.compacted = 0
        self._keep = keep
        self._logs: defaultdict[str, Log] = defaultdict(Log)

    def get(self, key: str, namespace: str, name: str) -> Snapshot | None:
        return self._logs[key].objects.get((namespace, name))

    def objects(self, key: str, namespace: str | None = None) -> list[Snapshot]:
        """Current objects ordered by namespace and name; None means all namespaces."""
        return _ordered(self._logs[key].objects, namespace)

    def objects_at(self, key: str, revision: int, namespace: str | None = None) -> list[Snapshot]:
        """The objects as they were at a past revision. Raises Compacted."""
        objects = dict(self._logs[key].objects)
        for change in reversed(self.changes_since(key, revision)):
            place = place_of(change.after.object)
            if change.before is None:
                objects.pop(place, None)
            else:
                objects[place] = change.before
        return _ordered(objects, namespace)

    def put(self, key: str, obj: Json) -> Snapshot:
        """Write an object, new or changed. The store owns `obj` from here on and stamps its resourceVersion."""
        log = self._logs[key]
        before = log.objects.get(place_of(obj))
        after = self._stamp(obj)
        log.objects[place_of(obj)] = after
        self._append(log, "MODIFIED" if before else "ADDED", after, before)
        return after

    def remove(self, key: str, namespace: str, name: str) -> Snapshot:
        """Delete an object for good. Its last state, under the deletion's revision, is returned. KeyError if absent."""
        log = self._logs[key]
        before = log.objects.pop((namespace, name))
        obj = dict(before.object)
        obj["metadata"] = dict(obj["metadata"])
        after = self._stamp(obj)
        self._append(log, "DELETED", after, before)
        return after

    def changes_since(self, key: str, revision: int) -> list[Change]:
        """What happened to a resource after `revision`, oldest first. Raises Compacted."""
        if revision < self.compacted:
            raise Compacted(self.compacted)
        return self.changes_missed(key, revision)

    def changes_missed(self, key: str, revision: int) -> list[Change]:
        """Like changes_since, for a watch that has seen everything up to `revision`.

        Compaction hurts it only if something of this very resource was dropped that it had not seen.
        """
        log = self._logs[key]
        if revision < log.dropped:
            raise Compacted(self.compacted)
        return log.changes[bisect_right(log.revisions, revision) :]

    def ticket(self, key: str) -> "asyncio.Future[None]":
        """Done at the next write of this resource. Give it back with `drop` when it is not awaited."""
        future = asyncio.get_running_loop().create_future()
        self._logs[key].waiting.add(future)
        return future

    def drop(self, key: str, ticket: "asyncio.Future[None]") -> None:
        self._logs[key].waiting.discard(ticket)
        ticket.cancel()

    def compact(self, revision: int) -> None:
        """Forget history up to and including `revision`."""
        self.compacted = max(self.compacted, revision)
        for log in self._logs.values():
            cut = bisect_right(log.revisions, revision)
            if cut:
                log.dropped = log.revisions[cut - 1]
            del log.changes[:cut], log.revisions[:cut]

    def _stamp(self, obj: Json) -> Snapshot:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        return Snapshot(obj)

    def _append(self, log: Log, kind: EventType, after: Snapshot, before: Snapshot | None) -> None:
        log.changes.append(Change(self.revision, kind, after, before))
        log.revisions.append(self.revision)
        if self.revision - self._keep > self.compacted + self._keep // 10:
            self.compact(self.revision - self._keep)
        for ticket in log.waiting:
            if not ticket.done():
                ticket.set_result(None)
        log.waiting.clear()


def place_of(obj: Json) -> Place:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _ordered(objects: dict[Place, Snapshot], namespace: str | None) -> list[Snapshot]:
    places: Iterator[Place] = iter(objects)
    if namespace is not None:
        places = (place for place in objects if place[0] == namespace)
    return [objects[place] for place in sorted(places)]
