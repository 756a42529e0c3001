"""Who is next when many wait for the same: the namespaces in rotation, within one its pods, within one its items."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class RoundRobin(Generic[T]):
    """Items that wait, by namespace and pod. Whoever has had one goes to the end of its rotation, so that how many wait
    for one namespace or pod makes nobody else wait longer."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, namespace: str, pod: str, item: T) -> None:
        self._waiting.setdefault(namespace, OrderedDict()).setdefault(pod, deque()).append(item)
        self._length += 1

    def pop(self, may: Callable[[str], bool], *, rank: Callable[[str], float] | None = None) -> T | None:
        """The next item of a namespace that may have one; None without any. rank: of namespaces, the lowest first, and
        those that are equal in rotation."""
        able = (each for each in self._waiting if may(each))
        namespace = next(able, None) if rank is None else min(able, key=rank, default=None)
        if namespace is None:
            return None
        pods = self._waiting[namespace]
        pod, items = next(iter(pods.items()))
        item = items.popleft()
        self._length -= 1
        _rotate(pods, pod, left=bool(items))
        _rotate(self._waiting, namespace, left=bool(pods))
        return item

    def take_all(self, namespace: str, pod: str) -> deque[T]:
        """Remove and give all items of a pod."""
        pods = self._waiting.get(namespace, OrderedDict())
        items = pods.pop(pod, deque())
        self._length -= len(items)
        if not pods:
            self._waiting.pop(namespace, None)
        return items


def _rotate(entries: OrderedDict[str, V], key: str, *, left: bool) -> None:
    if left:
        entries.move_to_end(key)
    else:
        del entries[key]
