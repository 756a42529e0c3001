"""SPDY/3.1 frames as bytes and as dataclasses, and the compression of their headers (kubelet.md d.4).

Two rules. Every header block that comes is decompressed, whatever becomes of its frame, since one zlib stream runs
through all blocks of a direction (X22). And nothing is held back that need not be: a DATA frame is handed on in the
pieces in which it arrives, so its length costs no memory; only control frames are collected, and those have a limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from vk_provider.errors import ProviderError
from vk_provider.wire.spdy_dictionary import DICTIONARY

VERSION = 3
MAX_ID = 2**31 - 1
MAX_LENGTH = 2**24 - 1

HeaderList = tuple[tuple[str, str], ...]  # names in lower case; several values of one name are joined by NUL


class FrameFault(ProviderError):
    """What came is not SPDY/3.1 or goes beyond a limit. The connection cannot go on: where frames begin is lost."""


class Status(IntEnum):
    """Why a stream is reset (X20)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9
    FRAME_TOO_LARGE = 11


class Goodbye(IntEnum):
    """Why a connection ends."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


class Flag(IntFlag):
    FIN = 1
    UNIDIRECTIONAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may cost. control_bytes: of a control frame as it comes. header_bytes: of a header block,
    decompressed. headers: in one block. open_streams: at once."""

    control_bytes: int = 256 * 1024
    header_bytes: int = 1024 * 1024
    headers: int = 1000
    open_streams: int = 1000


# --- frames ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SynStream:
    stream_id: int
    headers: HeaderList = ()
    fin: bool = False
    unidirectional: bool = False
    associated: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    stream_id: int
    headers: HeaderList = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """values: (flags, id, value) each."""

    values: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_good: int
    status: int = Goodbye.OK


@dataclass(frozen=True, slots=True)
class Headers:
    stream_id: int
    headers: HeaderList = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream_id: int
    delta: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A control frame of a type that the drafts do not name or that nobody uses: to be passed over."""

    type: int


@dataclass(frozen=True, slots=True)
class Data:
    """One piece of a DATA frame. begins: it is the first of its frame; fin: only ever on the last."""

    stream_id: int
    data: bytes = b""
    fin: bool = False
    begins: bool = True


Frame = SynStream | SynReply | RstStream | Settings | Ping | GoAway | Headers | WindowUpdate | Unknown | Data

_HEAD = struct.Struct(">II")
_ONE = struct.Struct(">I")
_TWO = struct.Struct(">II")
_SYN_STREAM = struct.Struct(">IIBB")
_CONTROL = 0x80000000


# --- bytes to frames -------------------------------------------------------------------------------------------------


class FrameReader:
    """Collects what comes and cuts it into frames. After a FrameFault it must not be used again."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._headers = _HeaderReader(self._limits)
        self._buffer = bytearray()
        self._data: _DataHead | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame, or piece of DATA, that is complete now. To be read to its end. Raises FrameFault."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if self._data is not None:
            return self._piece(self._data) if self._buffer else None
        if len(self._buffer) < _HEAD.size:
            return None
        first, second = _HEAD.unpack_from(self._buffer)
        flags, length = second >> 24, second & MAX_LENGTH
        if first & _CONTROL:
            return self._control(first, flags, length)
        if first == 0:
            raise FrameFault("a DATA frame of stream 0")
        self._take(_HEAD.size)
        if length == 0:
            return Data(first, fin=bool(flags & Flag.FIN))
        self._data = _DataHead(first, length, fin=bool(flags & Flag.FIN), begins=True)
        return self._next()

    def _piece(self, head: _DataHead) -> Data:
        piece = self._take(min(head.left, len(self._buffer)))
        left = head.left - len(piece)
        self._data = _DataHead(head.stream_id, left, fin=head.fin, begins=False) if left else None
        return Data(head.stream_id, piece, fin=head.fin and not left, begins=head.begins)

    def _control(self, first: int, flags: int, length: int) -> Frame | None:
        version, kind = (first >> 16) & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise FrameFault(f"a control frame of SPDY version {version}; only {VERSION} is spoken here")
        if length > self._limits.control_bytes:
            raise FrameFault(f"a control frame of {length} bytes; the limit is {self._limits.control_bytes}")
        if len(self._buffer) < _HEAD.size + length:
            return None
        self._take(_HEAD.size)
        payload = self._take(length)
        parse = _PARSERS.get(kind)
        if parse is None:
            return Unknown(kind)
        try:
            return parse(payload, Flag(flags & 3), self._headers)
        except struct.error as error:
            raise FrameFault(f"a control frame of type {kind} is cut short") from error

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken


@dataclass(frozen=True, slots=True)
class _DataHead:
    stream_id: int
    left: int
    fin: bool
    begins: bool


class _HeaderReader:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._zlib = zlib.decompressobj(15, DICTIONARY)

    def read(self, block: bytes) -> HeaderList:
        """Raises FrameFault."""
        most = self._limits.header_bytes
        try:
            text = self._zlib.decompress(block, most + 1)
        except zlib.error as error:
            raise FrameFault("a header block that cannot be decompressed") from error
        if len(text) > most:
            raise FrameFault(f"a header block of more than {most} bytes")
        if self._zlib.eof:
            raise FrameFault("the compression of headers was ended, which leaves none for the next frame")
        try:
            return _header_list(text, self._limits.headers)
        except struct.error as error:
            raise FrameFault("a header block is cut short") from error


def _header_list(text: bytes, most: int) -> HeaderList:
    (count,) = _ONE.unpack_from(text)
    if count > most:
        raise FrameFault(f"{count} headers in one frame; the limit is {most}")
    at = _ONE.size
    pairs: list[tuple[str, str]] = []
    for _ in range(count):
        name, at = _text_at(text, at)
        value, at = _text_at(text, at)
        pairs.append((name.lower(), value))
    if at != len(text):
        raise FrameFault("bytes after the last header of a block")
    if len(dict(pairs)) != count:
        raise FrameFault("a header is named twice in one block")
    return tuple(pairs)


def _text_at(text: bytes, at: int) -> tuple[str, int]:
    (length,) = _ONE.unpack_from(text, at)
    begin = at + _ONE.size
    if begin + length > len(text):
        raise FrameFault("a header reaches beyond its block")
    return text[begin : begin + length].decode("latin-1"), begin + length


def _exactly(layout: struct.Struct, payload: bytes) -> tuple[int, ...]:
    if len(payload) != layout.size:
        raise FrameFault(f"a control frame of {len(payload)} bytes where {layout.size} belong")
    return layout.unpack(payload)


def _syn_stream(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:
    stream_id, associated, priority, _slot = _SYN_STREAM.unpack_from(payload)
    return SynStream(
        stream_id & MAX_ID,
        headers.read(payload[_SYN_STREAM.size :]),
        fin=Flag.FIN in flags,
        unidirectional=Flag.UNIDIRECTIONAL in flags,
        associated=associated & MAX_ID,
        priority=priority >> 5,
    )


def _syn_reply(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:
    (stream_id,) = _ONE.unpack_from(payload)
    return SynReply(stream_id & MAX_ID, headers.read(payload[_ONE.size :]), fin=Flag.FIN in flags)


def _more_headers(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:
    (stream_id,) = _ONE.unpack_from(payload)
    return Headers(stream_id & MAX_ID, headers.read(payload[_ONE.size :]), fin=Flag.FIN in flags)


def _rst_stream(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:  # noqa: ARG001
    stream_id, status = _exactly(_TWO, payload)
    return RstStream(stream_id & MAX_ID, status)


def _settings(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:  # noqa: ARG001
    (count,) = _ONE.unpack_from(payload)
    entries = payload[_ONE.size :]
    if len(entries) != count * _TWO.size:
        raise FrameFault(f"SETTINGS announces {count} values in {len(entries)} bytes")
    return Settings(tuple((key >> 24, key & MAX_LENGTH, value) for key, value in _TWO.iter_unpack(entries)))


def _ping(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:  # noqa: ARG001
    return Ping(_exactly(_ONE, payload)[0])


def _go_away(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:  # noqa: ARG001
    last_good, status = _exactly(_TWO, payload)
    return GoAway(last_good & MAX_ID, status)


def _window_update(payload: bytes, flags: Flag, headers: _HeaderReader) -> Frame:  # noqa: ARG001
    stream_id, delta = _exactly(_TWO, payload)
    return WindowUpdate(stream_id & MAX_ID, delta & MAX_ID)


_PARSERS: dict[int, Callable[[bytes, Flag, _HeaderReader], Frame]] = {
    1: _syn_stream,
    2: _syn_reply,
    3: _rst_stream,
    4: _settings,
    6: _ping,
    7: _go_away,
    8: _more_headers,
    9: _window_update,
}


# --- frames to bytes -------------------------------------------------------------------------------------------------


class FrameWriter:
    """Frames must be sent in the order in which they were written here: the compression of headers has a memory."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(
            zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
        )

    def write(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream_id, data, fin):
                return _HEAD.pack(stream_id, _flags(fin) << 24 | len(data)) + data
            case SynStream():
                head = _SYN_STREAM.pack(frame.stream_id, frame.associated, frame.priority << 5, 0)
                flags = _flags(frame.fin) | (Flag.UNIDIRECTIONAL if frame.unidirectional else 0)
                return _control(1, head + self._compressed(frame.headers), flags)
            case SynReply(stream_id, headers, fin):
                return _control(2, _ONE.pack(stream_id) + self._compressed(headers), _flags(fin))
            case RstStream(stream_id, status):
                return _control(3, _TWO.pack(stream_id, status))
            case Settings(values):
                entries = b"".join(_TWO.pack(flags << 24 | key, value) for flags, key, value in values)
                return _control(4, _ONE.pack(len(values)) + entries)
            case Ping(ping_id):
                return _control(6, _ONE.pack(ping_id))
            case GoAway(last_good, status):
                return _control(7, _TWO.pack(last_good, status))
            case Headers(stream_id, headers, fin):
                return _control(8, _ONE.pack(stream_id) + self._compressed(headers), _flags(fin))
            case WindowUpdate(stream_id, delta):
                return _control(9, _TWO.pack(stream_id, delta))
            case Unknown(kind):
                return _control(kind, b"")

    def _compressed(self, headers: HeaderList) -> bytes:
        parts = [_ONE.pack(len(headers))]
        for pair in headers:
            for text in pair:
                encoded = text.encode("latin-1")
                parts += (_ONE.pack(len(encoded)), encoded)
        return self._zlib.compress(b"".join(parts)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return _HEAD.pack(_CONTROL | VERSION << 16 | kind, flags << 24 | len(payload)) + payload


def _flags(fin: bool) -> int:
    return Flag.FIN if fin else 0
