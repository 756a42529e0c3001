"""The RAM policy that deploy/ ships allows the calls that the code makes, and no other."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
POLICY = json.loads((ROOT / "deploy" / "ram-policy.json").read_text())
ROOM = ROOT / "vk_provider" / "cloud" / "eci"


def calls_made() -> set[str]:
    """By the vendor's classes that the driver uses, and by what it writes out itself; no other way leads to a call."""
    found: set[str] = set()
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if called := re.fullmatch(r"([A-Z]\w+)Request", node.func.id):
                found |= _written_out(node, path) if called[1] == "Eci" else {called[1]}
    return found


def _written_out(node: ast.Call, path: Path) -> set[str]:
    (action,) = [word.value for word in node.keywords if word.arg == "action"]
    if isinstance(action, ast.Constant):
        return {str(action.value)}
    assert ast.unparse(action) == "request.get_action_name()", f"{path}: an action that this test cannot read"
    return set()


def test_it_allows_just_the_calls_that_the_code_makes() -> None:
    allowed = [action for statement in POLICY["Statement"] for action in statement["Action"]]
    assert allowed == sorted(allowed)
    assert {action.removeprefix("eci:") for action in allowed} == calls_made()
    assert {statement["Effect"] for statement in POLICY["Statement"]} == {"Allow"}


def test_the_guide_names_the_same() -> None:
    text = (ROOT / "deploy" / "README.md").read_text().split("## Cloud permissions\n")[1].split("\n## ")[0]
    assert "deploy/ram-policy.json" in text
    assert "ram:PassRole" in text  # only where pods name a RAM role, so it is not in the file
