"""`python -m tests.soak.leaking KIND run …`: the provider with a leak planted, so that a soak can be seen to find it.

For each instance that is created something of that kind is kept; the provider itself knows nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from vk_provider.cli import main
from vk_provider.cloud.eci.driver import EciCloud

KEPT: list[Any] = []


def _wait_for_ever() -> threading.Thread:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


KINDS: dict[str, Callable[[], Any]] = {
    "memory": lambda: [bytes(200) for _ in range(25)],
    "descriptors": lambda: os.open(os.devnull, os.O_RDONLY),
    "threads": _wait_for_ever,
    "tasks": lambda: asyncio.ensure_future(asyncio.sleep(1e9)),
}


def plant(kind: str) -> None:
    leak, create = KINDS[kind], EciCloud.create

    async def leaking(self: EciCloud, workload: Any) -> Any:
        KEPT.append(leak())
        return await create(self, workload)

    EciCloud.create = leaking  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(sys.argv.pop(1))
    sys.exit(main())
