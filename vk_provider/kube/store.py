"""Objects by key, kept by one writer and read by everybody: what the API server or the cloud was last seen to hold."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vk_provider.kube.packing import Packed, Packer, unpack

T = TypeVar("T")
_MOST_TOMBSTONES = 20_000
# Objects that are not packed: as many as the workers have in hand. A pod takes four times its bytes in dicts, and when
# thousands come at once most of them wait for their turn.
_MAX_UNPACKED = 64
NEVER_AGAIN = "9" * 40  # newer than any version: a uid whose object is no more never comes back


def is_older(version: str, than: str) -> bool:
    """Whether a resourceVersion is older than another of the same kind of object; unknown ones never are.

    Servers on etcd count in decimal integers of any length, so by length, then as text.
    """
    if not (version.isdecimal() and than.isdecimal()):
        return False
    version, than = version.lstrip("0"), than.lstrip("0")
    return (len(version), version) < (len(than), than)


@dataclass(slots=True)
class _Held(Generic[T]):
    """item: packed while nobody works with it."""

    version: str
    index: Hashable
    item: T | Packed

    def get(self) -> T:
        return unpack(self.item) if isinstance(self.item, Packed) else self.item


class Store(Generic[T]):
    """A key is there in its newest seen version only, and a removed key stays removed against late, older answers.

    Only a complete list overrules that, for what was known before it was asked for (`begin_list`): after the server was
    restored from a backup its versions are lower, and what it has then is the truth.

    key: names one life of one object (a uid).
    version: its resourceVersion; None for objects that have none, which then count as changed when they are unequal.
    index: a second way in, not unique, as namespace/name.
    family: what is much alike, as the pods of one Job.
    Objects are of plain JSON. One that `rest` was said of, or that came before many others, is kept packed.
    `ready` is set once the first complete list is in.
    """

    def __init__(
        self,
        *,
        key: Callable[[T], str],
        version: Callable[[T], str] | None = None,
        index: Callable[[T], Hashable] | None = None,
        family: Callable[[T], Hashable] = lambda _: None,
    ) -> None:
        self.ready = asyncio.Event()
        self.key = key
        self._version = version
        self._index = index
        self._family = family
        self._packer = Packer()
        self._objects: dict[str, _Held[T]] = {}
        self._awake: OrderedDict[str, None] = OrderedDict()
        self._by_index: dict[Hashable, tuple[str, ...]] = {}
        self._tombstones: OrderedDict[str, str] = OrderedDict()
        self._listeners: list[Callable[[str], object]] = []
        self._since_list: set[str] | None = None  # keys that changed since a list was asked for

    # --- for readers

    def subscribe(self, listener: Callable[[str], object]) -> None:
        """Call `listener(key)` after every change of a key; it must return at once and not raise."""
        self._listeners.append(listener)

    def get(self, key: str) -> T | None:
        held = self._objects.get(key)
        return held.get() if held is not None else None

    def compact(self, key: str) -> None:
        """Nobody is going to look at it for a while."""
        self._awake.pop(key, None)
        held = self._objects.get(key)
        if held is not None and not isinstance(held.item, Packed):
            held.item = self._packer.pack(held.item, self._family(held.item)) or held.item

    def find(self, index: Hashable) -> list[T]:
        """Objects under an index value, oldest insertion first; a namesake of another uid is one more."""
        return [self._objects[key].get() for key in self._by_index.get(index, ())]

    def keys(self) -> KeysView[str]:
        return self._objects.keys()

    def values(self) -> Iterator[T]:
        """As they are there now; those that rest are unpacked one by one, each time anew."""
        return (held.get() for held in list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    # --- for the writer

    def fault_of(self, item: T) -> str:
        """Why this object cannot be held, or empty: what says where it belongs is not there or of another type."""
        ways: Mapping[str, Callable[[T], Any] | None] = {
            "key": self.key,
            "version": self._version,
            "index": self._index,
            "family": self._family,
        }
        for name, way in ways.items():
            try:
                found = hash(value := way(item)) if way is not None else None
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                return f"its {name} cannot be told ({error!r})"
            if name in ("key", "version") and found is not None and not isinstance(value, str):
                return f"its {name} is no text"
        return "" if self.key(item) else "its key is empty"

    def begin_list(self, *, is_newest: bool = True) -> None:
        """A complete list is about to be asked for. is_newest: of this moment, so it knows better than all that is held
        now; a list that is only not older than some version knows no better than what is held of newer ones."""
        self._since_list = set() if is_newest else None

    def contradicts(self, versions: Mapping[str, str], *, resource_version: str) -> bool:
        """Whether a list shows objects older than it must know them, or ones that were gone by then.

        versions: of its objects, by key; resource_version: its own. A server whose history goes one way only cannot
        answer so.
        """
        return any(
            is_older(version, self._version_of(key)) and self._is_settled_by(key, resource_version)
            for key, version in versions.items()
        )

    def replace(self, items: Iterable[T], *, resource_version: str = "", keep: Collection[str] = ()) -> None:
        """Hold what a complete list holds. Keys that it lacks are removed, but for those to `keep`.

        Objects that we know newer stay as known, unless the list is the newer word on them all the same.
        resource_version: the list's, so that older answers about removed keys are refused later.
        """
        listed: dict[str, bool] = {}  # key → whether it was news
        for item in items:  # one by one: they may be made only as they are taken
            key = self.key(item)
            is_truth = key not in listed and self._is_settled_by(key, resource_version)
            listed[key] = self._put(key, item, is_truth=is_truth) or listed.get(key, False)
        self._since_list = None
        gone = [key for key in self._objects if key not in listed and key not in keep]
        changed = [key for key, is_news in listed.items() if is_news]
        for key in gone:
            self._drop(key, resource_version)
        self.ready.set()
        self._notify([*changed, *gone])

    def apply(self, item: T) -> bool:
        """Hold this object; False when it is no news: older than, or the same as, what is known."""
        key = self.key(item)
        if not self._put(key, item):
            return False
        self._notify([key])
        return True

    def remove(self, key: str, *, resource_version: str = "") -> bool:
        """Forget this key. resource_version: of the deletion; answers older than it do not bring the key back, and none
        does after FOR_GOOD."""
        known = key in self._objects
        self._drop(key, resource_version)
        if known:
            self._notify([key])
        return known

    def _version_of(self, key: str) -> str:
        """The newest that is known of it, or of its removal."""
        known = self._objects.get(key)
        return known.version if known is not None else self._tombstones.get(key, "")

    def _is_settled_by(self, key: str, resource_version: str) -> bool:
        """Whether a list of this version knows all that is known of the key: it was asked for afterwards, or is of a
        version that is no lower."""
        if self._since_list is not None and key not in self._since_list:
            return True
        known = self._version_of(key)
        return bool(resource_version and known) and not is_older(resource_version, known)

    def _put(self, key: str, item: T, *, is_truth: bool = False) -> bool:
        known = self._objects.get(key)
        version = self._version(item) if self._version is not None else ""
        if is_truth and self._version is not None:
            if known is not None and version and version == known.version:
                return False
        elif not self._is_newer(key, item, version, known):
            return False
        if self._since_list is not None:
            self._since_list.add(key)
        if known is not None:
            self._unindex(key, known)
        index = self._index(item) if self._index is not None else None
        self._objects[key] = _Held(version, index, item)
        self._tombstones.pop(key, None)
        if self._index is not None:
            self._by_index[index] = (*self._by_index.get(index, ()), key)
        self._awake[key] = None
        self._awake.move_to_end(key)
        if len(self._awake) > _MAX_UNPACKED:
            self.compact(next(iter(self._awake)))
        return True

    def _is_newer(self, key: str, item: T, version: str, known: _Held[T] | None) -> bool:
        if self._version is None:
            return known is None or known.get() != item
        if known is not None:
            return not is_older(version, known.version) and (version != known.version or not version)
        return not is_older(version, self._tombstones.get(key, ""))

    def _drop(self, key: str, resource_version: str) -> None:
        known = self._objects.pop(key, None)
        self._awake.pop(key, None)
        if self._since_list is not None:
            self._since_list.add(key)
        if known is not None:
            self._unindex(key, known)
        if self._version is None:
            return
        # Without a version of the deletion, the last one known: a late answer of an earlier write is older than that.
        held = known.version if known is not None else ""
        self._tombstones[key] = resource_version or held or self._tombstones.get(key, "")
        self._tombstones.move_to_end(key)
        while len(self._tombstones) > _MOST_TOMBSTONES:
            self._tombstones.popitem(last=False)

    def _unindex(self, key: str, known: _Held[T]) -> None:
        if self._index is None:
            return
        others = tuple(each for each in self._by_index[known.index] if each != key)
        if others:
            self._by_index[known.index] = others
        else:
            del self._by_index[known.index]

    def _notify(self, keys: Iterable[str]) -> None:
        for key in keys:
            for listener in self._listeners:
                listener(key)
