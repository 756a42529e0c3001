import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider import jsontext

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    assert json.loads(jsontext.dumps(value)) == value


@given(VALUES)
def test_what_the_standard_library_writes_is_read_as_it_reads_it(value):
    text = json.dumps(value)
    read = jsontext.loads(text.encode())
    assert read == json.loads(text)


@pytest.mark.parametrize("text", [r'"\ud800"', '{"a": "\\udc00x"}'])
def test_what_only_the_standard_library_takes_is_taken_and_can_be_sent(text):
    value = jsontext.loads(text)
    assert value == json.loads(text)
    assert json.loads(jsontext.dumps(value)) == value


def test_no_number_is_one_too():
    assert math.isnan(jsontext.loads(b"[NaN]")[0])


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a":}', b"[" * 100_000, b"[" * 50_000 + b"]" * 50_000])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        jsontext.loads(text)


@pytest.mark.parametrize("value", [object(), 1j, range(3), len])
def test_what_is_nothing_like_json_is_a_type_error(value):
    with pytest.raises(TypeError):
        jsontext.dumps({"a": value})


def read_through(value):
    """What `opened` leaves, read."""
    if not isinstance(value, dict):
        return value
    return {
        name: [jsontext.loads(each) if isinstance(each, jsontext.Unread) else each for each in member]
        if isinstance(member, list)
        else member
        for name, member in value.items()
    }


MEMBERS = st.dictionaries(st.text(), st.lists(VALUES) | VALUES)


@given(MEMBERS)
def test_what_is_opened_is_read_through_to_the_same(value):
    text = json.dumps(value).encode()
    assert read_through(jsontext.opened(text)) == jsontext.loads(text)


@given(MEMBERS, st.data())
def test_what_is_harmed_is_told_at_once_or_reads_as_it_would_in_one_go(value, data):
    text = bytearray(json.dumps(value, ensure_ascii=False).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        opened = jsontext.opened(bytes(text))
    except ValueError:
        with pytest.raises(ValueError):
            jsontext.loads(bytes(text))
    else:
        assert repr(read_through(opened)) == repr(jsontext.loads(bytes(text)))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": [1, NaN]}',
        rb'{"a": ["\ud800"]}',
        b'{"a": [1e999]}',
        rb'{"\u0041": [ {"b": "}],"} , 2 ], "a": {"b": [1]}}',
        b'{"a": [1], "a": [2]}',
        b"[1]",
        b"7",
    ],
)
def test_what_is_odd_and_opened_reads_as_it_would_in_one_go(text):
    assert repr(read_through(jsontext.opened(text))) == repr(jsontext.loads(text))


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a": ["\xff"]}', b'{"a": [1,]}', b'{"a": ' + b"[" * 50_000 + b"]" * 50_000]
)
def test_what_is_no_json_is_not_opened(text):
    with pytest.raises(ValueError):
        jsontext.opened(text)


def test_what_is_opened_holds_its_elements_unread():
    items = jsontext.opened(b'{"Data": [{"a": 1}, 2], "Total": 2}')["Data"]
    assert [bytes(each) for each in items] == [b'{"a": 1}', b"2"]


def test_whole_numbers_are_exact():
    assert jsontext.loads(b"[123456789012345678901234567890]") == [123456789012345678901234567890]
