"""Which Events are the same one again: counting, gathering and damping, as a kubelet does. Pure but for its memory.

Three rules, in this order, and all memory bounded:
  the same event again only raises the count of the first;
  more than ten that differ in their message alone, within ten minutes, become one "combined" event;
  one source may speak of one object 25 times at once, and then once in five minutes.
Source: kubelet.md P48; client-go tools/record/events_cache.go.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vk_provider.pacing.token_bucket import TokenBucket

Json = dict[str, Any]
V = TypeVar("V")

_MEMORY = 4096
_SIMILAR = 10
_SIMILAR_WITHIN_S = 600.0
_BURST = 25
_PER_S = 1 / 300
COMBINED = "(combined from similar events): "


class Lru(Generic[V]):
    """At most `most` values; the one not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: V) -> V:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value

    def get_or_put(self, key: Hashable, make: Callable[[], V]) -> V:
        known = self.get(key)
        return known if known is not None else self.put(key, make())

    def __len__(self) -> int:
        return len(self._values)


class Series:
    """One Event object: as it should be on the server (`event`), and how far the server has it.

    on_server: the count that the server holds; 0 = it has no such object.
    The event is kept as bytes, a third of what its dicts take: thousands may wait, and thousands are remembered.
    """

    __slots__ = ("_packed", "count", "in_flight", "is_warning", "mirrored", "on_server", "queued", "tries")

    def __init__(self, event: Json, *, mirrored: bool = False, on_server: int = 0) -> None:
        self.mirrored = mirrored
        self.on_server = on_server
        self.tries = 0
        self.queued = False
        self.in_flight = False
        self.add(event)

    def add(self, event: Json) -> None:
        """What it should be from now on."""
        self.count = count_of(event)
        self.is_warning = event.get("type") == "Warning"
        self._packed = marshal.dumps(event)

    @property
    def event(self) -> Json:
        """A copy each time."""
        event: Json = marshal.loads(self._packed)  # noqa: S302 -- our own bytes
        return event


@dataclass(slots=True)
class _Similar:
    """Messages lately seen of events that are otherwise equal; at most _SIMILAR of them."""

    messages: set[str] = field(default_factory=set)
    last: float = 0.0


class EventCorrelator:
    def __init__(self, *, memory: int = _MEMORY) -> None:
        self._series: Lru[Series] = Lru(memory)
        self._similar: Lru[_Similar] = Lru(memory)
        self._buckets: Lru[TokenBucket] = Lru(memory)

    def observe(self, event: Json, now: float) -> Series | None:
        """The series that this event belongs to, counted on; None when its object is being spoken of too much.

        event: finished, its `count` 1. now: of any clock that only grows.
        """
        group = _group(event)
        message = str(event.get("message") or "")
        if self._is_frequent(group, message, now):
            key: Hashable = group
            event = {**event, "message": COMBINED + message}
        else:
            key = (group, event.get("involvedObject", {}).get("fieldPath"), message)
        series = self._series.get(key)
        if series is None:
            series = self._series.put(key, Series(event))
        else:
            news = {"count": series.count + 1, "lastTimestamp": event.get("lastTimestamp"), "message": event["message"]}
            series.add({**series.event, **news})
        return series if self._bucket(event, now).try_acquire(now) else None

    def _is_frequent(self, group: Hashable, message: str, now: float) -> bool:
        similar = self._similar.get_or_put(group, _Similar)
        if now - similar.last > _SIMILAR_WITHIN_S:
            similar.messages.clear()
        similar.last = now
        if message in similar.messages:
            return False
        if len(similar.messages) >= _SIMILAR:
            return True
        similar.messages.add(message)
        return False

    def _bucket(self, event: Json, now: float) -> TokenBucket:
        key = (_source(event), _object(event))
        return self._buckets.get_or_put(key, lambda: TokenBucket(burst=_BURST, per_s=_PER_S, now=now))


def count_of(event: Json) -> int:
    count = event.get("count")
    return count if isinstance(count, int) and count > 0 else 1


def _group(event: Json) -> Hashable:
    """All but message, times, count and the part of the object."""
    reporter = (event.get("reportingComponent"), event.get("reportingInstance"))
    return (_source(event), reporter, _object(event), event.get("type"), event.get("reason"))


def _source(event: Json) -> Hashable:
    source = event.get("source") or {}
    return (source.get("component"), source.get("host"))


def _object(event: Json) -> Hashable:
    about = event.get("involvedObject") or {}
    return tuple(about.get(name) for name in ("apiVersion", "kind", "namespace", "name", "uid"))
