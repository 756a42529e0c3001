"""`python -m tests.oracle`: every case on our node, beside what a real kubelet said of it.

    python -m tests.oracle [CASE …]                 local stand-in cluster, fake cloud (PLANE=real: the built one)
    python -m tests.oracle --record [CASE …]        on the real node that KUBECONFIG names; see realnode/
    python -m tests.oracle --judge RUNS.json        compares the runs of an earlier play again

The exit code is 0 if every difference is explained in explained.yaml and every explanation still occurs; 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.contract.kube.client import Client
from tests.oracle import case, compare, explained, record, report, stage
from tests.oracle.case import Case
from tests.oracle.player import Player

Json = dict[str, Any]
AT_ONCE = 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--record", action="store_true", help="record the cases on the node that KUBECONFIG names")
    parser.add_argument("--runs", type=int, default=2, help="of each case, when recording")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--keep", type=Path, help="a folder for logs and runs.json (default: a temporary one)")
    parser.add_argument("--judge", type=Path, help="a runs.json to compare again; nothing is played")
    given = parser.parse_args()
    chosen = [each for each in case.all_cases() if not given.cases or each.name in given.cases]
    if unknown := set(given.cases) - {each.name for each in chosen}:
        parser.error(f"there is no case {min(unknown)}")
    if given.record:
        return record_all(chosen, runs=given.runs, at_once=given.at_once)
    records = {
        each.name: json.loads(_record_of(each).read_text())["runs"] for each in chosen if _record_of(each).exists()
    }
    lost = False
    if given.judge:
        runs = {name: run for name, run in json.loads(given.judge.read_text()).items() if name in records}
    else:
        directory = given.keep or Path(tempfile.mkdtemp(prefix="vk-oracle-"))
        runs, lost = play_all(
            [each for each in chosen if each.name in records], records, directory, at_once=given.at_once
        )
        (directory / "runs.json").write_text(json.dumps(runs))
        print(f"logs and runs: {directory}")
    return judge_all(runs, records, lost=lost)


def play_all(
    chosen: Sequence[Case], records: dict[str, Any], directory: Path, *, at_once: int
) -> tuple[dict[str, Json], bool]:
    """The runs of all cases that can be played here, and whether one failed; those that take longest begin first."""
    lasts = {each.name: max(run["took_s"] for run in records[each.name]) for each in chosen}
    with stage.of_environment(directory) as where:

        def one(each: Case) -> Json:
            patience_s = 1.5 * lasts[each.name] + 20
            return Player(
                where.client,
                each,
                node=where.node,
                namespace=f"oracle-{each.name}",
                placed=where.placed,
                patience_s=patience_s,
            ).play()

        runs = _in_parallel(one, sorted(chosen, key=lambda each: -lasts[each.name]), at_once=at_once)
        return runs, len(runs) < len(chosen)


def judge_all(runs: dict[str, Json], records: dict[str, Any], *, lost: bool) -> int:
    """lost: a case could not be played to its end."""
    found = {name: compare.differences(name, records[name], run) for name, run in sorted(runs.items())}
    everything = [each for differences in found.values() for each in differences]
    judgement = explained.judge(everything, explained.load(), played=list(found))
    colours = sys.stdout.isatty()
    print(report.table(found, judgement, colours=colours))
    if said := report.faults(judgement, colours=colours):
        print(f"\n{said}")
    print(f"\n{report.summary(found, judgement, kind='cases')}")
    return 0 if judgement.is_good and not lost else 1


def record_all(chosen: Sequence[Case], *, runs: int, at_once: int) -> int:
    """Write the records of the cases, as the node named `real` of the cluster that KUBECONFIG names answers them."""
    client = Client(Path(os.environ["KUBECONFIG"]))
    info = client.get(f"/api/v1/nodes/{stage.REAL_NODE}").body["status"]["nodeInfo"]
    version = f"kubelet {info['kubeletVersion']}, {info['containerRuntimeVersion']}"

    def one(each: Case) -> Json:
        played = [
            Player(client, each, node=stage.REAL_NODE, namespace=f"oracle-{each.name}-{number}", placed=False).play()
            for number in range(1, runs + 1)
        ]
        kept = [run for at, run in enumerate(played) if not any(_same(run, other) for other in played[:at])]
        _record_of(each).write_text(record.written({"node": version, "runs": kept}))
        return {"differing runs": len(kept)}

    done = _in_parallel(one, chosen, at_once=at_once)
    return 0 if len(done) == len(chosen) else 1


def _same(run: Json, other: Json) -> bool:
    return {**run, "took_s": 0} == {**other, "took_s": 0}


def _records(chosen: Sequence[Case]) -> dict[str, Any]:
    """The real runs of each case that has been recorded."""
    paths = {each.name: _record_of(each) for each in chosen}
    return {name: json.loads(path.read_text())["runs"] for name, path in paths.items() if path.exists()}


def _record_of(each: Case) -> Path:
    return case.RECORDS / f"{each.name}.json"


def _in_parallel(one: Callable[[Case], Json], chosen: Sequence[Case], *, at_once: int) -> dict[str, Json]:
    """The result of each case; one that fails is told, and left out."""
    began, done = time.monotonic(), {}
    with ThreadPoolExecutor(at_once) as pool:
        waited = {pool.submit(one, each): each.name for each in chosen}
        for number, future in enumerate(as_completed(waited), 1):
            name = waited[future]
            try:
                done[name] = future.result()
                word = ""
            except Exception as error:  # the other cases go on
                word = f": {error!r}"
            print(f"{time.monotonic() - began:4.0f} s  {number:3} of {len(chosen)}  {name}{word}", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
