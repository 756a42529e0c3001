"""ECI for one who may lose the right to change anything there.

Several nodes of a process share one `EciClient`, each with a fence of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from vk_provider.cloud.eci.wire_form import EciRequest
from vk_provider.fence import Fence


class Calls(Protocol):
    async def call(self, request: EciRequest) -> Mapping[str, Any]:
        """See `EciClient.call`."""
        ...

    async def close(self) -> None: ...


class FencedCalls:
    """Calls that change something raise LeadershipLost once the fence is shut. `close` leaves the client to others."""

    def __init__(self, calls: Calls, fence: Fence) -> None:
        self._calls = calls
        self._fence = fence

    async def call(self, request: EciRequest) -> Mapping[str, Any]:
        if not request.only_reads:
            request = replace(request, permit=self._fence.permit)
        return await self._calls.call(request)

    async def close(self) -> None:
        """Others use it, too."""
