"""The calls, their record and what explains it belong together; answers are compared as they should be."""

from __future__ import annotations

import json
import re

import pytest

from tests.oracle.api import calls, compare, plain
from tests.oracle.api.calls import Group

RECORD = json.loads(calls.RECORD.read_text())
GROUPS = calls.all_groups()


def test_each_call_is_recorded_once_and_each_record_has_its_call():
    cases = [case for group in GROUPS for case in group.cases]
    assert sorted(cases) == sorted(RECORD)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_pods_of_a_group_are_there_and_are_placed(group: Group):
    made = [step.given["value"] for step in group.steps if step.what == "make"]
    for name in [*group.pods, *made]:
        spec = calls.pod(name, node="n", placed=True)["spec"]
        assert spec.get("nodeName", spec.get("nodeSelector", {}).get("kubernetes.io/hostname")) == "n"
        assert spec["tolerations"]


def test_a_record_is_alike_to_itself():
    assert not any(compare.all_differences(RECORD, RECORD).values())


def test_either_of_two_recorded_answers_will_do():
    real = {"unstable": [{"exit": 0, "out": "a", "took_s": 1}, {"exit": 1, "out": "b", "took_s": 2}]}
    assert compare.differences("x/y", real, {"exit": 1, "out": "b", "took_s": 9}) == []
    found = compare.differences("x/y", real, {"exit": 1, "out": "a"})
    assert len(found) == 1


def test_of_long_lists_only_what_one_has_alone_is_told():
    real, ours = [f"k{n}" for n in range(9)], [f"k{n}" for n in range(1, 10)]
    [found] = compare.differences("x/y", {"body": real}, {"body": ours})
    assert (found.aspect, found.real, found.ours) == ("body", '["k0"]', '["k9"]')


def test_every_rule_is_for_a_call_that_there_is():
    for rule in compare.rules():
        assert any(is_of_a_call(pattern) for pattern in rule.cases), rule.id


def is_of_a_call(pattern: str) -> bool:
    regex = re.compile(re.escape(pattern).replace(r"\*", ".*"))
    return any(regex.fullmatch(case) for case in RECORD)


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        ("2026-12-01T04:00:00.123456789Z x", "TIME.9 x"),
        ("2026-12-01T04:00:00+00:00 x", "TIME.0 x"),
        ("from 10.1.2.3:8080, at 127.0.0.1:43210", "from IP:PORT, at 127.0.0.1:PORT"),
        ("tick 1\ntick 2\n", "tick N...\n"),
        ("pod in space-7 of /tmp/z", "pod in NS of TMP"),
        ("I1201 04:00:00.1    123 portforward.go:99] x", "KLOG portforward.go] x"),
    ],
)
def test_what_differs_from_run_to_run_is_a_word(said, is_):
    assert plain.text(said, namespace="space-7", node="node", folder="/tmp/z") == is_


def test_long_output_is_told_by_its_beginning_and_its_hash():
    assert plain.shortened("x\n" * 1000, b"x\n" * 1000).endswith("2000 bytes, sha256 3da3b38c0a73, 1000 lines")


def test_a_metric_is_its_name_and_its_labels():
    page = '# HELP a b\na{x="1",b="2"} 3\na{b="9",x="0"} 4 1700000000\nc 1\n'
    assert plain.families(page) == ["a{b,x}", "c{}"]
