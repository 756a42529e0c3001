"""Bytes in, lines out, however they were cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.kube.lines import LineSplitter

OBJECTS = [{"a": 1}, {"text": "héé 漢字 🚀"}, {"escaped": "one\ntwo"}, {"long": "x" * 5000}]
STREAM = b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in OBJECTS)


def read(splitter, chunks):
    return [json.loads(line) for chunk in chunks for line in splitter.feed(chunk)]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([STREAM], id="at once"),
        pytest.param([STREAM[index : index + 1] for index in range(len(STREAM))], id="byte by byte"),
        pytest.param([STREAM.replace(b"\n", b"\r\n")], id="with carriage returns"),
        pytest.param([b"\n\n", STREAM, b"\n"], id="with empty lines"),
    ],
)
def test_lines(chunks):
    splitter = LineSplitter()
    assert read(splitter, chunks) == OBJECTS
    assert splitter.pending == 0


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_cut_gives_the_same_lines(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    assert read(LineSplitter(), chunks) == OBJECTS


def test_an_unfinished_line_is_held_back():
    splitter = LineSplitter()
    assert splitter.feed(b'{"a": 1}\n{"b"') == [b'{"a": 1}']
    assert splitter.pending == 4
