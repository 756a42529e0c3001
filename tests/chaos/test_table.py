"""The table of many seeds: a line each, and how many of them were complained of."""

from __future__ import annotations

from tests.chaos.__main__ import Row, table
from tests.chaos.run import ACCIDENTS, INSTANCES, PODS, REST_S, STARTS, Outcome


def test_a_seed_is_a_line_and_one_that_was_not_played_is_one_too():
    facts = {PODS: 72, INSTANCES: 70, STARTS: 3, ACCIDENTS: 30, REST_S: 18.2}
    drawn = table([Row(7, 46.4, Outcome([], facts)), Row(8, 9.6, Outcome(["the run did not come to its end: x"], {}))])
    lines = [" ".join(line.split()) for line in drawn.splitlines()]
    assert lines == [
        "seed pods instances starts accidents s to rest s in all complaints",
        "7 72 70 3 30 18.2 46 0",
        "8 – – – – – 10 1",
        "2 seeds, 1 with complaints",
    ]
