"""One instance's present state for many who ask at the same time, at the price of few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from vk_provider.model.instance import Instance

GATHER_S = 0.2  # how long the first asker waits for others to ask along


class DescribeBatcher:
    """Asks for all wanted ids together. An answer given was fetched after its question, never before.

    describe: ids → those that exist; any number of ids. Its errors reach every asker of that round.
    """

    def __init__(self, describe: Callable[[Sequence[str]], Awaitable[Mapping[str, Instance]]]) -> None:
        self._describe = describe
        self._wanted: set[str] = set()  # asked since the last call went out
        self._line = asyncio.Lock()
        self._answers: Mapping[str, Instance] = {}
        self._answered: frozenset[str] = frozenset()

    async def get(self, instance_id: str) -> Instance | None:
        """None: it is not there."""
        self._wanted.add(instance_id)
        async with self._line:
            # Whoever held the line before us may have taken our question along.
            if instance_id not in self._wanted and instance_id in self._answered:
                return self._answers.get(instance_id)
            self._wanted.add(instance_id)
            await asyncio.sleep(GATHER_S)
            asked, self._wanted = frozenset(self._wanted), set()
            self._answers, self._answered = {}, frozenset()
            self._answers = await self._describe(sorted(asked))
            self._answered = asked
            return self._answers.get(instance_id)
