"""What a check found, put together; and what the checks ask. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from vk_provider.cloud.base import Finding, Verdict
from vk_provider.commands.cluster import Reader


class Client(Reader, Protocol):
    server: str

    async def server_time(self, *, timeout_s: float = ...) -> datetime | None: ...

    async def read_text(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = ...) -> str: ...


def ok(check: str, message: str) -> Finding:
    return Finding(check, Verdict.OK, message)


def failed(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Verdict.FAILED, message, fix)


def warning(check: str, message: str, fix: str) -> Finding:
    return Finding(check, Verdict.WARNING, message, fix)


def skipped(check: str, message: str, fix: str = "") -> Finding:
    return Finding(check, Verdict.SKIPPED, message, fix)
