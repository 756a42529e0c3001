"""Many seeds, one after the other: a line now and then, a table at the end, and how to repeat what went wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from tests.chaos.virtual import lateness
from tests.chaos.virtual.run import Outcome, play

NEWS_EVERY_S = 10.0
Say = Callable[[str], None]


def one(seed: int, say: Say, *, beside: bool = False, sizes: str = "modest") -> bool:
    """Tell its story. False: something is wrong."""
    outcome = _played(seed, beside, sizes)
    for line in outcome.said:
        say(line)
    _table(Counter(outcome.facts), say)
    _wrong(outcome, say, beside=beside)
    say(f"{_verdict(len(outcome.complaints))} (virtual seed {seed})")
    return not outcome.complaints


def many(first: int, count: int, say: Say, *, beside: bool = False, sizes: str = "modest") -> bool:
    """False: something is wrong in some of them."""
    began = told = time.monotonic()
    sums: Counter[str] = Counter()
    wrong: list[Outcome] = []
    for number, seed in enumerate(range(first, first + count), start=1):
        outcome = _played(seed, beside, sizes)
        sums.update(outcome.facts)
        if outcome.complaints:
            wrong.append(outcome)
            _wrong(outcome, say, beside=beside)
        if time.monotonic() - told > NEWS_EVERY_S:
            told = time.monotonic()
            say(f"{number} of {count} seeds, {len(wrong)} with complaints, {told - began:.0f} s")
    took_s = time.monotonic() - began
    _table(Counter({"seeds": count, "seeds with complaints": len(wrong)}) + sums, say)
    found = sum(len(each.complaints) for each in wrong)
    say(f"{_verdict(found)} ({count} virtual seeds from {first}, {took_s:.0f} s, {took_s / count:.2f} s each)")
    return not wrong


def _played(seed: int, beside: bool, sizes: str) -> Outcome:
    """And how late honest pods run beside one kind of neighbour, undisturbed by the faults of the story."""
    outcome = play(seed, beside=beside, sizes=sizes)
    if not beside:
        return outcome
    return replace(outcome, complaints=[*outcome.complaints, *lateness.complaints(seed)])


def _wrong(outcome: Outcome, say: Say, *, beside: bool) -> None:
    for line in outcome.complaints:
        say(f"  WRONG: {line}")
    if outcome.complaints:
        more = " --neighbours" if beside else ""
        say(f"  repeat it: python -m tests.chaos --virtual --seed {outcome.seed}{more}")


def _table(facts: Counter[str], say: Say) -> None:
    for name, value in facts.items():
        say(f"  {name:<32} {value}")


def _verdict(found: int) -> str:
    return f"{found} things are wrong" if found else "nothing is wrong"
