"""Commands in running containers: a process that enters the container's namespaces, with pipes or a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from vk_provider.cloud.base import Channel, ExecResult

PIECE = 32 * 1024


class LocalSession:
    """As `ExecSession`."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int | None) -> None:
        self._process = process
        self._terminal = terminal  # our side of it

    @classmethod
    async def open(cls, words: Sequence[str], *, stdin: bool, tty: bool) -> LocalSession:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        if not tty:
            given = pipe if stdin else nothing
            return cls(
                await asyncio.create_subprocess_exec(
                    *words, stdin=given, stdout=pipe, stderr=pipe, start_new_session=True
                ),
                None,
            )
        ours, theirs = pty.openpty()
        try:
            child = await asyncio.create_subprocess_exec(
                *("setsid", "--ctty", "--wait"), *words, stdin=theirs, stdout=theirs, stderr=theirs
            )
        finally:
            os.close(theirs)
        return cls(child, ours)

    async def write(self, data: bytes) -> None:
        if self._terminal is not None:
            with suppress(OSError):
                await asyncio.to_thread(os.write, self._terminal, data)
        elif self._process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        if self._terminal is not None:
            await self.write(b"\x04")  # what a terminal takes for the end of input
        elif self._process.stdin is not None:
            self._process.stdin.close()

    async def resize(self, *, width: int, height: int) -> None:
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        if self._terminal is not None:
            while data := await asyncio.to_thread(_read, self._terminal):
                yield Channel.STDOUT, data
            return
        pieces: asyncio.Queue[tuple[Channel, bytes] | None] = asyncio.Queue(8)
        streams = ((Channel.STDOUT, self._process.stdout), (Channel.STDERR, self._process.stderr))
        async with asyncio.TaskGroup() as tasks:
            pumps = [tasks.create_task(_pump(channel, stream, pieces)) for channel, stream in streams]
            try:
                for _ in pumps:
                    while (piece := await pieces.get()) is not None:
                        yield piece
            finally:
                for each in pumps:
                    each.cancel()

    async def result(self) -> ExecResult:
        code = await self._process.wait()
        return ExecResult(128 - code if code < 0 else code)

    async def close(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        await self._process.wait()


async def _pump(
    channel: Channel,
    stream: asyncio.StreamReader | None,
    pieces: asyncio.Queue[tuple[Channel, bytes] | None],
) -> None:
    while stream is not None and (data := await stream.read(PIECE)):
        await pieces.put((channel, data))
    await pieces.put(None)


def _read(terminal: int) -> bytes:
    """Empty at the end, which Linux tells as an error of the terminal."""
    try:
        return os.read(terminal, PIECE)
    except OSError:
        return b""
