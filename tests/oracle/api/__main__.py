"""`python -m tests.oracle.api`: every call of people and programs on our node, beside what a real kubelet answered.

    python -m tests.oracle.api [GROUP …]            local stand-in cluster, fake cloud (PLANE=real: the built one)
    python -m tests.oracle.api --record [GROUP …]   on the real node that KUBECONFIG names
    python -m tests.oracle.api --judge RESULTS      compares the results of an earlier play again

The exit code is 0 if every difference is explained in explained.yaml and every explanation still occurs; 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.e2e import build
from tests.oracle import explained, report, stage
from tests.oracle.api import calls, compare
from tests.oracle.api.calls import Group
from tests.oracle.api.session import Session
from tests.oracle.api.wire import Wire

Json = dict[str, Any]
AT_ONCE = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help="names of files in calls/")
    parser.add_argument("--record", action="store_true", help="record the answers of the node that KUBECONFIG names")
    parser.add_argument("--runs", type=int, default=2, help="of each group, when recording")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--keep", type=Path, help="a folder for logs and results.json (default: a temporary one)")
    parser.add_argument("--judge", type=Path, help="a results.json to compare again; nothing is played")
    given = parser.parse_args()
    groups = [each for each in calls.all_groups() if not given.groups or each.name in given.groups]
    if unknown := set(given.groups) - {each.name for each in groups}:
        parser.error(f"there is no group {min(unknown)}")
    if given.record:
        return _record(groups, runs=given.runs, at_once=given.at_once)
    if given.judge:
        return judge(json.loads(given.judge.read_text()))
    directory = given.keep or Path(tempfile.mkdtemp(prefix="vk-oracle-"))
    with stage.of_environment(directory) as where:
        results = play(groups, where.kubeconfig, node=where.node, placed=where.placed, at_once=given.at_once)
    (directory / "results.json").write_text(_written(results))
    print(f"logs and results: {directory}")
    return judge(results)


def play(groups: Sequence[Group], kubeconfig: Path, *, node: str, placed: bool, at_once: int) -> dict[str, Json]:
    """The result of each case; a group that fails is told, and its later cases are left out."""
    wire, program = Wire(kubeconfig), kubectl()
    began = time.monotonic()
    results: dict[str, Json] = {}

    def one(group: Group) -> None:
        session = Session(group, wire, program=program, kubeconfig=kubeconfig, node=node, placed=placed)
        try:
            session.play()
        finally:
            results.update(session.results)

    with ThreadPoolExecutor(at_once) as pool:
        waited = {pool.submit(one, each): each for each in sorted(groups, key=lambda each: -len(each.cases))}
        for future in as_completed(waited):
            error, group = future.exception(), waited[future]
            word = f": {error!r}" if error else ""
            print(f"{time.monotonic() - began:4.0f} s  {len(group.cases):3} calls  {group.name}{word}", flush=True)
    return results


def kubectl() -> str:
    """The newest, as the record was made with: its words count. Built if need be."""
    return str(build.programs() / "kubectl")


def judge(results: dict[str, Json]) -> int:
    record = json.loads(calls.RECORD.read_text())
    found = compare.all_differences(record, results)
    everything = [each for differences in found.values() for each in differences]
    judgement = explained.judge(everything, compare.rules(), played=list(found), every=list(record))
    colours = sys.stdout.isatty()
    if said := report.faults(judgement, colours=colours):
        print(f"\n{said}")
    alike = sum(not each for each in found.values())
    print(
        f"\n{alike} of {len(found)} calls answered alike; {len(judgement.explained)} differences explained, "
        f"{len(judgement.unexplained)} not"
    )
    return 0 if judgement.is_good and found else 1


def _record(groups: Sequence[Group], *, runs: int, at_once: int) -> int:
    """Write down what the node named `real` answers; cases whose runs differ keep each answer."""
    kubeconfig = Path(os.environ["KUBECONFIG"])
    played = [
        play(groups, kubeconfig, node=stage.REAL_NODE, placed=False, at_once=at_once) for _ in range(max(runs, 1))
    ]
    record = json.loads(calls.RECORD.read_text()) if calls.RECORD.exists() else {}
    for case in dict.fromkeys(case for run in played for case in run):
        answers: list[Json] = []
        for run in played:
            if case in run and run[case] not in answers:
                answers.append(run[case])
        record[case] = answers[0] if len(answers) == 1 else {"unstable": answers}
    calls.RECORD.write_text(_written(record))
    return 0 if all(set(run) == {case for group in groups for case in group.cases} for run in played) else 1


def _written(results: dict[str, Json]) -> str:
    lines = (f" {json.dumps(case)}: {json.dumps(result, ensure_ascii=False)}" for case, result in results.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
