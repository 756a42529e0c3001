"""Handing a client's connection to a kubelet, byte for byte, once both have agreed to leave HTTP.

aiohttp's own parser would take the first frames after a 101 for a next request, so the transport is given another
protocol before the 101 goes out.
"""

import asyncio
import ssl

from aiohttp import web

from fakes.kube import websocket
from fakes.kube.errors import ApiError

_CONNECT_S = 10.0
_LONGEST_HEAD = 64 * 1024
_CHUNK = 64 * 1024
_DROPPED = frozenset({"host", "authorization", "sec-websocket-protocol"})


class _Taken(asyncio.Protocol):
    """Receives what the client sends after the upgrade, with back-pressure."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._held = 0
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._queue.put_nowait(data)
        self._held += len(data)
        if self._held > 4 * _CHUNK:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._queue.put_nowait(b"")
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._queue.put_nowait(b"")
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read(self) -> bytes:
        """The next bytes, none at the end."""
        data = await self._queue.get()
        self._held -= len(data)
        if self._held <= _CHUNK and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self._writable.wait()
        self._transport.write(data)


async def pump_upgrade(
    request: web.Request, host: str, port: int, target: str, *, tls: ssl.SSLContext | None
) -> web.StreamResponse:
    """Send the request on and join the two connections. Raises ApiError when nobody can be reached there."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname="" if tls else None)
    except (OSError, TimeoutError) as lost:
        raise ApiError(500, "", f"error dialing backend: {lost}") from lost
    try:
        writer.write(_head(request, host, port, target))
        head = await reader.readuntil(b"\r\n\r\n")
        return await _join(request, head, reader, writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as lost:
        raise ApiError(500, "", f"error dialing backend: {lost}") from lost
    finally:
        writer.close()


def _head(request: web.Request, host: str, port: int, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}:{port}"]
    lines += [f"{key}: {value}" for key, value in request.headers.items() if key.lower() not in _DROPPED]
    if protocols := websocket.offered(request):
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _join(
    request: web.Request, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> web.StreamResponse:
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionError("the client left")
    taken = _Taken(transport)
    transport.set_protocol(taken)  # before the 101 goes out: the client may answer in the same millisecond
    transport.resume_reading()
    await taken.write(head)
    outward = asyncio.create_task(_out(taken, writer))
    try:
        while data := await reader.read(_CHUNK):
            await taken.write(data)
    except ConnectionError:
        pass  # how either side ends is its own affair: the bytes so far were delivered
    finally:
        outward.cancel()
        transport.close()
    return _Spent()


async def _out(taken: _Taken, writer: asyncio.StreamWriter) -> None:
    while data := await taken.read():
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


class _Spent(web.StreamResponse):
    """An answer already given: aiohttp is to write nothing more."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        return None
