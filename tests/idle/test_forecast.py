"""Forecasts of a load: percentiles that forget, periods that are found, and what is said when little is known."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.bounds import MOST_BUCKETS
from vk_provider.idle import periodic
from vk_provider.idle.forecast import (
    STALE_S,
    Dsp,
    Forecaster,
    Percentile,
    Prediction,
    buckets_for,
    with_margin,
)
from vk_provider.idle.fourier import smooth, transform
from vk_provider.idle.histogram import Buckets, Histogram
from vk_provider.idle.history import DAY_S, HOUR_S, MINUTE_S, History
from vk_provider.idle.periodic import DEFAULT_ESTIMATORS, WEEK_S, Harmonics, MaxValue, fit

DAY_OF_MINUTES = range(0, DAY_S, MINUTE_S)


def history_of(load, days, *, start_s=0):
    history = History()
    for when_s in range(start_s, start_s + int(days * DAY_S), MINUTE_S):
        history.record(when_s, max(0.0, load(when_s)))
    return history


def wave(when_s):
    return 20 + 10 * math.sin(2 * math.pi * when_s / DAY_S)


def noisy(load, seed=1, sigma=1.0):
    dice = random.Random(seed)
    return lambda when_s: load(when_s) + dice.gauss(0, sigma)


# --- percentile -------------------------------------------------------------------------------------------------------


def percentile(samples, share, half_life_s=None, least_weight=1e-5):
    histogram = Histogram(Buckets(), half_life_s=half_life_s, least_weight=least_weight)
    for at_s, value in samples:
        histogram.add(at_s, value)
    return histogram.percentile(share)


def test_a_percentile_is_one_of_the_load_and_not_of_time():
    samples = [(0, 10.05)] * 900 + [(0, 90.05)] * 100
    assert percentile(samples, 0.60) == 90.1
    assert percentile(samples, 0.60, least_weight=1e9) == 10.1  # all weigh the same


@pytest.mark.parametrize(("half_life_s", "expected"), [(12 * HOUR_S, 10.1), (24 * HOUR_S, 60.1), (None, 60.1)])
def test_an_old_peak_fades_by_its_half_life(half_life_s, expected):
    samples = [(when_s, 60.05 if when_s < DAY_S else 10.05) for when_s in range(0, WEEK_S, MINUTE_S)]
    assert percentile(samples, 0.99, half_life_s) == expected


@given(
    st.lists(st.floats(0.01, 99), min_size=1, max_size=30),
    st.floats(60, 1e6),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.integers(0, 10**9),
)
def test_weights_halve_with_age_however_old_the_first_sample_is(values, half_life_s, share, start_s):
    """The same as to weigh each sample by its age at the end, whatever was rescaled on the way."""
    histogram = Histogram(Buckets(), half_life_s=half_life_s)
    histogram.add(0, 50.0)  # long ago, and so of no weight
    late_s = start_s + 200 * half_life_s
    times = [late_s + place * half_life_s / 3 for place in range(len(values))]
    for at_s, value in zip(times, values, strict=True):
        histogram.add(at_s, value)
    weights = [value * 2 ** ((at_s - times[-1]) / half_life_s) for at_s, value in zip(times, values, strict=True)]
    reached = sum(weight for value, weight in zip(values, weights, strict=True) if value < histogram.percentile(share))
    assert reached >= share * sum(weights) * (1 - 1e-6)


def test_what_is_over_the_last_bucket_is_not_forgotten():
    assert percentile([(0, 500.0), (0, 90.0)], 0.99) == 500.0


@pytest.mark.parametrize(
    "shape",
    [
        {"first": 0},
        {"growth": 0.5},
        {"most": math.inf},
        {"most": math.nan},
        {"most": 1, "first": 2},
        {"most": 1e6, "first": 0.1},
        {"most": 1e300, "first": 1e-300},
        {"most": 1e15, "first": 1e-6, "growth": 1.0001},
    ],
)
def test_buckets_that_are_none_or_too_many_are_refused(shape):
    with pytest.raises(ValueError):
        Buckets(**shape)


@pytest.mark.parametrize("all_there_is", [0, 1, 64, 200, 1e5, 2**40])
def test_default_buckets_hold_any_quota(all_there_is):
    buckets = buckets_for(all_there_is)
    assert len(buckets.edges()) <= MOST_BUCKETS
    assert buckets.edges()[-1] >= 2 * all_there_is


def test_growing_buckets_end_at_the_maximum():
    edges = Buckets(most=1000, first=1, growth=1.05).edges()
    assert edges[0] == pytest.approx(1)
    assert edges[-1] >= 1000 > edges[-2]
    assert edges == sorted(edges)


# --- period -----------------------------------------------------------------------------------------------------------


def test_transform_is_the_definition():
    values = [complex(place % 7, 0) for place in range(2 * 3 * 5 * 11)]
    count = len(values)
    spectrum = transform(values)
    for k in (0, 1, 7, count - 1):
        by_hand = sum(
            value * complex(math.cos(a := -2 * math.pi * k * n / count), math.sin(a)) for n, value in enumerate(values)
        )
        assert spectrum[k] == pytest.approx(by_hand, abs=1e-9)


def test_smoothing_keeps_slow_components_whole_and_drops_fast_ones():
    slow = [5 + 0.1 * math.sin(2 * math.pi * place / 288) for place in range(288)]
    fast = [value + 0.3 * math.sin(2 * math.pi * 100 * place / 288) for place, value in enumerate(slow)]
    kept = smooth(fast, step_s=300, highest_hz=1 / 3600, least_amplitude=1.0)
    assert kept == pytest.approx(slow, abs=1e-9)
    assert smooth(fast, step_s=300, highest_hz=1 / 3600, least_amplitude=0.2) == pytest.approx(fast, abs=1e-9)
    assert smooth(fast, step_s=300, highest_hz=0, least_amplitude=9, most_items=0) == pytest.approx([5.0] * 288)


def test_three_days_of_a_noisy_wave():
    pattern = fit(history_of(noisy(wave), 3).since(0), MINUTE_S, DEFAULT_ESTIMATORS)
    assert pattern is not None
    assert pattern.period_s == DAY_S
    errors = [pattern.at(when_s) / (1 + pattern.margin) - wave(when_s) for when_s in DAY_OF_MINUTES]
    assert math.sqrt(sum(error * error for error in errors) / len(errors)) <= 0.5


def test_one_bad_night_does_not_lift_the_days_after_it():
    def load(when_s):
        return wave(when_s) + (100 if 9 * DAY_S + 2 * HOUR_S <= when_s < 9 * DAY_S + 4 * HOUR_S else 0)

    before, after = (fit(history_of(noisy(each), 10).since(0), MINUTE_S, DEFAULT_ESTIMATORS) for each in (wave, load))
    assert after.period_s == before.period_s == DAY_S
    assert after.peak(6 * HOUR_S, DAY_S) == pytest.approx(before.peak(6 * HOUR_S, DAY_S), rel=0.1)
    assert after.peak(2 * HOUR_S, 4 * HOUR_S) > before.peak(2 * HOUR_S, 4 * HOUR_S)  # nor is it forgotten


def test_a_working_week_is_told_from_a_day():
    def week(when_s):
        return wave(when_s) * (1.0 if when_s // DAY_S % 7 < 5 else 0.3)

    pattern = fit(history_of(noisy(week), 15, start_s=3 * DAY_S).since(0), MINUTE_S, DEFAULT_ESTIMATORS)
    assert pattern is not None
    assert pattern.period_s == WEEK_S
    noon = DAY_S // 4
    assert pattern.at(20 * WEEK_S + noon) == pytest.approx(30, rel=0.1)
    assert pattern.at(20 * WEEK_S + 5 * DAY_S + noon) == pytest.approx(9, rel=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_a_load_that_only_drifts_has_no_period(seed):
    dice, level = random.Random(seed), [50.0]

    def walk(_):
        level[0] = max(0.0, level[0] + dice.gauss(0, 0.5))
        return level[0]

    assert fit(history_of(walk, 15).since(0), MINUTE_S, DEFAULT_ESTIMATORS) is None


@pytest.mark.parametrize(
    ("load", "days"),
    [
        pytest.param(noisy(lambda _: 20.0, sigma=2.0), 15, id="white noise"),
        pytest.param(lambda _: 16.0, 15, id="flat"),
        pytest.param(lambda _: 0.0, 15, id="nothing"),
        pytest.param(wave, 1.5, id="under two periods"),
    ],
)
def test_a_load_without_a_period_has_none(load, days):
    assert fit(history_of(load, days).since(0), MINUTE_S, DEFAULT_ESTIMATORS) is None


def test_gaps_are_filled_and_a_long_one_drops_what_precedes_it():
    samples = list(history_of(wave, 4).since(0))
    holes = [each for each in samples if not 2.1 * DAY_S < each[0] < 2.1 * DAY_S + 50 * MINUTE_S]
    assert fit(holes, MINUTE_S, DEFAULT_ESTIMATORS) is not None
    torn = [each for each in samples if not 2.5 * DAY_S < each[0] < 2.6 * DAY_S]
    assert fit(torn, MINUTE_S, DEFAULT_ESTIMATORS) is None  # a day and a half are left


def test_a_single_wild_reading_does_not_become_a_forecast():
    history = history_of(wave, 4)
    history.record(4 * DAY_S, 1e6)
    pattern = fit(history.since(0), MINUTE_S, [MaxValue()])
    assert pattern is not None
    assert max(pattern.values) < 31


@pytest.mark.parametrize("interval_s", [1, 60, 299, 300, 301, 700, 1800, 3600, 10**6])
def test_any_interval_has_a_grid(interval_s):
    pattern = fit(history_of(wave, 4).since(0), interval_s, [Harmonics()])
    assert pattern is not None
    assert pattern.peak(0, DAY_S) == pytest.approx(30, rel=0.05)


def test_peak_is_the_highest_of_the_window_across_midnight():
    pattern = periodic.Pattern(DAY_S, 3600, tuple(float(hour) for hour in range(24)), 0.0)
    assert pattern.peak(22 * HOUR_S, 23 * HOUR_S) == 23
    assert pattern.peak(23.5 * HOUR_S, 25 * HOUR_S) == 23
    assert pattern.peak(24 * HOUR_S, 26 * HOUR_S + 1) == 2
    assert pattern.peak(0, 100 * DAY_S) == 23


# --- all of it --------------------------------------------------------------------------------------------------------


def test_little_history_is_assumed_to_hide_a_load():
    history = history_of(lambda _: 10.0, 59 / 1440)
    assert Forecaster(history, Dsp(), all_there_is=200).predict(59 * 60, 3600) == Prediction(100.0, "assumed")
    history = history_of(lambda _: 130.0, 59 / 1440)
    assert Forecaster(history, Dsp(), all_there_is=200).predict(59 * 60, 3600) == Prediction(130.0, "assumed")


def test_readings_that_stop_are_no_load_of_nothing():
    forecaster = Forecaster(history_of(lambda _: 16.0, 7), Percentile(), all_there_is=64)
    last_s = 7 * DAY_S - MINUTE_S
    assert forecaster.predict(last_s + STALE_S, 3600) == Prediction(16.1, "percentile")
    assert forecaster.predict(last_s + STALE_S + 2 * MINUTE_S, 3600) is None
    assert Forecaster(History(), Dsp(), all_there_is=64).predict(0, 3600) is None


def test_flat_days_are_forecast_by_their_percentile():
    forecaster = Forecaster(history_of(lambda _: 16.0, 7), Dsp(), all_there_is=64)
    assert forecaster.predict(7 * DAY_S, 3600) == Prediction(16.1, "percentile")


def test_white_noise_falls_back_and_is_never_nothing():
    forecaster = Forecaster(history_of(noisy(lambda _: 20.0), 4), Dsp(), all_there_is=64)
    prediction = forecaster.predict(4 * DAY_S, 3600)
    assert prediction.method == "percentile"
    assert 21 < prediction.peak < 26


def test_a_wave_is_forecast_ahead_of_its_rise():
    forecaster = Forecaster(history_of(noisy(wave), 4), Dsp(), all_there_is=64)
    midnight = forecaster.predict(4 * DAY_S, 3600)
    assert midnight.method == "dsp"
    assert midnight.peak == pytest.approx(wave(3600) * 1.01, rel=0.05)
    assert forecaster.predict(4 * DAY_S, DAY_S / 4).peak == pytest.approx(30.3, rel=0.05)


def test_samples_follow_the_pattern_or_are_flat():
    forecaster = Forecaster(history_of(wave, 4), Dsp(), all_there_is=64)
    rising = forecaster.samples(4 * DAY_S, 3600, 600)
    assert len(rising) == 6
    assert rising == sorted(rising, key=lambda each: each[1])
    flat = Forecaster(history_of(wave, 4), Percentile(), all_there_is=64).samples(4 * DAY_S, 3600, 600)
    assert len({value for _, value in flat}) == 1


def test_new_minutes_reach_the_histogram_and_the_open_one_only_when_it_is_over():
    history = history_of(lambda _: 10.0, 1)
    forecaster = Forecaster(history, Percentile(share=1.0), all_there_is=64)
    assert forecaster.predict(DAY_S, 3600).peak == 10.1
    history.record(DAY_S, 30.0)
    history.record(DAY_S + 30, 40.0)
    assert forecaster.predict(DAY_S + 30, 3600).peak == 10.1
    history.record(DAY_S + 60, 10.0)
    assert forecaster.predict(DAY_S + 60, 3600).peak == 40.1


def test_what_is_too_old_leaves_a_histogram_without_decay():
    history = history_of(lambda when_s: 50.0 if when_s < HOUR_S else 10.0, 2)
    forecaster = Forecaster(history, Percentile(history_s=DAY_S, half_life_s=None, share=1.0), all_there_is=64)
    assert forecaster.predict(2 * DAY_S, 3600).peak == 10.1


def test_another_algorithm_serves_from_the_next_forecast_on():
    forecaster = Forecaster(history_of(wave, 4), Percentile(), all_there_is=64)
    assert forecaster.predict(4 * DAY_S, 3600).method == "percentile"
    forecaster.reconfigure(Dsp(), all_there_is=64)
    assert forecaster.predict(4 * DAY_S, 3600).method == "dsp"
    forecaster.reconfigure(with_margin(Percentile(target_utilization=0.5), 0.1), all_there_is=64)
    assert forecaster.predict(4 * DAY_S, 3600).peak == pytest.approx(30 / 0.5 * 1.1, rel=0.02)


def test_a_fit_may_be_computed_elsewhere():
    forecaster = Forecaster(history_of(noisy(wave), 4), Dsp(), all_there_is=64, fits_itself=False)
    assert forecaster.predict(4 * DAY_S, 3600).method == "percentile"
    due = forecaster.due_fit(4 * DAY_S)
    forecaster.adopt(4 * DAY_S, due, due.compute())
    assert forecaster.predict(4 * DAY_S, 3600).method == "dsp"
    assert forecaster.due_fit(4 * DAY_S + 3600) is None
    again = forecaster.due_fit(4.5 * DAY_S)
    assert again is not None
    forecaster.reconfigure(Dsp(interval_s=600), all_there_is=64)
    forecaster.adopt(4.5 * DAY_S, again, None)  # of before
    assert forecaster.due_fit(4.5 * DAY_S) is not None
    forecaster.reconfigure(Percentile(), all_there_is=64)
    assert forecaster.due_fit(4.5 * DAY_S) is None


@given(st.lists(st.floats(0, 1e6), min_size=60, max_size=120), st.sampled_from([Dsp(), Percentile()]))
def test_a_forecast_is_never_negative_and_with_full_share_never_under_what_was_seen(values, algorithm):
    history = History()
    for place, value in enumerate(values):
        history.record(place * MINUTE_S, value)
    prediction = Forecaster(history, algorithm, all_there_is=1e6).predict(len(values) * MINUTE_S, 3600)
    assert prediction.peak >= 0
    full = Forecaster(history, Percentile(share=1.0, half_life_s=None), all_there_is=1e6)
    assert full.predict(len(values) * MINUTE_S, 3600).peak >= max(values[:-1])
