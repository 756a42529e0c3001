"""One question to the standard gRPC health service, as bytes: grpc.health.v1.Health/Check over HTTP/2 without TLS.

Just as much of HTTP/2 as one call needs: the request's headers are sent as plain literals, the answer's are not read,
since the one number that matters stands in its message. Whoever uses this sends `data_to_send()` when there is some.
Source: RFC 9113, RFC 7541; grpc doc/PROTOCOL-HTTP2.md, doc/health-checking.md.
"""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
STREAM = 1
STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
MAX_FRAME = 16384  # the protocol's own limit, as we ask for no other
_HEAD = 9


class NoHealth(Exception):
    """The answer is none; the message says why."""


class HealthCheck:
    """A call from its first byte to its answer. authority: `host:port`; service: the name asked about, mostly empty."""

    def __init__(self, authority: str, service: str) -> None:
        self._in = b""
        self._message = b""
        self._out = b"".join(
            (
                PREFACE,
                frame(SETTINGS, 0, 0, b""),
                frame(HEADERS, END_HEADERS, STREAM, _headers(authority)),
                frame(DATA, END_STREAM, STREAM, _request(service)),
            )
        )

    def data_to_send(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def receive(self, data: bytes) -> str | None:
        """Take in what came; the service's status once it is known. Raises NoHealth. No data: the connection ended."""
        if not data:
            raise NoHealth("the connection ended before an answer")
        self._in += data
        while len(self._in) >= _HEAD:
            length, kind, flags = int.from_bytes(self._in[:3], "big"), self._in[3], self._in[4]
            if length > MAX_FRAME:
                raise NoHealth("the answer is not HTTP/2")
            if len(self._in) < _HEAD + length:
                return None
            stream = int.from_bytes(self._in[5:_HEAD], "big") & 0x7FFFFFFF
            payload, self._in = self._in[_HEAD : _HEAD + length], self._in[_HEAD + length :]
            status = self._frame(kind, flags, stream, payload)
            if status is not None:
                return status
        return None

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> str | None:
        if kind == SETTINGS and not flags & ACK:
            self._out += frame(SETTINGS, ACK, 0, b"")
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == GOAWAY or (kind == RST_STREAM and stream == STREAM):
            raise NoHealth("the server broke the call off")
        elif kind == DATA and stream == STREAM:
            if flags & PADDED:  # its first byte, where there is one, counts those at its end
                payload = payload[1 : max(1, len(payload) - sum(payload[:1]))]
            self._message += payload
            status = _status(self._message)
            if status is not None:
                return status
        if kind in (DATA, HEADERS) and stream == STREAM and flags & END_STREAM:
            raise NoHealth(
                "no health status in the answer: the server has no grpc.health.v1, or does not know the service"
            )
        return None


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _headers(authority: str) -> bytes:
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "kube-probe"),
    )
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)  # literal, never indexed


def _text(text: str) -> bytes:
    """A string of HPACK without Huffman coding."""
    raw = text.encode()
    if len(raw) < 0x7F:
        return bytes((len(raw),)) + raw
    return b"\x7f" + _varint(len(raw) - 0x7F) + raw


def _request(service: str) -> bytes:
    raw = service.encode()
    message = b"\x0a" + _varint(len(raw)) + raw if raw else b""
    return struct.pack(">BI", 0, len(message)) + message


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def _status(message: bytes) -> str | None:
    """The one field of HealthCheckResponse, once the message is whole; a message without it says zero."""
    if len(message) < 5:
        return None
    compressed, length = struct.unpack(">BI", message[:5])
    if compressed or length > MAX_FRAME:
        raise NoHealth("the answer cannot be read")
    body = message[5 : 5 + length]
    if len(body) < length:
        return None
    if not body:
        return STATUSES[0]
    if len(body) == 2 and body[0] == 0x08 and body[1] < len(STATUSES):
        return STATUSES[body[1]]
    raise NoHealth("the answer is no health status")
