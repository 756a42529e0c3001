"""Following the revision log through selectors.

A watcher with a selector must see an object come (ADDED) when a change makes it match and go (DELETED) when
a change makes it match no longer, whatever the write was called in the log.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from fakes.kube.selectors import Predicate
from fakes.kube.store import Change, Snapshot, Store

Json = dict[str, Any]
WatchType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One thing a watcher is told. A BOOKMARK's object has only `metadata.resourceVersion`."""

    type: WatchType
    object: Json


@dataclass(frozen=True, slots=True)
class Seen:
    """A WatchEvent whose object still carries its shared encoding."""

    type: WatchType
    snapshot: Snapshot


class Watch:
    """One reader's place in the log of one resource."""

    def __init__(
        self, store: Store, key: str, namespace: str | None, predicate: Predicate | None, revision: int
    ) -> None:
        self._store = store
        self._key = key
        self._namespace = namespace
        self._predicate = predicate
        self.revision = revision

    def present(self) -> list[Seen]:
        """Everything that exists now, as ADDED; the watch goes on from here."""
        self.revision = self._store.revision
        found = self._store.objects(self._key, self._namespace)
        return [Seen("ADDED", item) for item in found if self._predicate is None or self._predicate(item.object)]

    async def batch(self, timeout_s: float | None) -> list[Seen]:
        """The next events, at least one; none when the time passes first. Raises Compacted when too slow."""
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        while True:
            ticket = self._store.ticket(self._key)  # before the scan, so that no write falls between
            try:
                if seen := self._scan():
                    return seen
                left = None if deadline is None else deadline - asyncio.get_running_loop().time()
                if left is not None and left <= 0:
                    return []
                await asyncio.wait({ticket}, timeout=left)
            finally:
                self._store.drop(self._key, ticket)

    def _scan(self) -> list[Seen]:
        changes = self._store.changes_missed(self._key, self.revision)
        self.revision = self._store.revision
        return [seen for change in changes if (seen := self._translate(change))]

    def _translate(self, change: Change) -> Seen | None:
        after = change.after.object
        if self._namespace is not None and after["metadata"].get("namespace", "") != self._namespace:
            return None
        if self._predicate is None:
            return Seen(change.type, change.after)
        matched = change.before is not None and self._predicate(change.before.object)
        if change.type == "DELETED":
            return Seen("DELETED", change.after) if matched else None
        matches = self._predicate(after)
        if matches:
            return Seen("MODIFIED" if matched else "ADDED", change.after)
        if matched and change.before is not None:
            return Seen("DELETED", _as_of(change.before, change.revision))
        return None


def _as_of(before: Snapshot, revision: int) -> Snapshot:
    """The last matching state under the revision in which it stopped matching."""
    obj = dict(before.object)
    obj["metadata"] = obj["metadata"] | {"resourceVersion": str(revision)}
    return Snapshot(obj)
