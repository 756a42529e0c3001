"""Names speak the field's language (CONTRIBUTING.md, "Names"): a search for a concept finds it.

A name made of one of these words has a better one in Kubernetes, client-go or asyncio.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vk_provider"
BETTER = {
    ("look", "looks", "looked", "looking"): "poll, read, observe, reconcile, check",
    ("ask", "asks", "asked", "asker", "asking"): "query, request, probe, confirm",
    ("tell", "tells", "told", "untold"): "report, emit, message; what an event reports",
    ("news",): "events, changes, updates",
    ("turns",): "limiter",
    ("doubt", "doubted", "denied"): "suspected, not found, confirmed absent",
    ("unheard", "superfluous", "forerunners", "crowded", "stirred"): "unknown, surplus, predecessors, queued, woken",
    ("lastwords",): "termination message",
    ("figures",): "stats, metrics, usage",
}
FINE = {"CloudDenied", "_look_up", "CloudAPIDenied"}
_BANNED = {word: better for words, better in BETTER.items() for word in words}


def parts(name: str) -> list[str]:
    """`_askAgain`, `AskAgain` and `ask_again` → ask, again."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def names() -> Iterator[tuple[str, str]]:
    """Module and name of every module, class and function."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield module, path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield module, node.name


def private() -> dict[str, str]:
    """module:name → what to use instead."""
    return {
        f"{module}:{name}": better
        for module, name in names()
        if name not in FINE
        for part in parts(name)
        if (better := _BANNED.get(part)) is not None
    }


def test_no_name_speaks_a_private_language():
    assert private() == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("_ask_by_name", ["ask", "by", "name"]), ("LookPace", ["look", "pace"]), ("outlook", ["outlook"])],
)
def test_parts_of_names(name, expected):
    assert parts(name) == expected
