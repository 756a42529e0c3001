"""Joining overlapping looks at a log."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider.cloud.eci import loglines
from vk_provider.cloud.eci.loglines import Line, Overlap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T03:04:05Z", (1704164645 * 10**9, "2024-01-02T03:04:05.000000000Z")),
        ("2024-01-02T03:04:05.5Z", (1704164645 * 10**9 + 500_000_000, "2024-01-02T03:04:05.500000000Z")),
        ("2024-01-02T11:04:05.000000001+08:00", (1704164645 * 10**9 + 1, "2024-01-02T11:04:05.000000001+08:00")),
        ("2024-13-02T03:04:05Z", None),
        ("hello", None),
        ("", None),
    ],
)
def test_time_ns(text, expected):
    assert loglines.time_ns(text) == expected


def line(second: int, text: str) -> Line:
    known = loglines.time_ns(f"2024-01-02T03:04:{second:02}.5Z")
    return Line(known[0], known[1], text)


def test_second_of():
    assert loglines.second_of(line(5, "").at_ns) == "2024-01-02T03:04:05Z"


AT = "2024-01-02T03:04:05.5Z"


@pytest.mark.parametrize(
    ("content", "texts", "open_end", "is_full"),
    [
        pytest.param("", [], False, False, id="empty"),
        pytest.param(f"{AT} a\n{AT} b\n", ["a", "b"], False, False, id="two lines"),
        pytest.param(f"{AT} a\n{AT} b", ["a", "b"], True, False, id="no newline yet"),
        pytest.param(f"{AT} \n", [""], False, False, id="an empty line"),
        pytest.param(f"{AT} a\nmore of it\n", ["a", "more of it"], False, False, id="a line without a time"),
        pytest.param("no time\n", ["no time"], False, False, id="first line without a time"),
        pytest.param(f"{AT} a\r\x0b\x85b\n", ["a\r\x0b\x85b"], False, False, id="only newlines end lines"),
        pytest.param(f"{AT} a\n" * 3, ["a"] * 3, False, True, id="as many as were asked"),
        pytest.param("cut off\n" + f"{AT} {'x' * 1000}\n" * 1000, ["x" * 1000] * 1000, False, True, id="cut at front"),
    ],
)
def test_parse(content, texts, open_end, is_full):
    look = loglines.parse(content, asked_lines=3)
    assert [one.text for one in look.lines] == texts
    assert (look.open_end, look.is_full) == (open_end, is_full)


A, B, C, D = (line(second, text) for second, text in enumerate("abcd"))
X = line(7, "x")


@pytest.mark.parametrize(
    ("first", "is_whole", "second", "fresh", "has_gap"),
    [
        pytest.param([], True, [A, B], [A, B], False, id="nothing was there"),
        pytest.param([A, B], True, [A, B], [], False, id="nothing new"),
        pytest.param([A, B], True, [A, B, C], [C], False, id="one new"),
        pytest.param([A, B], True, [B, C], [C], False, id="window begins later"),
        pytest.param([A, B], True, [C, D], [C, D], True, id="no overlap"),
        pytest.param([X, X], True, [X, X, X], [X], False, id="equal lines at one instant"),
        pytest.param([A, X, X], True, [X, X, X, X], [X, X], False, id="equal lines after another"),
        pytest.param([B], False, [A, B, C], [C], False, id="tail: older lines come into view"),
        pytest.param([A, B], False, [B, C], [C], False, id="tail: window begins later than the tail"),
        pytest.param([A, C], True, [A, B, C], [B], False, id="a late line between known ones"),
        pytest.param([A, B], True, [], [], False, id="log gone"),
    ],
)
def test_advance(first, is_whole, second, fresh, has_gap):
    overlap = Overlap()
    overlap.begin(first, is_whole=is_whole)
    added = overlap.advance(second)
    assert list(added.lines) == fresh
    assert added.has_gap == has_gap


def test_a_look_that_is_full_adds_to_what_is_known():
    overlap = Overlap()
    overlap.begin([A, B], is_whole=True)
    assert list(overlap.advance([B, C], is_full=True).lines) == [C]
    assert list(overlap.advance([A, B, C, D]).lines) == [D]


def test_the_next_look_begins_a_little_before_the_last_line_and_never_goes_back():
    overlap = Overlap()
    assert overlap.start_ns is None
    overlap.begin([A, D], is_whole=True)
    assert loglines.second_of(overlap.start_ns) == "2024-01-02T03:04:02Z"
    overlap.advance([D, line(0, "late")])
    assert loglines.second_of(overlap.start_ns) == "2024-01-02T03:04:02Z"


LOG = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab")), max_size=24)


@settings(deadline=None)
@given(LOG, st.data())
def test_overlapping_looks_give_the_log_back(steps, data):
    """Coarse times and few words, so that equal lines abound; each look sees all since `start_ns`, as ECI gives it."""
    second, log = 0, []
    for pause, text in steps:
        second += pause
        log.append(line(second % 60, text) if second < 60 else Line(second * 10**9, f"{second}", text))
    log.sort(key=lambda one: one.at_ns)
    overlap, read, end = Overlap(), [], 0
    while end < len(log):
        end = data.draw(st.integers(end, len(log)))
        start = loglines.second_of(overlap.start_ns) if overlap.start_ns is not None else ""
        window = [one for one in log[:end] if not start or loglines.second_of(one.at_ns) >= start]
        added = overlap.advance(window)
        assert not added.has_gap
        read += added.lines
        end += not window
    added = overlap.advance(
        [one for one in log if loglines.second_of(one.at_ns) >= loglines.second_of(overlap.start_ns or 0)]
    )
    assert [*read, *added.lines] == log
