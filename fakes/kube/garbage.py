"""The garbage collector: dependents go when their owners are gone, or before them, or are set free.

Works on what is written in ownerReferences and finalizers alone, so a restart or a missed event loses nothing:
each round looks at the whole present, and rounds are woken by deletions.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from fakes.kube.api import Api, ApiError
from fakes.kube.deletion import FOREGROUND, ORPHAN
from fakes.kube.following import changes
from fakes.kube.resources import Resource

Json = dict[str, Any]

_log = logging.getLogger(__name__)

_OWNERLESS = frozenset({"events"})
"""Resources too many and too short-lived to be anybody's dependents."""
_SETTLE_S = 0.05
"""How long a round waits for more news after the first: a deletion rarely comes alone."""
_RETRY_S = 5.0


class Collector:
    """Knows which objects have owners by following the log; every round is a function of that index and the store."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._dependents: defaultdict[str, dict[tuple[str, str, str], Json]] = defaultdict(dict)
        self._suspects: set[tuple[str, str, str]] = set()
        self._doomed: dict[tuple[str, str, str], Json] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Collect until cancelled."""
        async with asyncio.TaskGroup() as group:
            followed: set[str] = set()

            def follow(row: Resource) -> None:
                if row.key not in _OWNERLESS and row.key not in followed:
                    followed.add(row.key)
                    group.create_task(self._follow(row))

            self._api.catalog.listen(follow)
            group.create_task(self._rounds())

    async def _follow(self, row: Resource) -> None:
        while True:
            try:
                async for event in changes(self._api, row.key):
                    self._learn(row, event.type == "DELETED", event.object)
            except ApiError as gone:  # its definition was deleted; another may come
                if gone.code != 404:
                    raise
                await asyncio.sleep(_RETRY_S)

    def _learn(self, row: Resource, gone: bool, obj: Json) -> None:
        meta = obj["metadata"]
        key = (row.key, meta.get("namespace", ""), meta["name"])
        for owner in meta.get("ownerReferences") or ():
            dependents = self._dependents[owner["uid"]]
            if gone:
                dependents.pop(key, None)
                self._wake(self._owner_keys(owner, meta))
            elif key not in dependents:
                dependents[key] = obj
                self._suspects.add(key)
                self._news.set()
        if gone:
            self._doomed.pop(key, None)
            self._wake(self._dependents.pop(meta["uid"], {}))
        elif meta.get("deletionTimestamp") and {FOREGROUND, ORPHAN} & set(meta.get("finalizers") or ()):
            self._doomed[key] = obj
            self._news.set()

    def _owner_keys(self, owner: Json, meta: Json) -> list[tuple[str, str, str]]:
        row = self._api.catalog.by_kind(owner["apiVersion"], owner["kind"])
        if row is None:
            return []
        key = (row.key, meta.get("namespace", "") if row.namespaced else "", owner["name"])
        return [key] if key in self._doomed else []

    def _wake(self, keys: "list[tuple[str, str, str]] | dict[tuple[str, str, str], Json]") -> None:
        if keys:
            self._suspects.update(keys)
            self._news.set()

    async def _rounds(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S if self._doomed else None):
                    await self._news.wait()
            await asyncio.sleep(_SETTLE_S)
            self._news.clear()  # before looking, so that no change falls between
            suspects, self._suspects = self._suspects, set()
            for key in suspects:
                self._judge(*key)
            for key in list(self._doomed):
                self._finish(*key)

    def _judge(self, resource: str, namespace: str, name: str) -> None:
        """Delete an object whose owners are all gone; forget dead owners of one that has another."""
        found = self._api.store.get(resource, namespace, name)
        owners = list((found.object["metadata"].get("ownerReferences") if found else None) or ())
        if found is None or not owners:
            return
        living = [owner for owner in owners if self._lives(owner, namespace)]
        meta = found.object["metadata"]
        if len(living) == len(owners) or (not living and meta.get("deletionTimestamp")):
            return
        with contextlib.suppress(ApiError):
            if living:
                self._write_owners(resource, found.object, living)
            else:
                self._api.delete(resource, name, namespace or None, uid=meta["uid"], propagation="Background")
                _log.info("collected %s %s/%s", resource, namespace, name)

    def _lives(self, owner: Json, namespace: str) -> bool:
        """Whether an owner still exists; one of a kind that is not served here is trusted to."""
        row = self._api.catalog.by_kind(owner["apiVersion"], owner["kind"])
        if row is None:
            return True
        found = self._api.store.get(row.key, namespace if row.namespaced else "", owner["name"])
        return found is not None and found.object["metadata"]["uid"] == owner["uid"]

    def _finish(self, resource: str, namespace: str, name: str) -> None:
        """Do what a foreground or orphaning deletion still waits for."""
        found = self._api.store.get(resource, namespace, name)
        if found is None:
            self._doomed.pop((resource, namespace, name), None)
            return
        finalizers = found.object["metadata"].get("finalizers") or ()
        with contextlib.suppress(ApiError):
            if ORPHAN in finalizers:
                self._set_free(resource, found.object)
            elif FOREGROUND in finalizers:
                self._foreground(resource, found.object)

    def _present(self, uid: str) -> "Iterator[tuple[str, Json]]":
        """The dependents of an owner as they are now."""
        for resource, namespace, name in list(self._dependents.get(uid, ())):
            found = self._api.store.get(resource, namespace, name)
            owners = (found.object["metadata"].get("ownerReferences") if found else None) or ()
            if found is not None and any(owner["uid"] == uid for owner in owners):
                yield resource, found.object

    def _set_free(self, resource: str, owner: Json) -> None:
        uid = owner["metadata"]["uid"]
        for key, dependent in self._present(uid):
            kept = [item for item in dependent["metadata"]["ownerReferences"] if item["uid"] != uid]
            self._write_owners(key, dependent, kept)
        self._drop_finalizer(resource, owner, ORPHAN)

    def _foreground(self, resource: str, owner: Json) -> None:
        uid = owner["metadata"]["uid"]
        blocking = 0
        for key, dependent in self._present(uid):
            meta = dependent["metadata"]
            blocking += any(item["uid"] == uid and item.get("blockOwnerDeletion") for item in meta["ownerReferences"])
            if not meta.get("deletionTimestamp"):
                self._api.delete(key, meta["name"], meta.get("namespace"), uid=meta["uid"], propagation="Foreground")
        if not blocking or not any(True for _ in self._present(uid)):
            self._drop_finalizer(resource, owner, FOREGROUND)

    def _write_owners(self, resource: str, obj: Json, owners: list[Json]) -> None:
        meta = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
        self._api.update(resource, {**obj, "metadata": meta | ({"ownerReferences": owners} if owners else {})})

    def _drop_finalizer(self, resource: str, obj: Json, finalizer: str) -> None:
        meta = obj["metadata"]
        kept = [name for name in meta["finalizers"] if name != finalizer]
        self._api.update(resource, {**obj, "metadata": {**meta, "finalizers": kept}})
