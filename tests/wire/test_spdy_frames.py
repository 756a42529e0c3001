"""Frames as bytes: known ones both ways, then cut anywhere, then broken in every way that fuzzing finds."""

from __future__ import annotations

import hashlib
import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from vk_provider.wire.spdy_dictionary import DICTIONARY
from vk_provider.wire.spdy_frames import (
    Data,
    Frame,
    FrameFault,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Limits,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    Unknown,
    WindowUpdate,
)

KNOWN = [
    pytest.param(RstStream(1, 5), "80030003 00000008 00000001 00000005", id="rst"),
    pytest.param(Settings(((1, 4, 100),)), "80030004 0000000c 00000001 01000004 00000064", id="settings"),
    pytest.param(Settings(), "80030004 00000004 00000000", id="settings without any"),
    pytest.param(Ping(7), "80030006 00000004 00000007", id="ping"),
    pytest.param(GoAway(9, 1), "80030007 00000008 00000009 00000001", id="goaway"),
    pytest.param(WindowUpdate(3, 65536), "80030009 00000008 00000003 00010000", id="window update"),
    pytest.param(Data(5, b"ab"), "00000005 00000002 6162", id="data"),
    pytest.param(Data(5, b"ab", fin=True), "00000005 01000002 6162", id="last data"),
    pytest.param(Data(5, fin=True), "00000005 01000000", id="half close"),
    pytest.param(Unknown(10), "8003000a 00000000", id="a type nobody uses"),
]


@pytest.mark.parametrize(("frame", "hexadecimal"), KNOWN)
def test_known_bytes_both_ways(frame: Frame, hexadecimal: str) -> None:
    raw = bytes.fromhex(hexadecimal)
    assert FrameWriter().write(frame) == raw
    assert list(FrameReader().feed(raw)) == [frame]


def test_the_dictionary_is_the_draft_s() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    assert hashlib.sha256(DICTIONARY).hexdigest() == "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"


def block(compressor: zlib._Compress, *pairs: tuple[str, str]) -> bytes:
    """A header block made by hand."""
    text = struct.pack(">I", len(pairs))
    for name, value in pairs:
        text += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    return compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)


def compressor() -> zlib._Compress:
    return zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload


def syn(stream_id: int, header_block: bytes, flags: int = 0) -> bytes:
    return control(1, struct.pack(">IIBB", stream_id, 0, 0x60, 0) + header_block, flags)


def test_syn_stream_by_hand() -> None:
    raw = syn(1, block(compressor(), ("StreamType", "error"), ("port", "80")), flags=1)
    (frame,) = FrameReader().feed(raw)
    assert frame == SynStream(1, (("streamtype", "error"), ("port", "80")), fin=True, priority=3)


def test_one_compression_runs_through_all_blocks() -> None:
    zlib_stream = compressor()
    raw = b"".join(syn(number, block(zlib_stream, ("streamtype", "stdin"))) for number in (1, 3, 5))
    assert [frame.headers for frame in FrameReader().feed(raw) if isinstance(frame, SynStream)] == [
        (("streamtype", "stdin"),)
    ] * 3


def test_what_we_write_another_zlib_reads() -> None:
    writer = FrameWriter()
    inflate = zlib.decompressobj(15, DICTIONARY)
    for stream_id in (1, 3):
        raw = writer.write(SynReply(stream_id, (("a", "b"),)))
        assert inflate.decompress(raw[12:]) == bytes.fromhex("00000001 00000001 61 00000001 62")


SESSION: list[Frame] = [
    SynStream(1, (("streamtype", "error"),)),
    SynStream(3, (("streamtype", "stdin"), ("x", "y" * 500)), fin=True),
    Ping(1),
    Data(3, b"hello " * 1000),
    Headers(3, (("more", "1\0002"),)),
    Data(3, b"", fin=True),
    SynReply(5),
    Settings(((0, 1, 2), (1, 3, 4))),
    GoAway(3),
]


def bytes_of(frames: list[Frame]) -> bytes:
    writer = FrameWriter()
    return b"".join(writer.write(frame) for frame in frames)


def joined(frames: list[Frame]) -> list[Frame]:
    """Pieces of one DATA frame as one."""
    whole: list[Frame] = []
    for frame in frames:
        before = whole[-1] if whole else None
        if isinstance(frame, Data) and not frame.begins:
            assert isinstance(before, Data)
            whole[-1] = Data(frame.stream_id, before.data + frame.data, fin=frame.fin)
        else:
            whole.append(frame)
    return whole


def test_one_byte_at_a_time() -> None:
    reader = FrameReader()
    frames = [frame for byte in bytes_of(SESSION) for frame in reader.feed(bytes((byte,)))]
    assert joined(frames) == SESSION


@given(cuts=st.lists(st.integers(0, 7000), max_size=20))
def test_cut_anywhere(cuts: list[int]) -> None:
    raw = bytes_of(SESSION)
    ends = sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)})
    reader = FrameReader()
    frames: list[Frame] = []
    for start, end in zip([0, *ends], ends, strict=False):
        frames += reader.feed(raw[start:end])
    assert joined(frames) == SESSION


def test_a_piece_of_data_is_handed_on_at_once() -> None:
    reader = FrameReader()
    head = struct.pack(">II", 1, 1 << 24 | 0xFFFFFF)
    assert list(reader.feed(head + b"abc")) == [Data(1, b"abc")]
    assert list(reader.feed(b"d")) == [Data(1, b"d", begins=False)]


TEXT = struct.pack(">I", 1) + struct.pack(">I", 1) + b"a" + struct.pack(">I", 0)


def deflated(text: bytes, dictionary: bytes = DICTIONARY) -> bytes:
    zlib_stream = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return zlib_stream.compress(text) + zlib_stream.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(struct.pack(">HHI", 0x8002, 6, 4), "version 2", id="SPDY/2"),
        pytest.param(struct.pack(">II", 0, 1), "stream 0", id="data of stream 0"),
        pytest.param(control(6, b"123"), "3 bytes where 4", id="short ping"),
        pytest.param(control(7, bytes(12)), "12 bytes where 8", id="long goaway"),
        pytest.param(control(1, bytes(5)), "cut short", id="short syn"),
        pytest.param(control(4, struct.pack(">I", 2) + bytes(8)), "2 values in 8", id="settings that lie"),
        pytest.param(control(1, bytes(10) + b"no zlib"), "cannot be decompressed", id="no zlib"),
        pytest.param(struct.pack(">HHI", 0x8003, 1, 0xFFFFFF), "16777215 bytes", id="endless control frame"),
        pytest.param(syn(1, deflated(struct.pack(">I", 5000))), "5000 headers", id="too many headers"),
        pytest.param(syn(1, deflated(struct.pack(">II", 1, 99))), "beyond its block", id="name beyond the block"),
        pytest.param(syn(1, deflated(struct.pack(">I", 1))), "cut short", id="no name"),
        pytest.param(syn(1, deflated(TEXT + b"x")), "after the last", id="bytes too many"),
        pytest.param(syn(1, deflated(struct.pack(">I", 2) + TEXT[4:] * 2)), "named twice", id="twice the same"),
        pytest.param(syn(1, deflated(bytes(5 << 20))), "more than 1048576", id="a bomb"),
        pytest.param(syn(1, zlib.compress(b"x", 9)), "was ended", id="compression that ends"),
        pytest.param(syn(1, deflated(b"x", b"another")), "decompressed", id="another dictionary"),
    ],
)
def test_what_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(FrameFault, match=why):
        list(FrameReader().feed(raw))


def test_limits_are_arguments() -> None:
    raw = syn(1, block(compressor(), ("a", "b"), ("c", "d")))
    assert len(list(FrameReader(Limits(headers=2, header_bytes=100)).feed(raw))) == 1
    for limits in (Limits(headers=1), Limits(header_bytes=10), Limits(control_bytes=5)):
        with pytest.raises(FrameFault):
            list(FrameReader(limits).feed(raw))


@settings(max_examples=examples(400))
@given(st.binary(max_size=200))
def test_noise_is_a_fault_or_frames_and_nothing_else(noise: bytes) -> None:
    with suppress(FrameFault):
        list(FrameReader().feed(noise))


@settings(max_examples=examples(400))
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_one_wrong_byte_is_a_fault_or_frames_and_nothing_else(at: int, flip: int) -> None:
    raw = bytearray(bytes_of(SESSION))
    raw[at % len(raw)] ^= flip
    with suppress(FrameFault):
        list(FrameReader().feed(bytes(raw)))


STREAM_IDS = st.integers(1, 2**31 - 1)
HEADER_LISTS = st.dictionaries(
    st.text("abcdefghijklmnop-", min_size=1), st.text(st.characters(max_codepoint=255)), max_size=5
).map(lambda pairs: tuple(pairs.items()))
FRAMES = st.one_of(
    st.builds(SynStream, STREAM_IDS, HEADER_LISTS, st.booleans(), st.booleans(), STREAM_IDS, st.integers(0, 7)),
    st.builds(SynReply, STREAM_IDS, HEADER_LISTS, st.booleans()),
    st.builds(Headers, STREAM_IDS, HEADER_LISTS, st.booleans()),
    st.builds(RstStream, STREAM_IDS, st.integers(0, 2**32 - 1)),
    st.builds(Ping, st.integers(0, 2**32 - 1)),
    st.builds(WindowUpdate, STREAM_IDS, STREAM_IDS),
    st.builds(Data, STREAM_IDS, st.binary(max_size=50), st.booleans()),
)


@given(st.lists(FRAMES, max_size=10))
def test_what_is_written_is_read(frames: list[Frame]) -> None:
    assert list(FrameReader().feed(bytes_of(frames))) == frames
