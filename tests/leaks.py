"""A watch over the whole suite: nothing that a Secret holds may stand in a log, an event, an output or an error.

Tests plant values made by `planted`; all of them bear one mark. After each test what it logged (at every level),
printed and raised is searched for it; after the last one every file named `*.log` that the suite has written. Rooms
that run processes write what else a person could read, as events and statuses, into such files by `note`.
A container's own output is its own matter, so the logs of groups are left out.

`tests/conftest.py` takes the hooks in.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

MARK = "pLanTed5ecret"
# A mark within base64 looks like one of three texts, by where it begins; and a token of a ServiceAccount like this.
_TOKEN = rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
_OF_CONTAINERS = re.compile(r"/groups/[^/]+/logs/")


def planted(name: str) -> str:
    """A value for a Secret that is found wherever it gets to."""
    return f"{MARK}-{name}-{MARK}"


def _encodings() -> Iterator[bytes]:
    yield MARK.encode()
    for before in range(3):  # of the encoded text the characters that the mark alone decides
        encoded = base64.b64encode(bytes(before) + MARK.encode())
        yield encoded[-(-before * 8 // 6) : (before + len(MARK)) * 8 // 6]


_LEAK = re.compile(b"|".join([*map(re.escape, _encodings()), _TOKEN]))


def leaks(content: str | bytes) -> list[str]:
    """The lines in which something stands that should not, cut short."""
    found = content.encode(errors="replace") if isinstance(content, str) else content
    return [line.decode(errors="replace")[:300] for line in found.splitlines() if _LEAK.search(line)]


def note(directory: Path, name: str, *contents: object) -> None:
    """Add what a person could read, as JSON, to a file that is searched in the end."""
    with (directory / f"{name}.log").open("a") as file:
        for content in contents:
            file.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    told = [*(text for _, text in report.sections), report.longreprtext]
    if found := [line for text in told for line in leaks(text)]:
        report.outcome = "failed"
        report.longrepr = _sentence(item.nodeid, found)
        report.sections = []
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run side by side, by whoever runs them all."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is None or hasattr(session.config, "workerinput"):
        return
    found = {str(path): lines for path in written(factory.getbasetemp()) if (lines := leaks(path.read_bytes()))}
    if found:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for path, lines in found.items():
            reporter.write_line(f"\nFAILED {_sentence(path, lines)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def written(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*.log") if path.is_file() and not _OF_CONTAINERS.search(str(path))]


def _sentence(where: str, lines: list[str]) -> str:
    hidden = [_LEAK.sub(b"<secret>", line.encode(errors="replace")).decode(errors="replace") for line in lines]
    return f"{where}: a planted secret or a token can be read in {len(lines)} lines:\n" + "\n".join(hidden[:10])
