"""Quantities: the grammar of the API, exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.model.quantity import ceil_div, parse


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Fraction(1, 2)),
        ("2", 2),
        (2, 2),
        (0.5, Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("1Gi", 1024**3),
        ("1.5Gi", 1536 * 1024**2),
        ("1k", 1000),
        ("1e3", 1000),
        ("1E-3", Fraction(1, 1000)),
        ("1E", 10**18),
        ("-1", -1),
        ("100n", Fraction(1, 10**7)),
    ],
)
def test_parse(text, number):
    assert parse(text) == number


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1gi", "1.2.3", "0x1", "1e", "--1", "1e99999999", "½", "1Gi\n2"])
def test_anything_else_is_refused_at_once(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "Ki", "Mi", "Gi", "k", "M"]))
def test_a_quantity_grows_with_its_number(number, suffix):
    assert parse(f"{number + 1}{suffix}") > parse(f"{number}{suffix}")


@given(st.fractions(min_value=0, max_value=10**9), st.sampled_from([Fraction(1), Fraction(1, 1000), Fraction(1024)]))
def test_ceil_div_is_the_least_that_holds_it(quantity, divisor):
    count = ceil_div(quantity, divisor)
    assert (count - 1) * divisor < quantity <= count * divisor
