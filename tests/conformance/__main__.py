"""`python -m tests.conformance`: Kubernetes' own tests of a node, on a virtual node of the built control plane.

    python -m tests.conformance                      all of them: a quarter of an hour on two idle cores
    python -m tests.conformance --focus "Lease"      those whose names fit the regular expression
    python -m tests.conformance --judge REPORT.json  judges the report of an earlier run again
    python -m tests.conformance --write              … and writes the table of tests/conformance/README.md

The exit code is 1 if a test fails that expected.yaml does not expect, or passes although it does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.conformance import programs, report
from tests.e2e import build, modules, onenode
from tests.e2e.building import CannotBuild

README = Path(__file__).with_name("README.md")
FILES = "test/e2e/common/(node|storage)/"
MARKED = "Conformance || NodeConformance"
NOT = r"\[(Serial|Slow|Disruptive|Flaky|Feature:OffByDefault)\]"
AT_ONCE = 8
# Without a lease: a busy machine is no reason to hand the node to a replica that is not there. Without unsafe sysctls:
# that is a kubelet's default, and one of the tests tries it.
FLAGS = ("--cluster-dns=10.96.0.10", "--leader-lease=", "--allowed-unsafe-sysctls=")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--focus", action="append", default=[], help="a regular expression of tests' names")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--keep", type=Path, help="a folder for logs and the report (default: a temporary one)")
    parser.add_argument("--judge", type=Path, help="a report to judge again; nothing is run")
    parser.add_argument("--write", action="store_true", help="write the table of the README from the report")
    given = parser.parse_args()
    if given.judge:
        return judge(given.judge, whole=not given.focus, write=given.write)
    directory = given.keep or Path(tempfile.mkdtemp(prefix="vk-conformance-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        found = run(directory, given.focus, at_once=given.at_once)
    except CannotBuild as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    print(f"logs and report: {directory}")
    return judge(found, whole=not given.focus, write=given.write)


def run(directory: Path, focus: Sequence[str], *, at_once: int) -> Path:
    """The report of the tests whose names fit one of these, or of all. Raises CannotBuild."""
    files = programs.folder()
    os.environ["KUBE"] = build.NEWEST
    images = programs.images(files, directory / "images")
    with onenode.started(directory, images=images, flags=FLAGS) as (cluster, _, _):
        command = [
            str(files / "ginkgo"),
            "run",
            f"--procs={at_once}",
            f"--focus-file={FILES}",
            f"--label-filter={MARKED}",
            *(f"--focus={each}" for each in focus),
            f"--skip={NOT}",
            "--no-color",
            "--silence-skips",
            "--timeout=2h",
            f"--output-dir={directory}",
            "--json-report=report.json",
            str(files / "e2e.test"),
            "--",
            f"--kubeconfig={cluster.kubeconfig}",
            f"--kubectl-path={build.programs() / 'kubectl'}",
            "--provider=skeleton",
            f"--report-dir={directory}",
            "--disable-log-dump",
        ]
        with (directory / "tests.log").open("wb") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False, cwd=directory)
    return directory / "report.json"


def judge(path: Path, *, whole: bool, write: bool) -> int:
    found, rules = report.results(json.loads(path.read_text())), report.load()
    judgement = report.judge(found, rules)
    table = report.table(found, rules)
    print(f"Kubernetes {modules.version()}\n\n{table}")
    if said := report.faults(judgement):
        print(f"\n{said}")
    unfit = report.stale(found, rules) if whole else []
    for pattern in unfit:
        print(f"no test fits this pattern of expected.yaml: {pattern}")
    if write:
        README.write_text(report.with_table(README.read_text(), table))
    return 0 if found and judgement.is_good and not unfit else 1


if __name__ == "__main__":
    sys.exit(main())
