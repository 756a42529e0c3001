"""A small SPDY/3.1 client of its own, as kubectl's library is one: no code of the provider's, so that a misreading of
the protocol cannot pass on both sides."""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

DEADLINE_S = 60.0

# The draft's dictionary as another library ships it, packed; zlib checks it again, by the checksum in the first block.
_PACKED = (
    "c-m!D+j84B5Y^POlu47cNqzv&Eg6F(=s2D6gL`r7blhYbclr#0D+)0PARwqqzP`Jl<SOlqBpw{><?Mx;OeS;Zqjt8ROeWJ6$cCQY^%0*ZexS#!"
    "0Rs^boyH&)ftgeaJY7B;QLa`p^gzrvdj_m>jkfI(Wu$Ef*;0h3dnzCWl>B7mPo*(#lMIHqazTHVB##Is)e3UuYz)pI@fe{6wZDEs7hq$)kUa(Z"
    "_HaJZ@xUDkdG^48ZR6?-E2j?0zdmqXQztF^W0HTIJ?=c6r;SV<n?jV7c?MgLQW4D&>5xjEE`#e*-^YGG(#yP)QIUw}gi-fWLzDN~rnWyt(mD$d"
    "R^)Mz@DlN0|L<dDA0I-I&rw-VI=Ri4E^K6INYTs(*>)1q3m@Eem(viiEUm_JUjEA-kLL8CVIE)!0RnX_Kn!TQjOjS*A*>VnDn**(Dru95=Ll_&"
    "e#fJl555huA=AeL`sO$-OHG=tW!TZatTpMJqjbBU?q;+3ui#k+D3!`SY14Mj`Y7X&YArcu?|!EkD6AhVdGy=e-TSlRRY4v@FsUcQ!e~W8aKUl^"
    "+`Ue+?g4x*jb5ij*pF7*g7bnGC4I`0*Cju%IInnF@v7pY;&nyLYr#vwYr)S2;S0gvh=Plv5Jf49N)$pAwJ6R-@w(<^%|%V2D)xu7`PJBatO66W"
    "8;jHH(i}=I(186kE@H(CcI(#Au=jul7Adn6Sn-dtVSmD>0s1J=<}Z5~CNu(5T)VK)O#@b>a1n{YHZ?llVBBD(VIR^Y*)JiuP-6(Py6L=u4wC@d"
    "R>?#wpy+EHvs@T>D=oW*1-q4jUHO2|9eX=i{2F#OwCLg^d#56XTeF`*G0uNTA1uRW>~4UJ{S6JG)sV64pfmPCM*JD@_Sf4xwHoX_-bdKRvsLU&"
    "raRo3GjH2H`sfd+)yqtJZ}j*goNdwii!=FuPi%_jjnsC8AF-ZZ1?^)tu7wYJjjKlQ5k|gjKWm>gur$bJeWO<U|HaE8F7u1SLH91dxTxRcMMiw~"
    "T?Y2kC4cn~<Ho1L"
)
DICTIONARY = zlib.decompress(base64.b85decode(_PACKED))


@dataclass
class Stream:
    """One stream as the client sees it. log: what came, in order, as `data`, `fin` and `reset`."""

    id: int
    replied: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    received: bytearray = field(default_factory=bytearray)
    reset: int | None = None


class UpgradeRefused(Exception):
    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        super().__init__(f"{status} {body}")


class SpdyClient:
    """events: every frame that came, as (kind, stream id) in order. frozen: while set, nothing is read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.writer = writer
        self._reader = reader
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
        self._inflate = zlib.decompressobj(15, DICTIONARY)
        self._next_id = 1
        self.streams: dict[int, Stream] = defaultdict(lambda: Stream(0))
        self.events: list[tuple[str, int]] = []
        self.pongs: list[int] = []
        self.goaway: int | None = None
        self.closed = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()

    # --- sending ---

    def control(self, kind: int, payload: bytes, flags: int = 0, version: int = 3) -> bytes:
        return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(payload)) + payload

    def block(self, headers: Mapping[str, str]) -> bytes:
        text = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for part in (name.encode(), value.encode()):
                text += struct.pack(">I", len(part)) + part
        return self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def syn(self, stream_id: int, headers: Mapping[str, str], flags: int = 0) -> bytes:
        return self.control(1, struct.pack(">IIH", stream_id, 0, 0) + self.block(headers), flags)

    async def open(self, *, wait: bool = True, fin: bool = False, **headers: str) -> Stream:
        stream = Stream(self._next_id)
        self._next_id += 2
        self.streams[stream.id] = stream
        self.writer.write(self.syn(stream.id, headers, flags=1 if fin else 0))
        if wait:
            async with asyncio.timeout(DEADLINE_S):
                await stream.replied.wait()
        return stream

    async def send(self, stream: Stream, data: bytes, *, fin: bool = False, size: int = 32 * 1024) -> None:
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self.writer.write(struct.pack(">II", stream.id, len(piece)) + piece)
            await self.writer.drain()
        if fin:
            self.writer.write(struct.pack(">II", stream.id, 1 << 24))

    def rst(self, stream: Stream, status: int = 5) -> None:
        self.writer.write(self.control(3, struct.pack(">II", stream.id, status)))

    def ping(self, number: int) -> None:
        self.writer.write(self.control(6, struct.pack(">I", number)))

    # --- receiving ---

    async def read(self) -> None:
        try:
            while True:
                await self.may_read.wait()
                first, second = struct.unpack(">II", await self._reader.readexactly(8))
                payload = await self._reader.readexactly(second & 0xFFFFFF)
                if first >> 31:
                    assert first >> 16 == 0x8003
                    self._control(first & 0xFFFF, payload)
                else:
                    self._data(first, payload, fin=bool(second >> 24 & 1))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.closed.set()

    def _data(self, stream_id: int, data: bytes, *, fin: bool) -> None:
        stream = self.streams[stream_id]
        assert stream.replied.is_set(), "DATA before its SYN_REPLY is thrown away by a real client"
        assert len(data) <= 32 * 1024
        stream.received += data
        if data and self.events[-1:] != [("data", stream_id)]:
            self.events.append(("data", stream_id))
        if fin:
            self.events.append(("fin", stream_id))
            stream.ended.set()

    def _control(self, kind: int, payload: bytes) -> None:
        words = struct.unpack(f">{len(payload) // 4}I", payload[: len(payload) // 4 * 4])
        if kind == 2:
            self._inflate.decompress(payload[4:])
            self.events.append(("reply", words[0]))
            self.streams[words[0]].replied.set()
        elif kind == 3:
            self.events.append(("reset", words[0]))
            stream = self.streams[words[0]]
            stream.reset = words[1]
            stream.replied.set()
            stream.ended.set()
        elif kind == 6:
            self.pongs.append(words[0])
        elif kind == 7:
            self.events.append(("goaway", words[0]))
            self.goaway = words[1]

    async def ended(self, *streams: Stream) -> None:
        async with asyncio.timeout(60):
            for stream in streams:
                await stream.ended.wait()


@asynccontextmanager
async def upgraded(
    port: int,
    path: str,
    context: ssl.SSLContext,
    *,
    protocols: Sequence[str] = ("v4.channel.k8s.io",),
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    read_buffer: int = 2**16,
) -> AsyncIterator[SpdyClient]:
    """Raises UpgradeRefused for any answer but 101."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=read_buffer)
    task: asyncio.Task[None] | None = None
    try:
        asked: dict[str, Any] = {"Host": "node", "Connection": "Upgrade", "Upgrade": "SPDY/3.1", **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
        lines += [f"X-Stream-Protocol-Version: {protocol}" for protocol in protocols]
        lines += ["Content-Length: 0"] if method == "POST" else []
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status, answered = await _head(reader)
        if status != 101:
            body = await reader.readexactly(int(answered.get("content-length", 0)))
            raise UpgradeRefused(status, answered, body.decode())
        client = SpdyClient(reader, writer, answered)
        task = asyncio.create_task(client.read())
        yield client
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        writer.close()
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(1):  # longer only where the server reads nothing, as some tests want it
                await writer.wait_closed()
        cut(writer)


def cut(writer: asyncio.StreamWriter) -> None:
    with suppress(AttributeError):  # Python 3.11.2's, of a TLS connection that was closed twice
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    async with asyncio.timeout(DEADLINE_S):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
