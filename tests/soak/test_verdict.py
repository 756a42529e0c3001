"""A verdict that cannot fall proves nothing: each kind of leak planted in numbers, and what only looks like one."""

from __future__ import annotations

import random

import pytest

from tests.soak.sample import FIGURES
from tests.soak.verdict import HOUR_S, Figure, judge

EVERY_S = 10.0
LEAST = {name: figure for name, figure in FIGURES.items() if figure.is_judged}
NOISE = {"memory": 0.4, "heap": 0.3, "blocks": 4000.0, "descriptors": 4.0, "threads": 0.7, "tasks": 5.0, "pods": 8.0}
LEVEL = {
    "memory": 70.0,
    "heap": 15.0,
    "blocks": 600_000.0,
    "descriptors": 40.0,
    "threads": 6.0,
    "tasks": 45.0,
    "pods": 190.0,
}
LEAK_AN_HOUR = {
    "memory": 9.0,
    "heap": 2.5,
    "blocks": 40_000.0,
    "descriptors": 20.0,
    "threads": 6.0,
    "tasks": 20.0,
    "pods": 60.0,
}


def run(shape, *, minutes=60.0, noise=0.0, seed=1):
    """shape: share of the run that has passed → value."""
    dice, lasts_s = random.Random(seed), minutes * 60
    count = int(lasts_s / EVERY_S)
    return [(at * EVERY_S, shape(at / count) + dice.gauss(0.0, noise)) for at in range(count + 1)]


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("seed", range(20))
def test_noise_is_flat(name, seed):
    verdict = judge(LEAST[name], run(lambda _: LEVEL[name], noise=NOISE[name], seed=seed))
    assert verdict.is_flat, verdict


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("seed", range(20))
def test_a_steady_leak_of_each_figure_is_found(name, seed):
    leak = LEAK_AN_HOUR[name]
    verdict = judge(LEAST[name], run(lambda t: LEVEL[name] + leak * t, noise=NOISE[name], seed=seed))
    assert not verdict.is_flat, verdict
    assert verdict.an_hour == pytest.approx(leak, rel=0.35)


COUNT = Figure("anything", least=2.0)
FLAT = {
    "a saw-tooth within a stretch": lambda t: 40 + 30 * (t * 40 % 1),
    "a saw-tooth of a few minutes": lambda t: 40 + 30 * (t * 9 % 1),
    "a saw-tooth of which three teeth fit in": lambda t: 40 + 30 * (t * 4 % 1),
    "a step": lambda t: 40 + 30 * (t > 0.6),
    "a step right after the warm-up": lambda t: 40 + 30 * (t > 0.3),
    "growth while it warms up": lambda t: 40 + 100 * min(t, 0.25),
    "what fills and is full": lambda t: 40 + 100 * min(t, 0.55),
    "one wild stretch": lambda t: 40 + 500 * (0.8 < t < 0.86),
    "what shrinks": lambda t: 40 - 30 * t,
    "nothing at all": lambda _: 0.0,
}
LEAKS = {
    "a line": lambda t: 40 + 10 * t,
    "steps, one a quarter of an hour": lambda t: 40 + 8 * int(t * 4),
    "a line with a saw-tooth on it": lambda t: 40 + 30 * t + 10 * (t * 20 % 1),
    "a line with one wild stretch": lambda t: 40 + 30 * t + 300 * (0.5 < t < 0.55),
    "what grows ever faster": lambda t: 40 + 30 * t * t,
    "what slows down and goes on": lambda t: 40 + 60 * t**0.7,
}


@pytest.mark.parametrize("shape", FLAT)
def test_what_looks_like_a_leak_is_none(shape):
    verdict = judge(COUNT, run(FLAT[shape], noise=1.0))
    assert verdict.is_flat, verdict


@pytest.mark.parametrize("shape", LEAKS)
def test_what_goes_on_growing_is_a_leak(shape):
    verdict = judge(COUNT, run(LEAKS[shape], noise=1.0))
    assert not verdict.is_flat, verdict


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_at_twice_the_pace_that_is_told_is_seen_and_one_at_half_of_it_is_not(seed):
    flat = run(lambda _: 40.0, noise=3.0, seed=seed)
    pace = judge(COUNT, flat).seen_from / HOUR_S
    assert not judge(COUNT, [(at, value + 2 * pace * at) for at, value in flat]).is_flat
    assert judge(COUNT, [(at, value + pace / 2 * at) for at, value in flat]).is_flat


def test_growth_that_may_go_on_for_ever_is_no_leak():
    slow = Figure("memory", least=0.1, an_hour=2.0)
    assert judge(slow, run(lambda t: 70 + 1.5 * t)).is_flat
    assert not judge(slow, run(lambda t: 70 + 2.5 * t)).is_flat


def test_what_is_not_judged_is_told_all_the_same():
    verdict = judge(Figure("cpu", is_judged=False), run(lambda t: 10 + 90 * t))
    assert verdict.is_flat
    assert verdict.an_hour == pytest.approx(90)
    assert verdict.marks == pytest.approx((10, 32.5, 55, 77.5, 100), abs=1)


def test_the_first_quarter_is_not_judged_and_shown():
    verdict = judge(COUNT, run(lambda t: 40.0 if t < 0.25 else 400.0))
    assert verdict.is_flat
    assert verdict.marks == (40.0, 400.0, 400.0, 400.0, 400.0)


def test_of_too_few_samples_nothing_is_said():
    with pytest.raises(ValueError, match="are needed"):
        judge(COUNT, run(lambda _: 1.0, minutes=10))
    assert judge(COUNT, run(lambda _: 1.0, minutes=11)).an_hour == 0.0
