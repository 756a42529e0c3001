"""What is remembered of a load, and that a checkpoint is the same history again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.idle.history import DAY_S, History


def recorded(*readings, **options):
    history = History(**options)
    for at_s, value in readings:
        history.record(at_s, value)
    return history


def test_a_slot_keeps_its_highest_reading():
    history = recorded((0, 3), (10, 9), (50, 4), (60, 1))
    assert list(history.since(0)) == [(0.0, 9.0), (60.0, 1.0)]


def test_slots_without_a_reading_are_left_out():
    history = recorded((0, 3), (600, 4))
    assert list(history.since(0)) == [(0.0, 3.0), (600.0, 4.0)]
    assert len(history) == 2
    assert history.newest_s == 600


def test_only_the_newest_are_kept():
    history = recorded(*((minute * 60, minute) for minute in range(100)), length_s=600)
    assert [value for _, value in history.since(0)] == list(range(90, 100))


def test_a_gap_as_long_as_the_history_begins_it_anew():
    history = recorded((0, 3), (10 * DAY_S, 4), length_s=DAY_S)
    assert list(history.since(0)) == [(10.0 * DAY_S, 4.0)]


def test_a_clock_that_was_a_year_ahead_does_not_stop_it():
    history = recorded((1_000, 3), (365 * DAY_S, 4), (1_060, 5))
    assert list(history.since(0)) == [(1_020.0, 5.0)]


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_what_is_no_load_is_refused(value):
    with pytest.raises(ValueError, match="is no load"):
        recorded((0, value))


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 2**20)), max_size=60),
    st.integers(600, 6_000),
)
def test_a_checkpoint_is_the_same_history(readings, length_s):
    history = recorded(*sorted(readings), length_s=length_s)
    again = History.decode(history.encode(), length_s=length_s)
    assert list(again.since(0)) == list(history.since(0))
    again.record(10_000, 1)
    history.record(10_000, 1)
    assert list(again.since(0)) == list(history.since(0))


def test_a_checkpoint_of_15_days_fits_a_config_map():
    history = recorded(*((minute * 60, 100.5) for minute in range(15 * 1440)))
    assert len(history.encode()) < 128 * 1024


@pytest.mark.parametrize(
    "text",
    ["", "v1", "v2 60 0 ", "v1 30 0 ", "v1 60 -1 ", "v1 60 0 ###", "v1 60 0 AAA=", "v1 60 0 " + "AAAA" * 40_000],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(ValueError):
        History.decode(text)


def test_damaged_values_of_a_checkpoint_are_no_readings():
    import base64
    import struct

    text = "v1 60 0 " + base64.b64encode(struct.pack("<4f", math.nan, -1, math.inf, 5)).decode()
    assert list(History.decode(text).since(0)) == [(180.0, 5.0)]
