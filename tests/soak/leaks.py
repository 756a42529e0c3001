"""Leaks to plant: for each instance that is created something is kept, so that a soak can be seen to find it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from vk_provider.cloud.eci.driver import EciCloud

KEPT: list[Any] = []


def _waiting_thread() -> threading.Thread:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


LEAKS: Mapping[str, Callable[[], Any]] = {
    "memory": lambda: [bytes(200) for _ in range(25)],
    "descriptors": lambda: os.open(os.devnull, os.O_RDONLY),
    "threads": _waiting_thread,
    "tasks": lambda: asyncio.ensure_future(asyncio.sleep(1e9)),
}


def plant(name: str) -> None:
    leak, create = LEAKS[name], EciCloud.create

    async def leaking(self: EciCloud, workload: Any) -> Any:
        KEPT.append(leak())
        return await create(self, workload)

    EciCloud.create = leaking  # type: ignore[method-assign]
