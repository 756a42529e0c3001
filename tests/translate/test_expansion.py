"""`$(NAME)` (S3): the contract's table, then an independent reading of the same grammar over random texts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.translate.expansion import expand, names_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("a$", "a$"),
        ("$$$$(A)", "$$(A)"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("", ""),
        ("x$(A)y$(A)z", "x1y1z"),
        ("$(A)$(B)$(C)", "1$(B)$(A)"),
        ("$(A$(A)", "$(A$(A)"),
        ("$($$", "$($"),
        ("$(two\nlines)", "2"),
        ("perl -e '$x'", "perl -e '$x'"),
    ],
)
def test_s3_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "C": "$(A)", "two\nlines": "2"}) == expected


TEXTS = st.text(alphabet="$()AB c", max_size=24)


@given(TEXTS, st.dictionaries(st.sampled_from(["", "A", "B", "AB", "$", "$(A", "A B"]), TEXTS))
def test_s3_agrees_with_reading_one_character_at_a_time(text: str, variables: Mapping[str, str]) -> None:
    assert expand(text, variables) == read_slowly(text, variables)


@given(TEXTS, st.dictionaries(st.sampled_from(["A", "B"]), TEXTS))
def test_s3_names_are_those_that_change_the_text(text: str, variables: Mapping[str, str]) -> None:
    unnamed = {name: value for name, value in variables.items() if name not in set(names_in(text))}
    assert expand(text, unnamed) == expand(text, {})


def read_slowly(text: str, variables: Mapping[str, str]) -> str:
    """The grammar once more, written as the automaton it is."""
    out, rest = "", text
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            end = rest.index(")")
            name = rest[2:end]
            out, rest = out + variables.get(name, f"$({name})"), rest[end + 1 :]
        else:
            out, rest = out + rest[0], rest[1:]
    return out
