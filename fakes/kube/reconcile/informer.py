"""One resource listed and watched into memory, with indexes, for all controllers together.

Rules: the stored objects are shared and never changed in place; an object's version only ever grows; a write of our
own is put in at once (`apply`, `drop`), so that no controller decides on a world older than its own last act.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from fakes.kube.api import Api, ApiError
from fakes.kube.reads import Json, Key, claim_name, key_of, owner_uid, uid_of, version_of

log = logging.getLogger(__name__)

Listener = Callable[[Json | None, Json | None], None]
Indexer = Callable[[Json], Iterable[str]]

RELIST_DELAY_S = 0.1


def _by_owner(obj: Json) -> Iterable[str]:
    owner = owner_uid(obj)
    return (owner,) if owner else ()


def _loose(obj: Json) -> Iterable[str]:
    return () if owner_uid(obj) else (obj["metadata"].get("namespace", ""),)


def _by_namespace(obj: Json) -> Iterable[str]:
    return (obj["metadata"].get("namespace", ""),)


def _by_node(obj: Json) -> Iterable[str]:
    node = obj["spec"].get("nodeName")
    return (node,) if node else ()


def _by_claim(obj: Json) -> Iterable[str]:
    namespace = obj["metadata"].get("namespace", "")
    volumes = obj["spec"].get("volumes") or ()
    return [f"{namespace}/{name}" for volume in volumes if (name := claim_name(obj, volume))]


class Informer:
    """The objects of one resource by key and by index, as last seen.

    Indexes: `owner` (uid of the controlling owner), `loose` (namespace of those that nobody controls), `namespace`,
    and for pods `node` and `claim` (namespace/name of each claim it names).
    Listeners get (old, new); old is None for a new object, new is None for one that is gone.
    """

    def __init__(self, api: Api, resource: str) -> None:
        self.resource = resource
        self.ready = asyncio.Event()
        self._api = api
        self._objects: dict[Key, Json] = {}
        self._dropped: set[str] = set()
        self._listeners: list[Listener] = []
        self._indexers: Mapping[str, Indexer] = {"owner": _by_owner, "loose": _loose, "namespace": _by_namespace} | (
            {"node": _by_node, "claim": _by_claim} if resource == "pods" else {}
        )
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in self._indexers}

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each change, and at once for each object already here."""
        self._listeners.append(listener)
        for obj in list(self._objects.values()):
            self._tell(listener, None, obj)

    def get(self, key: Key) -> Json | None:
        """The object as last seen."""
        return self._objects.get(key)

    def all(self) -> list[Json]:
        """Every object, in order of first sight."""
        return list(self._objects.values())

    def indexed(self, index: str, value: str) -> list[Json]:
        """The objects that `index` files under `value`; costs only what it returns."""
        return [self._objects[key] for key in self._indexes[index].get(value, ())]

    def apply(self, obj: Json) -> None:
        """Put in an object as read or written; one older than what is here, or already gone, is ignored."""
        if uid_of(obj) in self._dropped:
            return
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and version_of(obj) <= version_of(old):
            return
        self._put(key, old, obj)

    def drop(self, obj: Json) -> None:
        """Take out an object that our own delete removed; late events of it are ignored."""
        key, uid = key_of(obj), uid_of(obj)
        self._dropped.add(uid)
        old = self._objects.get(key)
        if old is not None and uid_of(old) == uid:
            self._put(key, old, None)

    async def run(self) -> None:
        """List, then watch, until cancelled; a watch that ends or is too old begins again from a list."""
        while True:
            try:
                await self._list_and_watch()
            except ApiError as error:
                log.info("watch ends resource=%s code=%s reason=%s", self.resource, error.code, error.reason)
            await asyncio.sleep(RELIST_DELAY_S)

    async def _list_and_watch(self) -> None:
        objects, version = self._api.list(self.resource)
        self._replace(objects)
        self.ready.set()
        async for event in self._api.watch(self.resource, resource_version=version):
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                self._deleted(event.object)
            else:
                self.apply(event.object)

    def _replace(self, objects: list[Json]) -> None:
        seen = {key_of(obj): uid_of(obj) for obj in objects}
        self._dropped.clear()
        for key, old in list(self._objects.items()):
            if seen.get(key) != uid_of(old):
                self._put(key, old, None)
        for obj in objects:
            self.apply(obj)

    def _deleted(self, obj: Json) -> None:
        key, uid = key_of(obj), uid_of(obj)
        self._dropped.discard(uid)
        old = self._objects.get(key)
        if old is not None and uid_of(old) == uid:
            self._put(key, old, None)

    def _put(self, key: Key, old: Json | None, new: Json | None) -> None:
        if old is not None:
            self._unindex(key, old)
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
            for name, indexer in self._indexers.items():
                for value in indexer(new):
                    self._indexes[name].setdefault(value, {})[key] = None
        for listener in self._listeners:
            self._tell(listener, old, new)

    def _tell(self, listener: Listener, old: Json | None, new: Json | None) -> None:
        try:
            listener(old, new)
        except Exception:
            # One object that one listener cannot read must not end the watch of all.
            log.exception("listener fails resource=%s name=%s", self.resource, (new or old or {})["metadata"]["name"])

    def _unindex(self, key: Key, old: Json) -> None:
        for name, indexer in self._indexers.items():
            for value in indexer(old):
                keys = self._indexes[name][value]
                keys.pop(key, None)
                if not keys:
                    del self._indexes[name][value]
