"""Flat names to nested values."""

import pytest

from fakes.cloud.errors import ApiError
from fakes.cloud.parameters import decode, first_values, unflatten

SHAPE = {"A": [{"B": [int], "C": bool, "D": {"E": float}}], "S": str}


def test_nested_lists_in_the_order_of_their_numbers():
    flat = {"A.10.C": "TRUE", "A.2.B.2": "22", "A.2.B.1": "11", "A.2.D.E": "0.5", "S": "s", "Unknown.1": "x"}
    assert decode(SHAPE, flat) == {"A": [{"B": [11, 22], "D": {"E": 0.5}}, {"C": True}], "S": "s"}


@pytest.mark.parametrize(
    "flat",
    [
        pytest.param({"A.x.C": "true"}, id="no number"),
        pytest.param({"A.0.C": "true"}, id="number 0"),
        pytest.param({"A.1001.C": "true"}, id="number over the limit"),
        pytest.param({"A": "x"}, id="one value for a list"),
        pytest.param({"A.1": "x"}, id="one value for members"),
        pytest.param({"S.1": "x"}, id="members for one value"),
        pytest.param({"A.1.B.1": "1.5"}, id="fraction for a whole number"),
        pytest.param({"A.1.D.E": "nan"}, id="not a number"),
        pytest.param({"A.1.C": "1"}, id="no boolean"),
    ],
)
def test_what_has_not_its_shape_is_invalid(flat):
    with pytest.raises(ApiError, match="InvalidParameter"):
        decode(SHAPE, flat)


def test_a_name_that_is_a_value_and_a_structure_at_once():
    assert unflatten({"S": "x", "S.1": "y"}) == {"S": {"1": "y"}}


def test_the_text_none_is_what_an_sdk_sends_for_not_set():
    assert first_values([("A", "None"), ("B", "none"), ("C", "")]) == {"B": "none", "C": ""}
    kept = {"DnsPolicy": "None", "Container.1.VolumeMount.1.MountPropagation": "None"}
    assert first_values(kept.items()) == kept
