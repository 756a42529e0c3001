"""What CI tries a second time, and what it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ONLY_XDIST = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}  # a second less each

# Fails until it has been tried so many times.
FLAKY = """
import pathlib
def test_it():
    tries = pathlib.Path(__file__).with_name("tries")
    tries.write_text((tries.read_text() if tries.exists() else "") + ".")
    assert len(tries.read_text()) >= {times}
"""
MANY = "import pytest\n@pytest.mark.parametrize('n', range(3))\ndef test_it(n): assert False\n"
UNREADABLE = "def test_it(:\n"
LEAKS_AT_THE_END = "def test_it(): pass\n"
ENDS_BADLY = "def pytest_sessionfinish(session):\n    session.exitstatus = 1\n"


@pytest.mark.parametrize(
    ("source", "most", "passes", "runs"),
    [
        (FLAKY.format(times=1), "2", True, 1),
        (FLAKY.format(times=2), "2", True, 2),
        (FLAKY.format(times=2), "", False, 1),
        (FLAKY.format(times=3), "2", False, 2),
        (MANY, "2", False, 1),
        (UNREADABLE, "2", False, 1),
        (LEAKS_AT_THE_END, "2", False, 1),
    ],
    ids=["passes", "passes-alone", "not-asked", "fails-twice", "too-many", "unreadable", "found-at-the-end"],
)
def test_only_a_few_failed_tests_are_tried_again(tmp_path, source, most, passes, runs):
    file = tmp_path / "test_planted.py"
    file.write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q\n")
    if source is LEAKS_AT_THE_END:
        (tmp_path / "conftest.py").write_text(ENDS_BADLY)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.again", file.name],
        cwd=tmp_path,
        env=os.environ | {"VK_TEST_AGAIN": most, "PYTHONPATH": str(ROOT), **ONLY_XDIST},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode == 0) is passes, ran.stdout
    assert 1 + ran.stdout.count("once more, with nothing beside them") == runs
