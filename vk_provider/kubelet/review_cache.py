"""Answers of the API server that are worth remembering for a while: who a token is, what somebody may do.

Nothing here knows what is asked. Always true: at most `most` answers are held, the least recently used going first; a
question is under way at most once, whoever asks it meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[V]):
    """How asking ended. answer: one or none. Neither that nor an error: the asker left, somebody else must ask."""

    answer: tuple[V, ...] = ()
    error: Exception | None = None


class ReviewCache(Generic[K, V]):
    """Remembers answers by question, each as long as `lifetime_s` says of it. Errors are shared but not remembered."""

    def __init__(
        self, *, lifetime_s: Callable[[V], float], clock: Callable[[], float], most: int = 2000, at_once: int = 32
    ) -> None:
        """clock: monotonic seconds. at_once: how many different questions may be under way together."""
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._most = most
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Future[_Outcome[V]]] = {}
        self._line = asyncio.Semaphore(at_once)

    async def get(self, question: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The remembered answer, or the one that `ask` gives now. Raises what `ask` raises."""
        while True:
            known = self._known.get(question)
            if known is not None and self._clock() < known[0]:
                self._known.move_to_end(question)
                return known[1]
            under_way = self._asking.get(question)
            if under_way is None:
                return await self._fetch(question, ask)
            await asyncio.wait([under_way])  # unlike a plain await, our being cancelled leaves the future alone
            outcome = under_way.result()
            if outcome.error is not None:
                raise outcome.error
            if outcome.answer:
                return outcome.answer[0]

    async def _fetch(self, question: K, ask: Callable[[], Awaitable[V]]) -> V:
        under_way: asyncio.Future[_Outcome[V]] = asyncio.get_running_loop().create_future()
        self._asking[question] = under_way
        outcome: _Outcome[V] = _Outcome()
        try:
            async with self._line:
                value = await ask()
            outcome = _Outcome(answer=(value,))
            self._remember(question, value)
        except Exception as error:
            outcome = _Outcome(error=error)
            raise
        else:
            return value
        finally:
            del self._asking[question]
            under_way.set_result(outcome)

    def _remember(self, question: K, value: V) -> None:
        self._known[question] = (self._clock() + self._lifetime_s(value), value)
        self._known.move_to_end(question)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
