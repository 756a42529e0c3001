"""A cloud whose `exec` runs commands on this machine, and clients that ask for them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from vk_provider.cloud.base import Channel, ExecResult, ExecSession
from vk_provider.errors import CloudRefused
from vk_provider.kubelet.hijack import StreamTimeouts

from .spdyclient import SpdyClient, Stream, upgraded
from .world import SmallCloud, World, client_context, instance_of_pod, pod_named

API_SERVER = "kube-apiserver-kubelet-client"


class LocalCloud(SmallCloud):
    """Commands really run, here. sessions: all that were begun. unknown_exit: exit codes are kept secret.

    failure: raised instead of beginning one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[LocalSession] = []
        self.asked: list[tuple[str, str, list[str], bool, bool]] = []
        self.unknown_exit = False
        self.failure: Exception | None = None

    async def exec(
        self, instance_id: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        self.asked.append((instance_id, container, list(command), stdin, tty))
        if self.failure is not None:
            raise self.failure
        try:
            session = await (_start_tty if tty else _start_pipes)(command, stdin=stdin, secret=self.unknown_exit)
        except (FileNotFoundError, PermissionError) as error:
            raise CloudRefused(f"no such program: {command[0]}") from error
        self.sessions.append(session)
        return session


class LocalSession:
    """closed: set when given up or ended. taken: bytes of input that the command's pipe has taken."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        writer: asyncio.StreamWriter | None,
        readers: dict[Channel, asyncio.StreamReader],
        *,
        secret: bool,
        terminal: int | None = None,
    ) -> None:
        self.process = process
        self.closed = asyncio.Event()
        self.taken = 0
        self.sizes: list[tuple[int, int]] = []
        self._writer = writer
        self._readers = readers
        self._secret = secret
        self._terminal = terminal

    async def write(self, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return
        self.taken += len(data)

    async def close_stdin(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def resize(self, *, width: int, height: int) -> None:
        self.sizes.append((width, height))
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        queue: asyncio.Queue[tuple[Channel, bytes]] = asyncio.Queue(maxsize=4)

        async def pump(channel: Channel, reader: asyncio.StreamReader) -> None:
            while data := await reader.read(64 * 1024):
                await queue.put((channel, data))
            await queue.put((channel, b""))

        async with asyncio.TaskGroup() as tasks:
            pumps = [tasks.create_task(pump(channel, reader)) for channel, reader in self._readers.items()]
            left = len(pumps)
            try:
                while left:
                    channel, data = await queue.get()
                    left -= not data
                    if data:
                        yield channel, data
            finally:
                for task in pumps:
                    task.cancel()

    async def result(self) -> ExecResult:
        code = await self.process.wait()
        return ExecResult(None, "the cloud does not tell exit codes") if self._secret else ExecResult(code)

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._writer is not None:
            self._writer.close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        self.closed.set()


async def _start_pipes(command: Sequence[str], *, stdin: bool, secret: bool) -> LocalSession:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=2**18
    )
    assert process.stdout is not None
    assert process.stderr is not None
    readers = {Channel.STDOUT: process.stdout, Channel.STDERR: process.stderr}
    return LocalSession(process, process.stdin, readers, secret=secret)


class _TerminalReader(asyncio.StreamReaderProtocol):
    """A terminal whose last user has gone reads as an error, which to everybody else is its end."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None)


async def _start_tty(command: Sequence[str], *, stdin: bool, secret: bool) -> LocalSession:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: _TerminalReader(reader), os.fdopen(os.dup(ours), "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop=loop), os.fdopen(os.dup(ours), "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    return LocalSession(process, writer, {Channel.STDOUT: reader}, secret=secret, terminal=ours)


class Streaming(World):
    """The world with a running pod `api-0` on a LocalCloud, at 127.0.0.1."""

    def __init__(self, folder: Path, times: StreamTimeouts | None = None) -> None:
        super().__init__(folder, stream_times=times)
        self.commands = LocalCloud()
        self.cloud = self.commands
        pod = pod_named()
        self.add(pod, instance_of_pod(pod, ip="127.0.0.1"))
        self.pair = self.client_ca.issue(API_SERVER, ["system:masters"])
        self.review.allowed |= {(API_SERVER, "create", "proxy"), (API_SERVER, "get", "proxy")}

    @property
    def context(self) -> ssl.SSLContext:
        return client_context(self.folder, self.server_ca.pem, self.pair)

    @asynccontextmanager
    async def exec(
        self, *command: str, tail: str = "/web/api-0/app", path: str = "/exec", streams: str = "oe", **options: object
    ) -> AsyncIterator[Session]:
        """streams: letters of i, o, e, t."""
        names = {"i": "input", "o": "output", "e": "error", "t": "tty"}
        query = [(names[letter], "1") for letter in streams] + [("command", word) for word in command]
        async with upgraded(self.port, f"{path}{tail}?{urlencode(query)}", self.context, **options) as client:
            session = Session(client)
            await session.open_streams(streams)
            yield session


class Session:
    """The streams of one command, opened in kubectl's order."""

    stdin: Stream
    stdout: Stream
    stderr: Stream
    resize: Stream

    def __init__(self, client: SpdyClient) -> None:
        self.client = client

    async def open_streams(self, streams: str) -> None:
        self.error = await self.client.open(streamtype="error")
        if "i" in streams:
            self.stdin = await self.client.open(streamtype="stdin")
        if "o" in streams:
            self.stdout = await self.client.open(streamtype="stdout")
        if "e" in streams and "t" not in streams:
            self.stderr = await self.client.open(streamtype="stderr")
        if "t" in streams:
            self.resize = await self.client.open(streamtype="resize")
