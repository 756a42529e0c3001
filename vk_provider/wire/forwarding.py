"""Port-forwarding: one TCP connection is a pair of streams, one for its bytes and one for an error's text.

Over SPDY (`portforward.k8s.io`) a client opens a pair per connection and names both by one `requestid`; over WebSocket
each port of the query is one pair of channels, for the life of the session (kubelet.md X11, X12). Both speak in
the events below; a pair is known by its key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vk_provider.wire import spdy
from vk_provider.wire.channels import Left
from vk_provider.wire.messages import Packing
from vk_provider.wire.spdy_frames import Limits, Status

SPDY_PROTOCOLS = ("portforward.k8s.io",)
WEBSOCKET_PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"  # WebSocket messages that carry SPDY as it is
MOST_PORTS = 100  # a channel's number is one byte, and each port has two
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Begun:
    """The first stream of a new pair is there; the other has to follow."""

    key: str


@dataclass(frozen=True, slots=True)
class Complete:
    key: str
    port: int


@dataclass(frozen=True, slots=True)
class PairInput:
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PairInputEnded:
    key: str


@dataclass(frozen=True, slots=True)
class PairGone:
    """The client has given it up."""

    key: str


ForwardEvent = Begun | Complete | PairInput | PairInputEnded | PairGone | Left


def port_number(text: str) -> int | None:
    """None unless it is one."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_HIGHEST_PORT)):
        return None
    return int(text) if 0 < int(text) <= _HIGHEST_PORT else None


@dataclass(slots=True)
class _Pair:
    """Ids of its streams; None while one is not there, and again once there is nothing left to say on it."""

    key: str
    error_id: int | None = None
    data_id: int | None = None
    complete: bool = False


class SpdyForwarding:
    """All pairs of one SPDY connection. A pair is kept until `close`, whatever its streams do meanwhile."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._connection = spdy.Connection(limits)
        self._pairs: dict[str, _Pair] = {}
        self._data_of: dict[int, str] = {}  # data stream → key of its pair, until the pair is closed
        self._leaving = False

    @property
    def is_over(self) -> bool:
        """No pair is open, and the client has said that it opens none."""
        return self._leaving and not self._pairs

    def receive(self, data: bytes) -> list[ForwardEvent]:
        return [meant for event in self._connection.receive(data) for meant in self._on_event(event)]

    def send(self, key: str, data: bytes) -> None:
        pair = self._pairs.get(key)
        if pair is not None and pair.data_id is not None:
            self._connection.send(pair.data_id, data)

    def finish(self, key: str) -> None:
        """Nothing more comes from the port; the client may go on sending."""
        pair = self._pairs.get(key)
        if pair is not None and pair.data_id is not None:
            self._connection.finish(pair.data_id)
            pair.data_id = None

    def close(self, key: str, error: str = "") -> None:
        """The pair is over; error: why it never was one.

        Ends are said by FIN: a reset would make the client throw away what it has not read yet.
        """
        pair = self._pairs.pop(key, None)
        if pair is None:
            return
        if pair.error_id is not None:
            self._connection.send(pair.error_id, error.encode())
            self._connection.finish(pair.error_id)
        if pair.data_id is not None:
            self._connection.finish(pair.data_id)
        self._data_of = {stream: owner for stream, owner in self._data_of.items() if owner != key}

    def go_away(self) -> None:
        self._connection.go_away()

    def take(self) -> bytes:
        return self._connection.take()

    def _on_event(self, event: spdy.Event) -> Sequence[ForwardEvent]:
        match event:
            case spdy.Opened(stream_id, headers):
                return self._on_opened(stream_id, headers)
            case spdy.Received(stream_id, data):
                key = self._data_of.get(stream_id)
                return [] if key is None else [PairInput(key, data)]
            case spdy.Ended(stream_id):
                key = self._data_of.get(stream_id)
                return [] if key is None else [PairInputEnded(key)]
            case spdy.WasReset(stream_id):
                key = self._data_of.pop(stream_id, None)
                return [] if key is None else [PairGone(key)]
            case spdy.Leaving():
                self._leaving = True
                return [Left("the client said goodbye")] if self.is_over else []
            case spdy.Broken(reason):
                return [Left(reason)]

    def _on_opened(self, stream_id: int, headers: Mapping[str, str]) -> Sequence[ForwardEvent]:
        port = port_number(headers.get("port", ""))
        streamtype = headers.get("streamtype")
        if port is None or streamtype not in ("error", "data"):
            self._connection.reset(stream_id, Status.PROTOCOL_ERROR)
            return []
        # Clients older than request ids open the two in a row, the error stream first.
        key = headers.get("requestid") or f"stream {stream_id - (2 if streamtype == 'data' else 0)}"
        pair = self._pairs.get(key)
        begun: list[ForwardEvent] = []
        if pair is None:
            pair = self._pairs[key] = _Pair(key)
            begun.append(Begun(key))
        if pair.complete or (pair.error_id if streamtype == "error" else pair.data_id) is not None:
            self._connection.reset(stream_id, Status.PROTOCOL_ERROR)
            return []
        self._connection.accept(stream_id)
        if streamtype == "error":
            pair.error_id = stream_id
        else:
            pair.data_id = stream_id
            self._data_of[stream_id] = key
        pair.complete = pair.error_id is not None and pair.data_id is not None
        return [*begun, Complete(key, port)] if pair.complete else begun


class MessageForwarding:
    """The pairs of one WebSocket: channel 2n carries the n-th port's bytes, 2n+1 the text of its error.

    A channel cannot be half-closed, so an end is not told; the session ends when all its ports have.
    """

    def __init__(self, ports: Sequence[int], *, protocol: str) -> None:
        self.ports = {str(index): port for index, port in enumerate(ports)}
        self._packing = Packing(protocol)

    def hello(self) -> Iterator[str | bytes]:
        """Each port's number on both its channels, which tells a client that they are up."""
        for key, port in self.ports.items():
            for channel in (2 * int(key), 2 * int(key) + 1):
                yield self._packing.pack(channel, struct.pack("<H", port))

    def send(self, key: str, data: bytes) -> str | bytes:
        return self._packing.pack(2 * int(key), data)

    def error(self, key: str, text: str) -> str | bytes:
        return self._packing.pack(2 * int(key) + 1, text.encode())

    def receive(self, message: str | bytes) -> Sequence[ForwardEvent]:
        try:
            unpacked = self._packing.unpack(message)
        except ValueError as error:
            return [Left(str(error))]
        if unpacked is None:
            return []
        channel, data = unpacked
        key = str(channel // 2)
        return [PairInput(key, data)] if channel % 2 == 0 and key in self.ports and data else []
