"""Which of the probes that are due begins now: what probes share is shared by namespace and by pod.

What a pod says of its probes - how many, how often, how long an answer may take - decides nothing here. A probe holds
one of the shared slots for PROMPT_S at most. One that is still without an answer then is *slow*: it goes on without a
slot, as long as there are no more than SLOW of these. Beyond that the oldest slow probe of the namespace that has most
of them is given up. So with N namespaces that want as much as they can get, a due probe of another one waits no longer
than `PROMPT_S * (1 + N / SLOTS)`.

Nor do probes that are answered at once take all of the processor: so many begin per TICK_S, of a namespace half of
them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from vk_provider.pacing.roundrobin import RoundRobin

SLOTS = 128
OF_A_NAMESPACE = SLOTS // 2  # the other half is never one namespace's
OF_A_POD = 4  # prompt and slow ones
SLOW = 128
PROMPT_S = 1.0
TICK_S = 0.25
STARTS_OF_A_TICK = 100  # 400 a second are a fifth of a processor; 4,000 containers that are asked every ten seconds
STARTS_OF_A_NAMESPACE = STARTS_OF_A_TICK // 2


@dataclass(frozen=True, slots=True)
class _Place:
    namespace: str
    pod: str


class ProbeSlots:
    """begin: called with the probe that starts now. give_up: with one that has to end; like all that began, it must
    `leave` soon.

    A key is due once until it leaves. Keeps no clock: the caller says `is_slow` PROMPT_S after the start, and `tick`
    TICK_S after the first start and after each tick that gives True.
    """

    def __init__(self, *, begin: Callable[[str], None], give_up: Callable[[str], None]) -> None:
        self._begin = begin
        self._give_up = give_up
        self._places: dict[str, _Place] = {}
        self._waiting: RoundRobin[str] = RoundRobin()
        self._held_back: dict[str, deque[str]] = {}  # by pod: what is due of one that has OF_A_POD under way
        self._prompt: set[str] = set()
        self._slow: dict[str, None] = {}  # oldest first
        self._given_up: set[str] = set()
        self._by_pod: Counter[str] = Counter()
        self._prompt_by_namespace: Counter[str] = Counter()
        self._slow_by_namespace: Counter[str] = Counter()
        self._starts: Counter[str] = Counter()  # of this tick, by namespace

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._prompt) + len(self._slow) + len(self._given_up)

    def due(self, key: str, *, namespace: str, pod: str) -> None:
        """pod: its uid."""
        self._places[key] = _Place(namespace, pod)
        if self._by_pod[pod] >= OF_A_POD:
            self._held_back.setdefault(pod, deque()).append(key)
        else:
            self._waiting.add(namespace, pod, key)
        self._fill()

    def is_slow(self, key: str) -> None:
        """It had a slot for PROMPT_S and is not done; harmless for what has left."""
        if key not in self._prompt:
            return
        self._prompt.discard(key)
        namespace = self._places[key].namespace
        _less(self._prompt_by_namespace, namespace)
        self._slow[key] = None
        self._slow_by_namespace[namespace] += 1
        if len(self._slow) > SLOW:
            most = max(self._slow_by_namespace, key=lambda each: self._slow_by_namespace[each])
            self._end_slow(next(each for each in self._slow if self._places[each].namespace == most))
        self._fill()

    def leave(self, key: str) -> None:
        """It is done."""
        place = self._places.pop(key)
        if key in self._prompt:
            self._prompt.discard(key)
            _less(self._prompt_by_namespace, place.namespace)
        elif key in self._slow:
            del self._slow[key]
            _less(self._slow_by_namespace, place.namespace)
        self._given_up.discard(key)
        _less(self._by_pod, place.pod)
        held_back = self._held_back.get(place.pod)
        if held_back:
            self._waiting.add(place.namespace, place.pod, held_back.popleft())
            if not held_back:
                del self._held_back[place.pod]
        self._fill()

    def tick(self) -> bool:
        """The next piece of time begins. False: nothing begins in it, and none is needed until something does."""
        self._starts.clear()
        self._fill()
        return bool(self._starts)

    def _end_slow(self, key: str) -> None:
        del self._slow[key]
        _less(self._slow_by_namespace, self._places[key].namespace)
        self._given_up.add(key)
        self._give_up(key)

    def _fill(self) -> None:
        def may_begin(namespace: str) -> bool:
            has_room = self._prompt_by_namespace[namespace] < OF_A_NAMESPACE
            return has_room and self._starts[namespace] < STARTS_OF_A_NAMESPACE

        while len(self._prompt) < SLOTS and self._starts.total() < STARTS_OF_A_TICK:
            key = self._waiting.pop(may_begin)
            if key is None:
                return
            place = self._places[key]
            self._prompt.add(key)
            self._prompt_by_namespace[place.namespace] += 1
            self._by_pod[place.pod] += 1
            self._starts[place.namespace] += 1
            if self._by_pod[place.pod] >= OF_A_POD:
                others = self._waiting.take_all(place.namespace, place.pod)
                if others:
                    self._held_back.setdefault(place.pod, deque()).extend(others)
            self._begin(key)


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
