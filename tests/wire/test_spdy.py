"""The law of a connection: what each frame means, what is answered, and what ends only a stream."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from vk_provider.wire import spdy_frames as frames
from vk_provider.wire.spdy import (
    TRANSITIONS,
    Broken,
    Connection,
    Ended,
    Event,
    Leaving,
    LocalFault,
    Opened,
    Received,
    State,
    Step,
    WasReset,
)
from vk_provider.wire.spdy_frames import Data, Frame, FrameReader, FrameWriter, Limits, RstStream, SynReply, SynStream


class Peer:
    """The other end: writes frames to a connection, reads what it answers."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.connection = Connection(limits)
        self.writer = FrameWriter()
        self._reader = FrameReader()

    def says(self, *said: Frame) -> list[Event]:
        return self.connection.receive(b"".join(self.writer.write(frame) for frame in said))

    def hears(self) -> list[Frame]:
        return list(self._reader.feed(self.connection.take()))

    def opens(self, stream_id: int) -> None:
        assert self.says(SynStream(stream_id)) == [Opened(stream_id, {})]
        self.connection.accept(stream_id)
        assert self.hears() == [SynReply(stream_id)]


def test_one_stream_from_beginning_to_end() -> None:
    peer = Peer()
    assert peer.says(SynStream(1, (("streamtype", "stdin"),))) == [Opened(1, {"streamtype": "stdin"})]
    peer.connection.accept(1)
    assert peer.says(Data(1, b"in"), Data(1, fin=True)) == [Received(1, b"in"), Ended(1)]
    peer.connection.send(1, b"out")
    peer.connection.finish(1)
    assert peer.hears() == [SynReply(1), Data(1, b"out"), Data(1, fin=True)]
    assert peer.connection.open_streams == 0


def test_a_stream_may_be_born_ended() -> None:
    peer = Peer()
    assert peer.says(SynStream(1, fin=True)) == [Opened(1, {}), Ended(1)]
    peer.connection.accept(1)
    peer.connection.finish(1)
    assert peer.connection.open_streams == 0


def test_large_data_goes_in_small_frames() -> None:
    peer = Peer()
    peer.opens(1)
    peer.connection.send(1, bytes(100_000))
    assert [len(frame.data) for frame in peer.hears() if isinstance(frame, Data)] == [32768, 32768, 32768, 1696]


def test_odd_pings_are_echoed_even_ones_are_not() -> None:
    peer = Peer()
    assert peer.says(frames.Ping(1), frames.Ping(2), frames.Ping(2**31 + 1)) == []
    assert peer.hears() == [frames.Ping(1), frames.Ping(2**31 + 1)]


def test_frames_that_a_server_passes_over() -> None:
    peer = Peer()
    peer.opens(1)
    said = (frames.Settings(((0, 4, 1),)), frames.WindowUpdate(1, 9), frames.Unknown(10), SynReply(1, (("a", "b"),)))
    assert peer.says(*said, frames.Headers(1, (("c", "d"),))) == []
    assert peer.hears() == []


@pytest.mark.parametrize("stream_id", [2, 3, 1], ids=["even", "same again", "going back"])
def test_ids_that_are_not_lawful_are_reset(stream_id: int) -> None:
    peer = Peer()
    peer.opens(3)
    events = peer.says(SynStream(stream_id))
    assert events == ([WasReset(3, 1)] if stream_id == 3 else [])
    assert peer.hears() == [RstStream(stream_id, 1)]


def test_the_headers_of_a_refused_stream_are_decompressed() -> None:
    peer = Peer(Limits(open_streams=1))
    peer.opens(1)
    assert peer.says(SynStream(3, (("streamtype", "stdin"), ("x", "a long value")))) == []
    assert peer.says(SynStream(2, (("y", "another long value"),))) == []
    assert peer.hears() == [RstStream(3, 3), RstStream(2, 1)]
    assert peer.says(RstStream(1, 5)) == [WasReset(1, 5)]
    assert peer.says(SynStream(5, (("y", "another long value"),))) == [Opened(5, {"y": "another long value"})]


def test_unidirectional_streams_are_refused() -> None:
    peer = Peer()
    assert peer.says(SynStream(1, unidirectional=True)) == []
    assert peer.hears() == [RstStream(1, 3)]


def test_data_of_a_stream_that_never_was_is_reset_once() -> None:
    peer = Peer()
    raw = peer.writer.write(Data(7, b"abcdef"))
    assert [event for byte in raw for event in peer.connection.receive(bytes((byte,)))] == []
    assert peer.hears() == [RstStream(7, 2)]


def test_data_of_a_stream_that_is_over_is_dropped() -> None:
    peer = Peer()
    peer.opens(1)
    peer.connection.reset(1, frames.Status.CANCEL)
    assert peer.says(Data(1, b"late"), RstStream(1, 5), Data(1, fin=True)) == []
    assert peer.hears() == [RstStream(1, 5)]


def test_data_after_the_end_resets_the_stream_alone() -> None:
    peer = Peer()
    peer.opens(1)
    peer.opens(3)
    assert peer.says(Data(1, fin=True), Data(1, b"more"), Data(3, b"ok")) == [
        Ended(1),
        WasReset(1, 9),
        Received(3, b"ok"),
    ]


def test_what_we_say_on_a_stream_that_was_reset_is_dropped() -> None:
    peer = Peer()
    peer.opens(1)
    peer.says(RstStream(1, 5))
    peer.connection.send(1, b"x")
    peer.connection.finish(1)
    assert peer.hears() == []


def test_after_a_goodbye_no_stream_is_taken_and_the_open_ones_go_on() -> None:
    for ours in (True, False):
        peer = Peer()
        peer.opens(1)
        if ours:
            peer.connection.go_away()
            assert peer.hears() == [frames.GoAway(1, 0)]
        else:
            assert peer.says(frames.GoAway(0, 0)) == [Leaving()]
        assert peer.says(SynStream(3), Data(1, b"still")) == [Received(1, b"still")]
        assert peer.hears() == [RstStream(3, 3)]


def test_a_fault_is_the_last_event_and_says_goodbye() -> None:
    peer = Peer()
    peer.opens(1)
    good = peer.writer.write(Data(1, b"before"))
    events = peer.connection.receive(good + b"\x80\x09garbage")
    assert events[0] == Received(1, b"before")
    assert isinstance(events[1], Broken)
    assert peer.hears() == [frames.GoAway(1, 1)]
    assert peer.says(Data(1, b"after")) == []


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", [Step.ACCEPT, Step.PUT_DATA, Step.PUT_FIN])
def test_our_own_mistakes_raise(state: State, step: Step) -> None:
    peer = Peer()
    connection = peer.connection
    peer.says(SynStream(1))
    reach = {
        State.NEW: (),
        State.NEW_ENDED: (lambda: peer.says(Data(1, fin=True)),),
        State.OPEN: (lambda: connection.accept(1),),
        State.ENDED_THERE: (lambda: connection.accept(1), lambda: peer.says(Data(1, fin=True))),
        State.ENDED_HERE: (lambda: connection.accept(1), lambda: connection.finish(1)),
        State.CLOSED: (lambda: peer.says(RstStream(1, 5)),),
    }
    for go in reach[state]:
        go()
    do = {
        Step.ACCEPT: lambda: connection.accept(1),
        Step.PUT_DATA: lambda: connection.send(1, b"x"),
        Step.PUT_FIN: lambda: connection.finish(1),
    }
    if step in TRANSITIONS[state] or state is State.CLOSED:
        do[step]()
    else:
        with pytest.raises(LocalFault):
            do[step]()


SAID = st.one_of(
    st.builds(SynStream, st.integers(1, 9), st.just(()), st.booleans()),
    st.builds(Data, st.integers(1, 9), st.binary(max_size=4), st.booleans()),
    st.builds(RstStream, st.integers(1, 9), st.just(5)),
    st.builds(frames.Ping, st.integers(0, 9)),
    st.builds(frames.Headers, st.integers(1, 9), st.just(()), st.booleans()),
)


@settings(max_examples=examples(300))
@given(said=st.lists(SAID, max_size=25), accept=st.booleans(), finish=st.booleans())
def test_any_order_of_lawful_frames_keeps_the_connection_up(said: list[Frame], accept: bool, finish: bool) -> None:
    peer = Peer()
    opened: set[int] = set()
    for frame in said:
        for event in peer.says(frame):
            assert not isinstance(event, Broken)
            if isinstance(event, Opened):
                assert event.stream_id not in opened, "no id is ever used twice"
                opened.add(event.stream_id)
                if accept:
                    peer.connection.accept(event.stream_id)
                    if finish:
                        peer.connection.finish(event.stream_id)
    peer.hears()
    assert peer.connection.open_streams <= len(opened)


@settings(max_examples=examples(300))
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_noise_never_raises(noise: list[bytes]) -> None:
    connection = Connection()
    for data in noise:
        connection.receive(struct.pack(">HH", 0x8003, 1) + data)
    connection.take()
