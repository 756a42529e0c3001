"""A server's side of one SPDY/3.1 connection: which frame is lawful when, and what it means to whoever uses a stream.

Three calls: `receive(bytes)` gives events; `accept`, `send`, `finish`, `reset` and `go_away` answer; `take()` gives
the bytes to send, in order. What the other side does wrong is an event (a stream's end, or the whole connection's);
what we do wrong is a LocalFault. A stream that is over is forgotten: its late frames, and our late answers to it, are
dropped in silence, since the other side may reset a stream at any moment.

There is no flow control: the peers that Kubernetes has never send WINDOW_UPDATE nor obey it (X25). Back-pressure is
the caller's, who stops reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from vk_provider.errors import ProviderError
from vk_provider.wire import spdy_frames as frames
from vk_provider.wire.spdy_frames import FrameFault, FrameReader, FrameWriter, Goodbye, Limits, Status

CHUNK_BYTES = 32 * 1024  # larger DATA would be lawful, but a reader at the other end takes a frame as a whole


class LocalFault(ProviderError):
    """We said what the protocol does not allow us to say; a mistake in this program."""


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """A new stream. It has to be accepted or reset before anything is sent on it."""

    stream_id: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The other side has said all it will on this stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class WasReset:
    """The stream is over in both directions."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The other side opens no more streams."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Nothing more can be understood; a GOAWAY that says so is among the bytes to send. The last event."""

    reason: str


Event = Opened | Received | Ended | WasReset | Leaving | Broken


# --- the law ---------------------------------------------------------------------------------------------------------


class State(Enum):
    NEW = auto()  # not yet accepted
    NEW_ENDED = auto()  # neither, and the other side has ended already
    OPEN = auto()
    ENDED_THERE = auto()
    ENDED_HERE = auto()
    CLOSED = auto()


class Step(Enum):
    GET_DATA = auto()
    GET_FIN = auto()
    GET_RESET = auto()
    ACCEPT = auto()
    PUT_DATA = auto()
    PUT_FIN = auto()
    PUT_RESET = auto()


# What is missing is a fault of whoever did the step: theirs resets the stream, ours raises.
TRANSITIONS: dict[State, dict[Step, State]] = {
    State.NEW: {
        Step.GET_DATA: State.NEW,
        Step.GET_FIN: State.NEW_ENDED,
        Step.GET_RESET: State.CLOSED,
        Step.ACCEPT: State.OPEN,
        Step.PUT_RESET: State.CLOSED,
    },
    State.NEW_ENDED: {
        Step.GET_RESET: State.CLOSED,
        Step.ACCEPT: State.ENDED_THERE,
        Step.PUT_RESET: State.CLOSED,
    },
    State.OPEN: {
        Step.GET_DATA: State.OPEN,
        Step.GET_FIN: State.ENDED_THERE,
        Step.GET_RESET: State.CLOSED,
        Step.PUT_DATA: State.OPEN,
        Step.PUT_FIN: State.ENDED_HERE,
        Step.PUT_RESET: State.CLOSED,
    },
    State.ENDED_THERE: {
        Step.GET_RESET: State.CLOSED,
        Step.PUT_DATA: State.ENDED_THERE,
        Step.PUT_FIN: State.CLOSED,
        Step.PUT_RESET: State.CLOSED,
    },
    State.ENDED_HERE: {
        Step.GET_DATA: State.ENDED_HERE,
        Step.GET_FIN: State.CLOSED,
        Step.GET_RESET: State.CLOSED,
        Step.PUT_RESET: State.CLOSED,
    },
    State.CLOSED: {},
}


class Connection:
    """Streams by id, and the last id that the other side has used: those never go back."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._reader = FrameReader(self._limits)
        self._writer = FrameWriter()
        self._streams: dict[int, State] = {}
        self._last_id = 0
        self._refuses = False  # a GOAWAY went one way or the other
        self._broken = False
        self._output: list[bytes] = []

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # --- what comes ---

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes complete. Nothing after `Broken`."""
        if self._broken:
            return []
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                events.extend(self._on_frame(frame))
        except FrameFault as fault:
            self._broken = True
            self._put(frames.GoAway(self._last_id, Goodbye.PROTOCOL_ERROR))
            events.append(Broken(str(fault)))
        return events

    def _on_frame(self, frame: frames.Frame) -> Iterator[Event]:
        match frame:
            case frames.Data():
                yield from self._on_data(frame)
            case frames.SynStream():
                yield from self._on_syn_stream(frame)
            case frames.RstStream(stream_id, status):
                if self._streams.pop(stream_id, None) is not None:
                    yield WasReset(stream_id, status)
            case frames.Headers(stream_id, _, fin):
                if fin and stream_id in self._streams:
                    yield from self._on_fin(stream_id)
            case frames.Ping(ping_id):
                if ping_id % 2:  # even ones would be answers to ours
                    self._put(frame)
            case frames.GoAway():
                self._refuses = True
                yield Leaving()
            case frames.SynReply() | frames.Settings() | frames.WindowUpdate() | frames.Unknown():
                pass

    def _on_data(self, frame: frames.Data) -> Iterator[Event]:
        stream_id = frame.stream_id
        state = self._streams.get(stream_id)
        if state is None:
            if stream_id > self._last_id and frame.begins:
                self._put(frames.RstStream(stream_id, Status.INVALID_STREAM))
            return
        if Step.GET_DATA not in TRANSITIONS[state]:
            yield self._reset(stream_id, Status.STREAM_ALREADY_CLOSED)
            return
        if frame.data:
            yield Received(stream_id, frame.data)
        if frame.fin:
            yield from self._on_fin(stream_id)

    def _on_fin(self, stream_id: int) -> Iterator[Event]:
        state = TRANSITIONS[self._streams[stream_id]].get(Step.GET_FIN)
        if state is None:
            yield self._reset(stream_id, Status.STREAM_ALREADY_CLOSED)
            return
        self._move_to(stream_id, state)
        yield Ended(stream_id)

    def _on_syn_stream(self, frame: frames.SynStream) -> Iterator[Event]:
        stream_id = frame.stream_id
        if stream_id % 2 == 0 or stream_id <= self._last_id:
            if stream_id in self._streams:
                yield self._reset(stream_id, Status.PROTOCOL_ERROR)
            else:
                self._put(frames.RstStream(stream_id, Status.PROTOCOL_ERROR))
            return
        self._last_id = stream_id
        if self._refuses or frame.unidirectional or len(self._streams) >= self._limits.open_streams:
            self._put(frames.RstStream(stream_id, Status.REFUSED_STREAM))
            return
        self._streams[stream_id] = State.NEW
        yield Opened(stream_id, dict(frame.headers))
        if frame.fin and stream_id in self._streams:
            yield from self._on_fin(stream_id)

    def _reset(self, stream_id: int, status: Status) -> WasReset:
        self._put(frames.RstStream(stream_id, status))
        del self._streams[stream_id]
        return WasReset(stream_id, status)

    # --- what goes ---

    def accept(self, stream_id: int) -> None:
        if self._step(stream_id, Step.ACCEPT):
            self._put(frames.SynReply(stream_id))

    def send(self, stream_id: int, data: bytes) -> None:
        """In frames of at most CHUNK_BYTES."""
        if not data or not self._step(stream_id, Step.PUT_DATA):
            return
        for start in range(0, len(data), CHUNK_BYTES):
            self._put(frames.Data(stream_id, data[start : start + CHUNK_BYTES]))

    def finish(self, stream_id: int) -> None:
        """Say that nothing more comes from here on this stream."""
        if self._step(stream_id, Step.PUT_FIN):
            self._put(frames.Data(stream_id, fin=True))

    def reset(self, stream_id: int, status: Status) -> None:
        if self._step(stream_id, Step.PUT_RESET):
            self._put(frames.RstStream(stream_id, status))

    def go_away(self, status: Goodbye = Goodbye.OK) -> None:
        """Take no more streams; those that are open go on."""
        self._refuses = True
        self._put(frames.GoAway(self._last_id, status))

    def take(self) -> bytes:
        """What is to be sent, once; in the order of these calls."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _step(self, stream_id: int, step: Step) -> bool:
        """Whether the stream still is there to take the step. Raises LocalFault when it must not be taken now."""
        state = self._streams.get(stream_id)
        if state is None:
            return False
        following = TRANSITIONS[state].get(step)
        if following is None:
            raise LocalFault(f"{step.name} on stream {stream_id}, which is {state.name}")
        self._move_to(stream_id, following)
        return True

    def _move_to(self, stream_id: int, state: State) -> None:
        if state is State.CLOSED:
            del self._streams[stream_id]
        else:
            self._streams[stream_id] = state

    def _put(self, frame: frames.Frame) -> None:
        self._output.append(self._writer.write(frame))
