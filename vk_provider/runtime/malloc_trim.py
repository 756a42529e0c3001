"""Gives memory that is free back to the system.

glibc returns what lies free at the end of its heap only. A burst's answers of megabytes lie before the pods' own bytes,
which stay, so that after a thousand pods a third of the heap was free and still counted as ours. Python's own small
objects are not in it; they are kept from making holes by holding little at a time.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

from vk_provider.retry_loop import retry_loop

EVERY_S = 15.0  # a few milliseconds each


async def keep_trimmed() -> None:
    """Until cancelled; returns at once with another C library, as musl, which does so by itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        await retry_loop(lambda: _trim(trim), name="heap")


async def _trim(trim: Callable[[int], object]) -> None:
    await asyncio.sleep(EVERY_S)
    trim(0)
