"""What instances cost, as the cloud itself says once it has been asked; until then by list.

Nobody waits for a price: `price` gives what is known now and remembers what was wanted; `run` asks for that, each sku
once in REFRESH_S, so that ten thousand pods of one size cost one call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from vk_provider.cloud.base import Price
from vk_provider.cloud.eci import calls, response, skus
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.errors import CloudError
from vk_provider.pacing.callers import Purpose, calling_for
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

REFRESH_S = 6 * 3600.0
AGAIN_S = 600.0  # after a call that failed, as for want of the right to it
GATHER_S = 0.5
MOST_SKUS = 256


class PriceBook:
    """Bounded: the MOST_SKUS wanted most recently."""

    def __init__(self, settings: EciSettings, call: Callable[[EciRequest], Awaitable[Any]]) -> None:
        self._settings = settings
        self._call = call
        self._known: dict[str, Price] = {}
        self._due: dict[str, float] = {}  # sku → loop time from which on it may be asked for
        self._wanted = asyncio.Event()

    def price(self, sku: str) -> Price | None:
        if skus.parse(sku) is None:
            return None
        if sku not in self._due:
            self._due[sku] = 0.0
            self._wanted.set()
            while len(self._due) > MOST_SKUS:
                oldest = next(iter(self._due))
                del self._due[oldest]
                self._known.pop(oldest, None)
        return self._known.get(sku) or skus.list_price(sku, self._settings.region)

    async def run(self) -> None:
        """Ask for what is wanted and due, until cancelled."""
        await retry_loop(self._round, name="prices")

    async def _round(self) -> None:
        self._wanted.clear()  # before looking, so that nothing wanted meanwhile is left lying
        for sku in [sku for sku, due_s in self._due.items() if due_s <= _now()]:
            await self._fetch(sku)
        wait_s = min((due_s - _now() for due_s in self._due.values()), default=REFRESH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(GATHER_S, wait_s)):
                await self._wanted.wait()

    async def _fetch(self, sku: str) -> None:
        known = skus.parse(sku)
        if known is None:
            return
        try:
            with calling_for(Purpose.BACKGROUND):
                answer = await self._call(calls.describe_price(known, self._settings))
        except CloudError as error:
            log.warning("price of %s is not known, the list's serves: %s", sku, error)
            self._due[sku] = _now() + AGAIN_S
            return
        self._due[sku] = _now() + REFRESH_S  # before it is read: whatever the answer is, the others get their turn
        said = response.price(answer)
        if said is not None:
            self._known[sku] = said


def _now() -> float:
    return asyncio.get_running_loop().time()
