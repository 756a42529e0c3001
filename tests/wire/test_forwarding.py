"""Port-forwarding: pairs of streams by request id, and pairs of channels by port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.wire import spdy_frames as frames
from vk_provider.wire.channels import Left
from vk_provider.wire.forwarding import (
    Begun,
    Complete,
    MessageForwarding,
    PairGone,
    PairInput,
    PairInputEnded,
    SpdyForwarding,
    port_number,
)
from vk_provider.wire.spdy_frames import Data, Frame, FrameReader, FrameWriter, RstStream, SynReply, SynStream


class Peer:
    def __init__(self) -> None:
        self.pairs = SpdyForwarding()
        self._writer = FrameWriter()
        self._reader = FrameReader()

    def says(self, *said: Frame) -> list[object]:
        return list(self.pairs.receive(b"".join(self._writer.write(frame) for frame in said)))

    def opens(self, stream_id: int, *, fin: bool = False, **headers: str) -> list[object]:
        return self.says(SynStream(stream_id, tuple(headers.items()), fin=fin))

    def hears(self) -> list[Frame]:
        return list(self._reader.feed(self.pairs.take()))

    def pair(self, first: int, requestid: str = "0", port: str = "80") -> None:
        self.opens(first, fin=True, streamtype="error", port=port, requestid=requestid)
        self.opens(first + 2, streamtype="data", port=port, requestid=requestid)
        self.hears()


def test_a_pair_as_kubectl_opens_it() -> None:
    peer = Peer()
    assert peer.opens(1, fin=True, streamtype="error", port="8080", requestid="0") == [Begun("0")]
    assert peer.hears() == [SynReply(1)]
    assert peer.opens(3, streamtype="data", port="8080", requestid="0") == [Complete("0", 8080)]
    assert peer.says(Data(3, b"GET /"), Data(3, fin=True)) == [PairInput("0", b"GET /"), PairInputEnded("0")]
    peer.pairs.send("0", b"200")
    peer.pairs.finish("0")
    peer.pairs.close("0")
    assert peer.hears() == [SynReply(3), Data(3, b"200"), Data(3, fin=True), Data(1, fin=True)]


def test_pairs_that_are_mixed() -> None:
    peer = Peer()
    peer.opens(1, streamtype="error", port="1", requestid="a")
    peer.opens(3, streamtype="error", port="2", requestid="b")
    assert peer.opens(5, streamtype="data", port="2", requestid="b") == [Complete("b", 2)]
    assert peer.opens(7, streamtype="data", port="1", requestid="a") == [Complete("a", 1)]


def test_clients_without_request_ids() -> None:
    peer = Peer()
    assert peer.opens(1, streamtype="error", port="80") == [Begun("stream 1")]
    assert peer.opens(3, streamtype="data", port="80") == [Complete("stream 1", 80)]


@pytest.mark.parametrize(
    "headers",
    [
        {"streamtype": "data", "requestid": "0"},
        {"streamtype": "data", "requestid": "0", "port": "http"},
        {"streamtype": "data", "requestid": "0", "port": "0"},
        {"streamtype": "data", "requestid": "0", "port": "65536"},
        {"streamtype": "data", "requestid": "0", "port": "-1"},
        {"streamtype": "tea", "requestid": "0", "port": "80"},
        {"requestid": "0", "port": "80"},
    ],
)
def test_streams_that_make_no_sense_are_reset_alone(headers: dict[str, str]) -> None:
    peer = Peer()
    peer.pair(1)
    assert peer.opens(5, **headers) == []
    assert peer.hears() == [RstStream(5, 1)]
    assert peer.says(Data(3, b"still")) == [PairInput("0", b"still")]


def test_a_second_stream_of_a_kind_is_reset() -> None:
    peer = Peer()
    peer.pair(1)
    assert peer.opens(5, streamtype="data", port="80", requestid="0") == []
    assert peer.hears() == [RstStream(5, 1)]


def test_an_error_is_told_and_both_streams_end() -> None:
    peer = Peer()
    peer.pair(1)
    peer.pairs.close("0", "refused")
    assert peer.hears() == [Data(1, b"refused"), Data(1, fin=True), Data(3, fin=True)]
    assert peer.says(Data(3, b"late")) == []


def test_a_client_that_gives_a_connection_up() -> None:
    peer = Peer()
    peer.pair(1)
    assert peer.says(RstStream(3, 5), Data(3, b"late")) == [PairGone("0")]
    peer.pairs.close("0")
    assert peer.opens(5, streamtype="error", port="80", requestid="0") == [Begun("0")]


def test_the_end_comes_when_the_client_has_said_goodbye_and_no_pair_is_left() -> None:
    peer = Peer()
    peer.pair(1)
    assert peer.says(frames.GoAway(0, 0)) == []
    assert not peer.pairs.is_over
    peer.pairs.close("0")
    assert peer.pairs.is_over
    assert Peer().says(frames.GoAway(0, 0)) == [Left("the client said goodbye")]


@given(st.text(max_size=8))
def test_port_numbers(text: str) -> None:
    expected = int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 and len(text) <= 5 else None
    assert port_number(text) == expected


def test_channels_of_ports() -> None:
    pairs = MessageForwarding([80, 443], protocol="v4.channel.k8s.io")
    assert list(pairs.hello()) == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\xbb\x01", b"\x03\xbb\x01"]
    assert pairs.receive(b"\x02hi") == [PairInput("1", b"hi")]
    assert pairs.send("1", b"yo") == b"\x02yo"
    assert pairs.error("0", "no") == b"\x01no"
    for ignored in (b"", b"\x01x", b"\x04x", b"\xffx", b"\x00"):
        assert pairs.receive(ignored) == []


def test_channels_of_ports_in_base64() -> None:
    pairs = MessageForwarding([80], protocol="v4.base64.channel.k8s.io")
    assert list(pairs.hello()) == ["0UAA=", "1UAA="]
    assert pairs.receive("0aGk=") == [PairInput("0", b"hi")]
    (event,) = pairs.receive("0%")
    assert isinstance(event, Left)
