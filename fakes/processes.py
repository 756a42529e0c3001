"""Child processes that never outlive us, with their output in files.

A child dies by SIGTERM when its parent dies, however that happens (PR_SET_PDEATHSIG), so that a demo killed midway
leaves no process and no port behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChildFailed(Exception):
    """A child ended before it was ready, or did not get ready in time."""


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process, its log file, and an orderly end."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m"),
    ) -> Child:
        """Start `python -m <arguments>`, or another command, with output in `<directory>/<name>.log`."""
        log = directory / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                preexec_fn=_die_with_parent,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.returncode

    async def ready(self, file: Path, *, within_s: float) -> Mapping[str, Any]:
        """What the child wrote to its ready file. Raises ChildFailed with the last lines of its log."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                told: Mapping[str, Any] = json.loads(file.read_text())
                return told
            if self.ended is not None:
                raise ChildFailed(f"{self.name} ended with code {self.ended}:\n{self.tail()}")
            await asyncio.sleep(0.05)
        raise ChildFailed(f"{self.name} was not ready within {within_s:g} s:\n{self.tail()}")

    def tail(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def stop(self, *, grace_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it has ended."""
        if self.ended is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> int:
        return await self._process.wait()
