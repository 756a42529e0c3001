"""The streams of one command (exec, attach) by name, over SPDY: which must be there, and what comes in by them.

A command is ready when every stream that its request promised is open. The other side opens all of them; one of an
unknown type, or a second of its kind, is reset and the command goes on (kubelet.md X4 to X8).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vk_provider.wire import spdy
from vk_provider.wire.exit_status import Json, as_json, as_text
from vk_provider.wire.spdy_frames import Limits, Status

SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_RESIZING = SPDY_PROTOCOLS[:2]
_JSON_STATUS = ("v4.", "v5.")
_SIZE_BYTES = 1024  # of one size as JSON
_MOST_CELLS = 2**16


class Name(StrEnum):
    """What a stream is for, as the header `streamtype` has it."""

    ERROR = "error"
    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    RESIZE = "resize"


_TO_CLIENT = frozenset({Name.ERROR, Name.STDOUT, Name.STDERR})


@dataclass(frozen=True, slots=True)
class Ready:
    """All streams are there. Input may come before."""


@dataclass(frozen=True, slots=True)
class Input:
    data: bytes


@dataclass(frozen=True, slots=True)
class InputEnded:
    pass


@dataclass(frozen=True, slots=True)
class Resized:
    """The terminal's new size in characters."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Left:
    """The other side has gone or can no longer be understood. reason: for our log."""

    reason: str


CommandEvent = Ready | Input | InputEnded | Resized | Left


def expected_streams(*, stdin: bool, stdout: bool, stderr: bool, tty: bool, protocol: str) -> frozenset[Name]:
    """The streams that a client opens over SPDY. A terminal has no stderr of its own, whatever was asked."""
    wanted = {
        Name.ERROR: True,
        Name.STDIN: stdin,
        Name.STDOUT: stdout,
        Name.STDERR: stderr and not tty,
        Name.RESIZE: tty and protocol in _RESIZING,
    }
    return frozenset(name for name, is_wanted in wanted.items() if is_wanted)


def status_bytes(status: Json, protocol: str) -> bytes:
    return as_json(status) if protocol.startswith(_JSON_STATUS) else as_text(status)


class Sizes:
    """Reads concatenated JSON objects `{"Width":…,"Height":…}`, cut anywhere. After nonsense it reads no more."""

    def __init__(self) -> None:
        self._text = b""
        self._over = False

    def read(self, data: bytes) -> Iterator[Resized]:
        if self._over:
            return
        *whole, self._text = (self._text + data).split(b"}")
        for text in whole:
            size = _size(text + b"}")
            if size is None:
                self._over = True
                return
            yield size
        self._over = len(self._text) > _SIZE_BYTES


def _size(text: bytes) -> Resized | None:
    try:
        reported = json.loads(text)
        width, height = reported["Width"], reported["Height"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if not all(type(cells) is int and 0 <= cells < _MOST_CELLS for cells in (width, height)):
        return None
    return Resized(width, height)


class SpdyCommand:
    """The streams of one command on one SPDY connection. Answers to what came are among the bytes of `take`."""

    def __init__(self, *, protocol: str, expected: frozenset[Name], limits: Limits | None = None) -> None:
        self._protocol = protocol
        self._missing = set(expected)
        self._connection = spdy.Connection(limits)
        self._ids: dict[Name, int] = {}
        self._names: dict[int, Name] = {}
        self._sizes = Sizes()
        self._said_ready = False

    def receive(self, data: bytes) -> list[CommandEvent]:
        return [meant for event in self._connection.receive(data) for meant in self._on_event(event)]

    def write(self, name: Name, data: bytes) -> None:
        """To a stream that is not there, nothing."""
        if name in self._ids:
            self._connection.send(self._ids[name], data)

    def end(self, status: Json) -> None:
        """Close the output, tell how it ended, and say goodbye, in the order that clients wait for (X8)."""
        self._finish(Name.STDOUT, Name.STDERR)
        self.write(Name.ERROR, status_bytes(status, self._protocol))
        self._finish(Name.ERROR, Name.STDIN, Name.RESIZE)
        self._connection.go_away()

    def take(self) -> bytes:
        return self._connection.take()

    def _finish(self, *names: Name) -> None:
        for name in names:
            if name in self._ids:
                self._connection.finish(self._ids[name])

    def _on_event(self, event: spdy.Event) -> Sequence[CommandEvent]:
        match event:
            case spdy.Opened(stream_id, headers):
                return self._on_opened(stream_id, headers.get("streamtype", ""))
            case spdy.Received(stream_id, data):
                return self._on_data(self._names.get(stream_id), data)
            case spdy.Ended(stream_id):
                return [InputEnded()] if self._names.get(stream_id) is Name.STDIN else []
            case spdy.WasReset(stream_id):
                return self._on_reset(stream_id)
            case spdy.Leaving():
                return [] if self._connection.open_streams else [Left("the client said goodbye")]
            case spdy.Broken(reason):
                return [Left(reason)]

    def _on_opened(self, stream_id: int, streamtype: str) -> Sequence[CommandEvent]:
        name = next((known for known in Name if known == streamtype), None)
        if name is None or name in self._ids:
            self._connection.reset(stream_id, Status.PROTOCOL_ERROR)
            return []
        self._connection.accept(stream_id)
        self._ids[name] = stream_id
        self._names[stream_id] = name
        self._missing.discard(name)
        if self._missing or self._said_ready:
            return []
        self._said_ready = True
        return [Ready()]

    def _on_data(self, name: Name | None, data: bytes) -> Sequence[CommandEvent]:
        readers: dict[Name, Callable[[bytes], Sequence[CommandEvent]]] = {
            Name.STDIN: lambda data: [Input(data)],
            Name.RESIZE: lambda data: list(self._sizes.read(data)),
        }
        return readers[name](data) if name in readers else []

    def _on_reset(self, stream_id: int) -> Sequence[CommandEvent]:
        name = self._names.pop(stream_id, None)
        if name is None:
            return []
        del self._ids[name]
        if name is Name.STDIN:
            return [InputEnded()]
        if name is Name.ERROR or not _TO_CLIENT & self._ids.keys():
            return [Left("the client closed its streams")]
        return []
