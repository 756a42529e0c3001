"""The simple JSONPaths that CustomResourceDefinitions use: fields, indexes, and filters by one equality. Pure."""

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)
    | \[['"](?P<quoted>[^'"]+)['"]\]
    | \[(?P<index>-?\d+)\]
    | \[(?P<all>\*)\]
    | \[\?\(\s*@\.(?P<field>[\w.\-/]+)\s*==\s*['"]?(?P<value>[^'")]*)['"]?\s*\)\]""",
    re.VERBOSE,
)


def steps(path: str) -> list[re.Match[str]]:
    """The steps of a path. Raises ValueError for one that is not understood here."""
    found, place = [], 0
    path = path.replace("\\.", "\0")  # an escaped dot belongs to the name
    while place < len(path):
        step = _STEP.match(path, place)
        if step is None:
            raise ValueError(f"unrecognized path at {path[place:]!r}")
        found.append(step)
        place = step.end()
    return found


def values(obj: Any, path: str) -> list[Any]:
    """Everything that the path leads to, nothing where a step leads nowhere. Raises ValueError."""
    found = [obj]
    for step in steps(path):
        found = [item for value in found for item in _follow(value, step)]
    return found


def _follow(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        name = name.replace("\0", ".")
        return [value[name]] if isinstance(value, dict) and value.get(name) is not None else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    if step["all"]:
        return list(value)
    return [item for item in value if _text(item, step["field"]) == step["value"]]


def _text(item: Any, field: str) -> str | None:
    for name in field.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    if isinstance(item, bool):
        return str(item).lower()
    return None if item is None else str(item)
