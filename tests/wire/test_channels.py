"""The streams of one command: over SPDY, over WebSocket messages, and how it ended."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.wire import spdy_frames as frames
from vk_provider.wire.channels import (
    SPDY_PROTOCOLS,
    Input,
    InputEnded,
    Left,
    Name,
    Ready,
    Resized,
    Sizes,
    SpdyCommand,
    expected_streams,
)
from vk_provider.wire.exit_status import as_json, as_text, failure, status_of
from vk_provider.wire.messages import MessageCommand, Packing
from vk_provider.wire.spdy_frames import Data, Frame, FrameReader, FrameWriter, RstStream, SynReply, SynStream

V4, V2 = "v4.channel.k8s.io", "v2.channel.k8s.io"


class Peer:
    def __init__(self, *names: Name, protocol: str = V4) -> None:
        self.command = SpdyCommand(protocol=protocol, expected=frozenset(names))
        self._writer = FrameWriter()
        self._reader = FrameReader()
        self._next = -1

    def says(self, *said: Frame) -> list[object]:
        return list(self.command.receive(b"".join(self._writer.write(frame) for frame in said)))

    def opens(self, streamtype: str) -> list[object]:
        self._next += 2
        return self.says(SynStream(self._next, (("streamtype", streamtype),)))

    def hears(self) -> list[Frame]:
        return list(self._reader.feed(self.command.take()))


@pytest.mark.parametrize(
    ("asked", "tty", "protocol", "expected"),
    [
        pytest.param("oe", False, V4, {"error", "stdout", "stderr"}, id="both outputs"),
        pytest.param("ioe", True, V4, {"error", "stdin", "stdout", "resize"}, id="a terminal has no stderr"),
        pytest.param("io", True, V2, {"error", "stdin", "stdout"}, id="before v3 nothing resizes"),
        pytest.param("i", False, V4, {"error", "stdin"}, id="input alone"),
    ],
)
def test_which_streams_are_waited_for(asked: str, tty: bool, protocol: str, expected: set[str]) -> None:
    wanted = expected_streams(stdin="i" in asked, stdout="o" in asked, stderr="e" in asked, tty=tty, protocol=protocol)
    assert wanted == expected


def test_ready_when_the_last_stream_is_open_and_each_answered_at_once() -> None:
    peer = Peer(Name.ERROR, Name.STDIN, Name.STDOUT)
    assert peer.opens("error") == []
    assert peer.hears() == [SynReply(1)]
    assert peer.opens("stdout") == []
    assert peer.opens("stdin") == [Ready()]
    assert peer.hears() == [SynReply(3), SynReply(5)]


def test_strange_streams_are_reset_and_the_command_goes_on() -> None:
    peer = Peer(Name.ERROR, Name.STDOUT)
    peer.opens("error")
    assert peer.opens("tea") == []
    assert peer.opens("error") == []
    assert peer.opens("stdout") == [Ready()]
    assert peer.hears() == [SynReply(1), RstStream(3, 1), RstStream(5, 1), SynReply(7)]


def test_a_stream_beyond_what_was_promised_is_taken() -> None:
    peer = Peer(Name.ERROR, Name.STDOUT)
    peer.opens("error")
    assert peer.opens("stdout") == [Ready()]
    assert peer.opens("stderr") == []


def test_input_sizes_and_their_ends() -> None:
    peer = Peer(Name.ERROR)
    for name in ("error", "stdin", "resize"):
        peer.opens(name)
    assert peer.says(Data(3, b"ls\n"), Data(3, fin=True)) == [Input(b"ls\n"), InputEnded()]
    assert peer.says(Data(5, b'{"Width":80,"Hei'), Data(5, b'ght":24}'), Data(5, fin=True)) == [Resized(80, 24)]
    assert peer.says(Data(1, b"nobody reads this")) == []


@pytest.mark.parametrize(
    ("protocol", "told"),
    [(V4, as_json(status_of(7))), (V2, b"command terminated with non-zero exit code: exit status 7")],
)
def test_the_order_of_an_end(protocol: str, told: bytes) -> None:
    peer = Peer(Name.ERROR, protocol=protocol)
    for name in ("error", "stdin", "stdout", "stderr"):
        peer.opens(name)
    peer.hears()
    peer.command.write(Name.STDOUT, b"out")
    peer.command.end(status_of(7))
    assert peer.hears() == [
        Data(5, b"out"),
        Data(5, fin=True),
        Data(7, fin=True),
        Data(1, told),
        Data(1, fin=True),
        Data(3, fin=True),
        frames.GoAway(7, 0),
    ]


def test_before_v4_success_is_an_end_without_a_word() -> None:
    peer = Peer(Name.ERROR, protocol=V2)
    peer.opens("error")
    peer.hears()
    peer.command.end(status_of(0))
    assert peer.hears() == [Data(1, fin=True), frames.GoAway(1, 0)]


def test_a_client_that_resets() -> None:
    peer = Peer(Name.ERROR)
    for name in ("error", "stdin", "stdout"):
        peer.opens(name)
    assert peer.says(RstStream(3, 5)) == [InputEnded()]
    assert peer.says(RstStream(5, 5)) == []
    peer.command.write(Name.STDOUT, b"dropped")
    assert peer.says(RstStream(1, 5)) == [Left("the client closed its streams")]


def test_a_goodbye_with_nothing_open_is_an_end() -> None:
    assert Peer(Name.ERROR).says(frames.GoAway(0, 0)) == [Left("the client said goodbye")]
    peer = Peer(Name.ERROR)
    peer.opens("error")
    assert peer.says(frames.GoAway(0, 0)) == []


def test_what_is_no_spdy_ends_the_command() -> None:
    (event,) = SpdyCommand(protocol=V4, expected=frozenset()).receive(b"\x80\x01abcdefgh")
    assert isinstance(event, Left)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"{}",
        b"]}",
        b'"a"}',
        b"\xff}",
        b"x" * 2000,
        b"[" * 900,
        b'{"Width":-1,"Height":2}',
        b'{"Width":1.5,"Height":2}',
        b'{"Width":true,"Height":2}',
        b'{"Width":99999999,"Height":2}',
    ],
)
def test_nonsense_ends_resizing_and_nothing_else(nonsense: bytes) -> None:
    sizes = Sizes()
    assert list(sizes.read(b'{"Width":1,"Height":2}')) == [Resized(1, 2)]
    assert list(sizes.read(nonsense)) == []
    assert list(sizes.read(b"}" + b'{"Width":3,"Height":4}')) == []
    assert list(sizes.read(b'{"Width":3,"Height":4}')) == []


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=5), st.integers(1, 9))
def test_sizes_cut_anywhere(wanted: list[tuple[int, int]], step: int) -> None:
    text = "".join(json.dumps({"Width": width, "Height": height}) + "\n" for width, height in wanted).encode()
    sizes = Sizes()
    read = [size for start in range(0, len(text), step) for size in sizes.read(text[start : start + step])]
    assert [(size.width, size.height) for size in read] == wanted


# --- how it ended ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "message", "expected"),
    [
        pytest.param(0, "", {"metadata": {}, "status": "Success"}, id="success"),
        pytest.param(
            7,
            "",
            {
                "metadata": {},
                "status": "Failure",
                "message": "command terminated with non-zero exit code: exit status 7",
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
            },
            id="an exit code",
        ),
    ],
)
def test_status(exit_code: int, message: str, expected: object) -> None:
    assert status_of(exit_code, message) == expected


@pytest.mark.parametrize("exit_code", [None, 256, -1, 512])
def test_a_code_that_no_process_has_is_a_failure_without_a_code(exit_code: int | None) -> None:
    status = status_of(exit_code)
    assert (status["status"], status["reason"], status["code"]) == ("Failure", "InternalError", 500)
    assert "exit code of the command is not known" in status["message"]
    assert "ExitCode" not in json.dumps(status)


def test_the_cloud_s_own_words_go_before_ours() -> None:
    assert status_of(None, "ECI does not tell")["message"] == "ECI does not tell"
    told = "command terminated with non-zero exit code: Error executing in container: 7"
    assert status_of(7, told)["message"] == told
    assert as_text(failure("no such thing")) == b"no such thing"
    assert as_text(status_of(0)) == b""


# --- WebSocket -------------------------------------------------------------------------------------------------------


def message_command(protocol: str, asked: str = "ioe", *, tty: bool = False) -> MessageCommand:
    return MessageCommand(protocol=protocol, stdin="i" in asked, stdout="o" in asked, stderr="e" in asked, tty=tty)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("", b"\x01out"),
        ("channel.k8s.io", b"\x01out"),
        ("v4.channel.k8s.io", b"\x01out"),
        ("v5.channel.k8s.io", b"\x01out"),
        ("base64.channel.k8s.io", "1b3V0"),
        ("v4.base64.channel.k8s.io", "1b3V0"),
    ],
)
def test_packing(protocol: str, message: str | bytes) -> None:
    assert message_command(protocol).write(Name.STDOUT, b"out") == message
    assert Packing(protocol).unpack(message) == (1, b"out")
    other = message.encode() if isinstance(message, str) else message.decode()
    assert Packing(protocol).unpack(other) == (1, b"out")


@pytest.mark.parametrize(("asked", "hello"), [("ioe", b"\x01"), ("ie", b"\x02"), ("i", b"\x03")])
def test_the_greeting_is_empty_on_the_first_channel_that_we_write(asked: str, hello: bytes) -> None:
    assert message_command(V4, asked).hello() == hello


def test_messages_in() -> None:
    command = message_command("v5.channel.k8s.io")
    assert command.receive(b"\x00ls\n") == [Input(b"ls\n")]
    assert command.receive(b'\x04{"Width":1,"Height":2}') == [Resized(1, 2)]
    assert command.receive(b"\xff\x00") == [InputEnded()]
    for ignored in (b"", b"\x00", b"\x01x", b"\x09x", b"\xff\x01", b"\xff"):
        assert command.receive(ignored) == []


def test_only_v5_can_close_a_channel() -> None:
    assert message_command(V4).receive(b"\xff\x00") == []


def test_input_that_was_not_asked_for_is_passed_over() -> None:
    assert message_command(V4, "oe").receive(b"\x00ls") == []


def test_nobody_listens_to_a_channel_that_was_not_asked_for() -> None:
    assert message_command(V4, "o").write(Name.STDERR, b"x") is None
    assert message_command(V4, "oe", tty=True).write(Name.STDERR, b"x") is None


def test_the_end_as_a_message() -> None:
    assert message_command(V4).end(status_of(0)) == b"\x03" + as_json(status_of(0))
    assert message_command("channel.k8s.io").end(status_of(0)) is None
    assert message_command("channel.k8s.io").end(failure("no")) == b"\x03no"


def test_what_is_no_base64_ends_the_session() -> None:
    (event,) = message_command("base64.channel.k8s.io").receive("0%%%")
    assert isinstance(event, Left)


@given(st.text(max_size=30) | st.binary(max_size=30), st.sampled_from(["", "v4.base64.channel.k8s.io"]))
def test_no_message_raises(message: str | bytes, protocol: str) -> None:
    message_command(protocol).receive(message)


@given(st.binary(), st.integers(0, 4))
def test_what_is_packed_is_unpacked(data: bytes, channel: int) -> None:
    for protocol in ("", "base64.channel.k8s.io"):
        assert Packing(protocol).unpack(Packing(protocol).pack(channel, data)) == (channel, data)
    assert base64.b64decode(str(Packing("base64.channel.k8s.io").pack(channel, data))[1:]) == data


def test_kubectl_s_versions_are_all_there() -> None:
    assert SPDY_PROTOCOLS[0] == V4
