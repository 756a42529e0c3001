"""Logs as `kubectl logs` asks for them, from the files of a container's runs. Each line begins with its moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from vk_provider.cloud.base import LogOptions
from vk_provider.cloud.local import state

Json = dict[str, Any]
POLL_S = 0.2
PIECE = 64 * 1024


async def read(directory: Path, container: str, options: LogOptions) -> AsyncIterator[bytes]:
    """As `Cloud.logs`."""
    run = _run(directory, container)
    number = int(run.get("restarts") or 0) - (1 if options.previous else 0)
    path = state.log_path(directory, container, number)
    left = options.limit_bytes
    rest, offset, first = b"", 0, True
    while left is None or left > 0:
        ended = options.previous or not options.follow or _is_over(directory, container, number)
        data = await asyncio.to_thread(_tail_of, path, offset)
        offset += len(data)
        whole, newline, rest = (rest + data).rpartition(b"\n")
        lines = whole.split(b"\n") if newline else []
        if first and (lines or ended):
            lines = [each for each in lines if _moment(each) >= options.since] if options.since else lines
            lines = lines[max(0, len(lines) - options.tail) :] if options.tail is not None else lines
            first = False
        shown = b"".join((each if options.timestamps else each.partition(b" ")[2]) + b"\n" for each in lines)
        if left is not None:
            shown, left = shown[:left], left - len(shown[:left])
        if shown:
            yield shown
        if ended and not data:
            return
        if not data:
            await asyncio.sleep(POLL_S)


def _tail_of(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return log.read()
    except FileNotFoundError:
        return b""


def _moment(line: bytes) -> str:
    return line.partition(b" ")[0].decode(errors="replace")


def _run(directory: Path, container: str) -> Json:
    runs = (state.read(directory / state.STATUS) or {}).get("runs") or {}
    found = runs.get(container)
    return found if isinstance(found, dict) else {}


def _is_over(directory: Path, container: str, number: int) -> bool:
    """Whether that run has ended, or nobody is there to go on with it."""
    status = state.read(directory / state.STATUS)
    if status is None:
        return False
    run = (status.get("runs") or {}).get(container) or {}
    if int(run.get("restarts") or 0) > number or run.get("exit_code") is not None:
        return True
    return not state.is_running(status)
