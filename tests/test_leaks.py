"""The watch for secrets sees one wherever it gets to, and fails the run for it; shown on small suites of their own."""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.leaks import leaks, planted

ROOT = Path(__file__).parent.parent
CONFTEST = "from tests.leaks import pytest_runtest_makereport, pytest_sessionfinish  # noqa: F401\n"
HEAD = "import logging, pytest\nfrom tests.leaks import planted\n"


def run(test: str) -> tuple[int, str]:
    """Exit code and output of a suite with this one test; its files are where no other watch looks for leaks."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text(CONFTEST)
        Path(folder, "test_it.py").write_text(HEAD + test)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-pno:hypothesispytest",
                "-pno:asyncio",
                "-pno:xdist",
                "--log-level=DEBUG",
                "--basetemp=tmp",
                ".",
            ],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("test", "code"),
    [
        pytest.param("def test(): logging.getLogger('x').warning('all is well')", 0, id="nothing"),
        pytest.param("def test(): logging.getLogger('x').debug('key=%s', planted('a'))", 1, id="a log at any level"),
        pytest.param("def test(): print(planted('a'))", 1, id="an output"),
        pytest.param("def test(): assert planted('a') == 1", 1, id="an error"),
        pytest.param(
            "@pytest.fixture\ndef late():\n    yield\n    print(planted('a'))\ndef test(late): pass",
            1,
            id="while it is taken down",
        ),
        pytest.param("def test(tmp_path): (tmp_path / 'p.log').write_text('x=' + planted('a'))", 1, id="a log file"),
        pytest.param("def test(tmp_path): (tmp_path / 'p.data').write_text('x=' + planted('a'))", 0, id="other files"),
        pytest.param(
            "def test(tmp_path):\n    logs = tmp_path / 'groups/g/logs'\n    logs.mkdir(parents=True)\n"
            "    (logs / 'main.log').write_text(planted('a'))",
            0,
            id="what a container says",
        ),
    ],
)
def test_a_run_fails_for_it_and_does_not_tell_it(test, code):
    ended, told = run(test)
    assert ended == code, told
    assert ("a planted secret or a token can be read in" in told) == bool(code)
    assert leaks(told) == []


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"key":"'])
def test_it_is_seen_in_base64_wherever_it_begins(before):
    assert leaks(base64.b64encode((before + planted("x")).encode()))


def test_a_token_is_seen():
    assert leaks("bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlc2lnbmF0dXJl")
    assert not leaks("nothing to be seen, eyJ or not")
