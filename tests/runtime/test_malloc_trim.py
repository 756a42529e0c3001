"""The C heap is trimmed again and again, where the C library can."""

from __future__ import annotations

import asyncio
import ctypes
from types import SimpleNamespace

import pytest

from vk_provider.runtime import malloc_trim


async def test_trims_again_and_again(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(malloc_trim, "EVERY_S", 0.001)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=asked.append))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(malloc_trim.keep_trimmed(), 0.2)
    assert len(asked) > 1
    assert set(asked) == {0}


async def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    await malloc_trim.keep_trimmed()
