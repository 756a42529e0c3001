"""A few virtual seeds in every run of CI, and the promise that a seed is a story; `make chaos` plays hundreds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.virtual import many
from tests.chaos.virtual.run import play

SEEDS = range(6)
REPEATED = 3  # a seed with kills and more
ROOT = Path(__file__).parents[2]
TOLD = """
import json, sys
from tests.chaos.virtual.run import play
outcome = play(int(sys.argv[1]))
print(json.dumps([outcome.said, outcome.facts, outcome.complaints, outcome.evidence.statuses, outcome.evidence.events]))
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_after_all_that_befell_it_the_world_is_as_it_should_be(seed):
    outcome = play(seed)
    assert outcome.complaints == [], "\n".join(outcome.said)
    assert outcome.facts["pods"] > 0


def test_a_seed_is_the_same_story_whatever_the_hashes():
    def told(hash_seed):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TOLD, str(REPEATED)]
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    here = play(REPEATED)
    first = told("1")
    assert first == told("2")
    assert json.loads(first)[0] == here.said == play(REPEATED).said
    assert json.loads(first)[3] == here.evidence.statuses


def test_a_seed_with_a_complaint_says_how_to_repeat_it(monkeypatch):
    monkeypatch.setattr("tests.chaos.virtual.run.complaints", lambda evidence: ["all is lost"])
    said = []
    assert many.many(first=5, count=1, say=said.append) is False
    assert "  WRONG: all is lost" in said
    assert "  repeat it: python -m tests.chaos --virtual --seed 5" in said
