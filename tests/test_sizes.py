"""How large files and functions may be, and how much indirection a room may have (CONTRIBUTING.md, "Code").

A room is a folder of `vk_provider`. Complexity is McCabe's, held to by ruff (C901 in pyproject.toml).
"""

from __future__ import annotations

import ast
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

PACKAGE = Path(__file__).parents[1] / "vk_provider"
MOST_LINES_OF_A_FUNCTION = 50
P90_OF_FILES = 330
USED_ONCE = 0.15  # of a room's functions: private ones that are named at one place only

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees() -> Mapping[Path, ast.Module]:
    return MappingProxyType({path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))})


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def rooms() -> Mapping[str, Sequence[Path]]:
    found = defaultdict(list)
    for path in trees():
        room = str(path.parent.relative_to(PACKAGE))
        if room != ".":
            found[room].append(path)
    return found


def p90(sizes: Sequence[int]) -> float:
    """Between two sizes in proportion."""
    ordered = sorted(sizes)
    place = 0.9 * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place % 1)


def uses(every: Mapping[Path, ast.Module]) -> Counter[str]:
    """How often each name is read, in the whole package."""
    found: Counter[str] = Counter()
    for tree in every.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] += 1
            elif isinstance(node, ast.Attribute):
                found[node.attr] += 1
    return found


def test_no_function_is_longer_than_a_screen():
    too_long = {
        f"{path.relative_to(PACKAGE)}: {each.name}": length
        for path, tree in trees().items()
        for each in functions(tree)
        if (length := (each.end_lineno or 0) - each.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }
    assert too_long == {}


def test_nine_of_ten_files_of_each_room_are_short():
    sizes = {
        room: p90([len(path.read_text().splitlines()) for path in paths if path.name != "__init__.py"] or [0])
        for room, paths in rooms().items()
    }
    assert {room: size for room, size in sizes.items() if size >= P90_OF_FILES} == {}


def test_few_helpers_of_each_room_are_used_once():
    """A short name that stands at one place costs a jump and saves nothing; some say what three lines do."""
    used = uses(trees())
    shares = {}
    for room, paths in rooms().items():
        every = [each.name for path in paths for each in functions(trees()[path])]
        once = [name for name in every if name.startswith("_") and not name.startswith("__") and used[name] == 1]
        shares[room] = len(once) / max(len(every), 1)
    assert {room: round(share, 3) for room, share in shares.items() if share >= USED_ONCE} == {}


def test_p90_is_between_the_sizes():
    assert p90([10, 20]) == 19
    assert p90([10]) == 10
