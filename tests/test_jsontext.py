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


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a":}', b"[" * 100_000, b"[" * 5_000 + b"]" * 5_000])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_what_json_cannot_say_is_a_type_error():
    with pytest.raises(TypeError):
        jsontext.dumps({"a": {1, 2}})
