"""Runs pytest; with VK_TEST_AGAIN=5 up to five failed tests are tried once more, with nothing beside them.

For CI on machines that others load too: what fails beside five other workers and passes alone is named in the last
lines, so that somebody mends it, but does not hold up an hour's run. What fails twice fails, and so does what left no
failed test behind: an error of collection, a leak that was found at the end, an interrupted run.

    python -m tests.again -n 6 tests
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


class _Failures:
    """The node ids of tests that failed, or whose set-up or tear-down did."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.ids.add(report.nodeid)


def run(arguments: list[str], most: int) -> int:
    """pytest's exit status; `most` is how many failed tests are tried again."""
    failures = _Failures()
    status = pytest.main(arguments, plugins=[failures])
    failed = sorted(failures.ids)
    if status != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= most:
        return int(status)
    sys.stdout.write(f"\nonce more, with nothing beside them: {' '.join(failed)}\n")
    sys.stdout.flush()
    again = subprocess.call([sys.executable, "-m", "pytest", "-n", "0", *failed])
    if not again:
        sys.stdout.write(f"FAILED beside others and passed alone, mend them: {' '.join(failed)}\n")
    return again


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:], int(os.environ.get("VK_TEST_AGAIN") or 0)))
