"""The judge of Kubernetes' tests finds what is new, and says the same of the same report."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance import report
from tests.conformance.report import Rule

PODS, PROBES = "[sig-node] Pods", "[sig-node] Probing container"


def spec(group: str, text: str, state: str = "passed", message: str = "") -> dict[str, Any]:
    failure = {"Message": message} if message else None
    return {
        "ContainerHierarchyTexts": [group],
        "LeafNodeText": text,
        "LeafNodeType": "It",
        "State": state,
        "Failure": failure,
    }


SPECS = [
    spec(PODS, "should be updated [NodeConformance] [Conformance]"),
    spec(PODS, "should be left out [Slow]", "skipped"),
    spec(PROBES, "should be killed [Conformance]", "failed", "timed out\nafter a while"),
    spec(PROBES, "should be ready [Conformance]"),
]
GRACE = Rule([f"{PROBES} should be killed*"], "cloud", "a probe has no grace of its own", "eci.md 2.1")


def found(specs: list[dict[str, Any]] = SPECS) -> list[report.Result]:
    setup = {**spec("", "setup"), "LeafNodeType": "SynchronizedBeforeSuite", "ContainerHierarchyTexts": None}
    return report.results([{"SpecReports": [setup, *specs]}])


def test_only_tests_that_were_chosen_count():
    assert [(each.group, each.passed) for each in found()] == [
        ("Pods", True),
        ("Probing container", False),
        ("Probing container", True),
    ]


def test_an_expected_failure_is_good():
    assert report.judge(found(), [GRACE]).is_good


def test_a_new_failure_is_told_with_its_message():
    judgement = report.judge(found(), [])
    assert not judgement.is_good
    assert "should be killed" in report.faults(judgement)
    assert "timed out" in report.faults(judgement)


def test_an_unexpected_pass_is_told():
    judgement = report.judge(found([*SPECS[:2], spec(PROBES, "should be killed [Conformance]")]), [GRACE])
    assert not judgement.is_good
    assert "take it out" in report.faults(judgement)


@pytest.mark.parametrize("state", ["passed", "failed"])
def test_what_the_moment_decides_makes_no_difference(state):
    rules = [replace(GRACE, sometimes=True)]
    seen = found([*SPECS[:2], spec(PROBES, "should be killed [Conformance]", state), SPECS[3]])
    assert report.judge(seen, rules).is_good
    assert report.table(seen, rules) == report.table(found(), [GRACE])


def test_a_rule_for_no_test_is_told():
    assert report.stale(found(), [GRACE]) == []
    assert report.stale(found(SPECS[:2]), [GRACE]) == [f"{PROBES} should be killed*"]


def test_the_table_has_a_row_a_group_with_reasons():
    assert report.table(found(), [GRACE]).splitlines()[2:] == [
        "| Pods | 1 of 1 | |",
        "| Probing container | 1 of 2 | 1: a probe has no grace of its own (eci.md 2.1) |",
        "| **all** | **2 of 3** | |",
    ]


def test_the_table_is_the_same_in_any_order():
    shuffled = random.Random(1).sample(SPECS, len(SPECS))
    assert report.table(found(shuffled), [GRACE]) == report.table(found(), [GRACE])


def test_the_page_keeps_what_is_around_its_table():
    page = "a\n<!-- table -->\nold\n<!-- end of table -->\nb\n"
    assert report.with_table(page, "new") == "a\n<!-- table -->\n\nnew\n\n<!-- end of table -->\nb\n"
    with pytest.raises(ValueError, match="the page has no"):
        report.with_table("a", "new")


def test_expected_failures_have_causes_and_sources():
    assert all(rule.why for rule in report.load())
