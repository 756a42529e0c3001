"""A connection that has left HTTP: bytes or messages, with back-pressure both ways (kubelet.md X6, X25, j).

aiohttp's own parser would take the first frames after a 101 for a next request. So the transport is given a protocol
of ours, which for SPDY keeps what comes, and for WebSocket hands it on to aiohttp's. In both cases it keeps to itself
that the connection is lost: a session then ends in its own order, instead of by being cancelled anywhere.

The end of a connection never overtakes its data: `read` tells it once everything was read that came before, while
`guard`, `write` and `flush` tell it at once. One thing cannot be noticed: while nothing is read, because a command
takes no input, neither is the client's end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from aiohttp import WSMessage, WSMsgType, web

from vk_provider.errors import ProviderError

READ_BUFFER_BYTES = 256 * 1024
WRITE_BUFFER_BYTES = 256 * 1024
REPLY_BUFFER_BYTES = 1024 * 1024  # up to here answers, as to pings, are written although the client takes nothing
CLOSE_TIMEOUT_S = 2.0

NO_LIMIT = 2**62


class ClientDisconnected(ProviderError):
    """The client has gone, or has to: there is nobody to answer."""


class ConnectionGone(ClientDisconnected):
    """The connection is no more. What came by it before may still wait to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimeouts:
    """idle_s: without a byte either way a session ends. creation_s: for a client to open its streams. linger_s: for a
    client to close first, since a connection cut under it loses the exit status (X26)."""

    idle_s: float = 4 * 3600.0
    creation_s: float = 30.0
    linger_s: float = 1.0


class HijackedTransport(asyncio.Protocol):
    """Between a transport and aiohttp's protocol, from before the 101 until `give_back`."""

    def __init__(self, request: web.Request, *, keeps_bytes: bool) -> None:
        """keeps_bytes: what comes is for `read`; else for aiohttp."""
        if request.transport is None:
            raise ClientDisconnected("the client left before the upgrade")
        self._below = request.protocol
        self._keeps_bytes = keeps_bytes
        self._given_back = False
        self._transport = request.transport
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._something = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._error: Exception | None = None
        self.lost = asyncio.Event()
        self.when_lost: Callable[[], None] = lambda: None
        self.touched = self._loop.time()
        self._transport.set_protocol(self)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def give_back(self) -> None:
        """Let aiohttp end the connection, or learn that it has ended; not at once, for that would cancel the caller."""
        self._given_back = True
        if self.lost.is_set():
            self._loop.call_soon(self._below.connection_lost, self._error)

    # --- called by the transport ---

    def data_received(self, data: bytes) -> None:
        self.touched = self._loop.time()
        if self._given_back or not self._keeps_bytes:
            self._below.data_received(data)
            return
        self._chunks.append(data)
        self._held += len(data)
        self._something.set()
        if self._held > READ_BUFFER_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """The transport closes itself then, and says so by `connection_lost`."""
        if self._given_back:
            self._below.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        if self._given_back:
            self._below.connection_lost(exc)
        self.lost.set()
        self._something.set()
        self._writable.set()
        self.when_lost()

    def pause_writing(self) -> None:
        self._writable.clear()
        self._below.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self._below.resume_writing()

    # --- called by a session ---

    async def read(self) -> bytes:
        """The next bytes. Raises ClientLeft at the end."""
        while not self._chunks:
            if self.lost.is_set():
                raise ClientDisconnected("the client closed the connection")
            self._something.clear()
            await self._something.wait()
        data = self._chunks.popleft()
        self._held -= len(data)
        if not self._transport.is_reading() and self._held <= READ_BUFFER_BYTES // 2 and not self.lost.is_set():
            self._transport.resume_reading()
        return data

    def put(self, data: bytes) -> None:
        """Raises ClientLeft."""
        if self.lost.is_set() or self._transport.is_closing():
            raise ClientDisconnected("the client closed the connection")
        self.touched = self._loop.time()
        self._transport.write(data)

    async def drain(self, *, beyond: int = 0) -> None:
        """Wait while the client takes nothing; with `beyond`, only once so many bytes wait for it."""
        if self._transport.get_write_buffer_size() >= beyond:
            await self._writable.wait()
        if self.lost.is_set():
            raise ClientDisconnected("the client closed the connection")

    async def flush(self) -> None:
        """Wait until all that was put has left this program, or the client has gone."""
        self._transport.set_write_buffer_limits(high=0)
        if self._transport.get_write_buffer_size():
            await self._writable.wait()

    async def guard(self, times: StreamTimeouts) -> None:
        """Never returns. Raises ConnectionGone, or ClientLeft when it was idle for too long."""
        while True:
            left_s = self.touched + times.idle_s - self._loop.time()
            if left_s <= 0:
                raise ClientDisconnected(f"nothing was said for {times.idle_s:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self.lost.wait()
                    raise ConnectionGone("the client closed the connection")


class Link(Protocol):
    """A connection that carries bytes both ways, as a codec needs it."""

    async def read(self) -> bytes:
        """The next bytes. Raises ClientLeft when there are none any more."""
        ...

    async def write(self, data: bytes, *, beyond: int = 0) -> None:
        """At once; then waits while the client takes nothing, if at least `beyond` bytes wait. Raises ClientLeft."""
        ...

    async def guard(self) -> None:
        """Never returns; raises ClientLeft when the session has to end for want of a client."""
        ...

    async def flush(self) -> None:
        """Wait until all that was written has left this program."""
        ...

    async def close(self) -> None:
        """Give the client a moment to read all and to close first."""
        ...


class SpdyLink:
    def __init__(self, taken: HijackedTransport, times: StreamTimeouts) -> None:
        self._taken = taken
        self._times = times

    async def read(self) -> bytes:
        return await self._taken.read()

    async def write(self, data: bytes, *, beyond: int = 0) -> None:
        if data:
            self._taken.put(data)
            await self._taken.drain(beyond=beyond)

    async def guard(self) -> None:
        await self._taken.guard(self._times)

    async def flush(self) -> None:
        await self._taken.flush()

    async def close(self) -> None:
        with suppress(ClientDisconnected, TimeoutError):
            async with asyncio.timeout(self._times.linger_s):
                while True:
                    await self._taken.read()


class MessageLink:
    """A WebSocket that aiohttp frames. `writer_limit` is out of its reach: waiting for the client is done here."""

    def __init__(self, taken: HijackedTransport, times: StreamTimeouts, socket: web.WebSocketResponse) -> None:
        self._taken = taken
        self._times = times
        self._socket = socket
        self._patience = asyncio.timeout(None)  # of the message that is awaited
        taken.when_lost = self._wait_no_more

    async def read(self) -> str | bytes:
        """The next message. Raises ClientLeft when there is none any more."""
        while True:
            message = await self._next()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    data: str | bytes = message.data
                    return data
                case WSMsgType.PING:
                    await self._answer_ping(message.data)
                case WSMsgType.PONG:
                    pass
                case _:
                    raise ClientDisconnected("the client closed its WebSocket")

    async def _next(self) -> WSMessage:
        """aiohttp does not learn that the connection is lost, so once it is, only what came before is taken."""
        while True:
            is_last = self._taken.lost.is_set()
            try:
                async with asyncio.timeout(0 if is_last else None) as self._patience:
                    return await self._socket.receive()
            except TimeoutError as error:
                if is_last:
                    raise ConnectionGone("the client closed the connection") from error

    def _wait_no_more(self) -> None:
        with suppress(RuntimeError):  # nobody waits
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def write(self, *messages: str | bytes | None, beyond: int = 0) -> None:
        """Those that are something; waits as `Link.write`. Raises ClientLeft."""
        for message in messages:
            if message is not None:
                await self._put(message)
        await self._taken.drain(beyond=beyond)

    async def guard(self) -> None:
        await self._taken.guard(self._times)

    async def flush(self) -> None:
        await self._taken.flush()

    async def close(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            if not self._taken.lost.is_set():
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._socket.close()

    async def _put(self, message: str | bytes) -> None:
        if self._taken.lost.is_set():
            raise ClientDisconnected("the client closed the connection")
        self._taken.touched = asyncio.get_running_loop().time()
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except ConnectionError as error:
            raise ClientDisconnected("the client closed the connection") from error

    async def _answer_ping(self, data: bytes) -> None:
        with suppress(ConnectionError):
            await self._socket.pong(data)
        await self._taken.drain(beyond=REPLY_BUFFER_BYTES)


class TunnelLink:
    """Bytes in binary messages, cut anywhere."""

    def __init__(self, messages: MessageLink) -> None:
        self._messages = messages

    async def read(self) -> bytes:
        message = await self._messages.read()
        if isinstance(message, str):
            raise ClientDisconnected("the client sent text into a tunnel of bytes")
        return message

    async def write(self, data: bytes, *, beyond: int = 0) -> None:
        if data:
            await self._messages.write(data, beyond=beyond)

    async def guard(self) -> None:
        await self._messages.guard()

    async def flush(self) -> None:
        await self._messages.flush()

    async def close(self) -> None:
        await self._messages.close()
