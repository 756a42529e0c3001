"""The comparer finds what is wrong, and nothing else: a real run with one thing changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import case, compare, explained, record, report
from tests.oracle.compare import differences, is_alike, is_part_with_end

Json = dict[str, Any]


def real(name: str) -> Json:
    run: Json = json.loads((case.RECORDS / f"{name}.json").read_text())["runs"][0]
    return run


RECORDED = sorted(path.stem for path in case.RECORDS.glob("*.json"))


@pytest.mark.parametrize("name", RECORDED)
def test_a_record_is_alike_to_itself(name):
    assert differences(name, [real(name)], real(name)) == []


def test_every_case_has_a_record_and_every_record_a_case():
    assert sorted(each.name for each in case.all_cases()) == RECORDED


def changed(name: str, *path: str, to: Any) -> Json:
    run = copy.deepcopy(real(name))
    at = run
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return run


@pytest.mark.parametrize(
    ("path", "to", "aspect"),
    [
        (("paths", "c"), ["waiting ContainerCreating", "running", "terminated Error 2"], "path"),
        (("paths", "c"), ["running", "waiting ContainerCreating", "terminated Error 1"], "path"),
        (("paths", "c"), ["waiting ContainerCreating", "running"], "path"),
        (("paths", "c"), ["running", "terminated Error 1", "running restarts 1", "terminated Error 1"], "path"),
        (("paths", "c"), [], "path"),
        (("paths",), {}, "path"),
        (("paths", "other"), ["running"], "path"),
        (("phase",), ["Pending", "Running", "Succeeded"], "phase"),
        (("phase",), ["Pending", "Running", "Failed Evicted: gone"], "phase"),
        (("phase",), ["Running", "Pending", "Failed"], "phase"),
        (("phase",), ["Pending", "Running", "Failed: why"], "message"),
        (("deleted",), True, "deleted"),
        (("last", "c"), "Error 7", "last"),
        (("ready", "c"), ["", "started", "started ready", ""], "ready"),
        (("conditions", "Ready"), ["True", "False PodCompleted"], "condition"),
        (("conditions", "Extra"), ["True"], "condition"),
        (("events",), [], "event"),
        (("logs", "c"), "oh\nno\n", "log"),
        (("logs",), {}, "log"),
        (("messages", "c"), ["Error: why"], "message"),
        (("fields",), [], "field"),
    ],
)
def test_one_thing_changed_is_found_as_what_it_is(path, to, aspect):
    found = differences("exit-1", [real("exit-1")], changed("exit-1", *path, to=to))
    assert {each.aspect for each in found} == {aspect}
    assert is_alike(found) == (aspect not in ("path", "phase"))


def test_what_a_watch_skipped_is_no_difference():
    run = changed("restart-always-loop", "paths", "c", to=real("restart-always-loop")["paths"]["c"][-1:])
    assert differences("restart-always-loop", [real("restart-always-loop")], run) == []


def test_an_event_in_other_words_is_told_as_such():
    run = real("exit-1")
    events = [each.replace("Container started", "Started container c") for each in run["events"]]
    (found,) = differences("exit-1", [run], {**run, "events": events})
    assert (found.aspect, found.subject) == ("words", "Normal Started spec.containers{c}")
    assert (found.real, found.ours) == ("Container started", "Started container c")


def test_of_several_real_runs_the_likest_counts():
    run = real("exit-1")
    other = changed("exit-1", "phase", to=["Pending", "Failed Other"])
    assert differences("exit-1", [other, run], run) == []
    assert is_alike(differences("exit-1", [run, other], other))


STEPS = st.lists(st.sampled_from("abc"), max_size=6)


@given(STEPS, st.data())
def test_leaving_out_steps_but_the_last_is_allowed(steps, data):
    kept = [step for step in steps[:-1] if data.draw(st.booleans())] + steps[-1:]
    assert is_part_with_end(kept, steps)


@given(STEPS, STEPS)
def test_what_is_part_of_each_other_is_the_same(one, other):
    assert not (is_part_with_end(one, other) and is_part_with_end(other, one)) or one == other


# --- explanations


def rule(tmp_path, **keys: Any) -> list[explained.Rule]:
    file = tmp_path / "explained.yaml"
    text = {"id": "r", "aspect": "log", "because": "fake", "why": "so", **keys}
    file.write_text(json.dumps([text]))
    return explained.load(file)


FOUND = compare.Difference("exit-1", "log", "c", "oh", "no")


@pytest.mark.parametrize(
    ("keys", "explains"),
    [
        ({}, True),
        ({"case": "exit-*", "subject": "c", "real": "^oh$", "ours": "^no$"}, True),
        ({"aspect": ["path", "log"]}, True),
        ({"aspect": "path"}, False),
        ({"case": "exit-2"}, False),
        ({"subject": "d"}, False),
        ({"real": "^o$"}, False),
        ({"ours": "yes"}, False),
    ],
)
def test_a_rule_explains_what_it_names(tmp_path, keys, explains):
    judgement = explained.judge([FOUND], rule(tmp_path, **keys), played=["exit-1"])
    assert (judgement.unexplained == []) == explains


def test_an_explanation_of_what_does_not_happen_any_more_is_a_fault(tmp_path):
    named = rule(tmp_path, case="exit-1")
    assert not explained.judge([], named, played=["exit-1"]).is_good
    assert explained.judge([], named, played=["exit-0"]).is_good, "its case was not played"
    assert explained.judge([], rule(tmp_path, case="exit-1", sometimes=True), played=["exit-1"]).is_good
    assert not explained.judge([], rule(tmp_path), played=explained.all_cases()).is_good


@pytest.mark.parametrize(
    "keys",
    [{"aspect": "smell"}, {"because": "moon"}, {"because": "cloud"}, {"wy": "x"}, {"id": ""}],
    ids=str,
)
def test_a_rule_that_is_none_is_refused(tmp_path, keys):
    with pytest.raises(ValueError, match="rule"):
        rule(tmp_path, **keys)


def test_the_explanations_can_be_read_and_name_what_there_is():
    for each in explained.load():
        for name in each.cases:
            assert set(name) & set("*?[") or name in RECORDED, f"rule {each.id}: there is no case {name}"


def test_the_report_names_what_nothing_explains_and_counts(tmp_path):
    worse = compare.Difference("exit-1", "path", "c", "running", "waiting")
    found = {"exit-0": [], "exit-1": [FOUND, worse]}
    judgement = explained.judge([FOUND, worse], rule(tmp_path), played=list(found))
    table = report.table(found, judgement, colours=False)
    assert "exit-0  alike" in table
    assert "exit-1  differs, 1 unexplained" in table
    assert "real: running" in report.faults(judgement, colours=False)
    assert report.summary(found, judgement, kind="cases").startswith("1 of 2 cases alike; 1 differences explained")
    assert "\x1b[31m" in report.table(found, judgement, colours=True)


# --- records


def test_what_differs_from_run_to_run_is_a_word():
    names = record.Names(namespace="ns-1", pod="job-x7", node="vk", node_ip="10.0.0.1", pod_ip="10.0.0.12")
    text = "ns-1/job-x7 on vk at 10.0.0.1, 10.0.0.12:80, 2026-01-02T03:04:05Z, 12345678-1234-1234-1234-123456789abc"
    assert record.plain(text, names) == "NS/POD on NODE at HOST, IP:80, TIME, UID"


def test_a_record_is_written_so_that_it_reads_back():
    run = real("sidecar-crash")
    assert json.loads(record.written({"runs": [run]})) == {"runs": [run]}


STRANGE = ("jump", "until doomsday", "for ever")


@pytest.mark.parametrize(
    "text",
    ["kind: ConfigMap", *(f"kind: Pod\nmetadata: {{annotations: {{oracle/steps: {step}}}}}" for step in STRANGE)],
)
def test_a_case_that_is_none_is_refused(tmp_path, text):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"x\.yaml"):
        case.load(file)
