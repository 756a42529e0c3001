"""Flat request parameters to nested, typed values: `Container.1.Port.2.Port=80` becomes lists of dicts.

A *shape* says what may be there: a type, a list of one shape, or a dict of name to shape. Names outside the shape are
ignored, as the real gateway does. Absent means absent: the result has only keys that the request had.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fakes.cloud.errors import invalid, missing

Json = dict[str, Any]
Shape = Any
MAX_INDEX = 1000
_MAY_BE_NONE = ("DnsPolicy", ".MountPropagation")


def first_values(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name to value without what an SDK sends for "not set": the literal text `None`, but where that is a value."""
    return {name: value for name, value in pairs if value != "None" or name.endswith(_MAY_BE_NONE)}


def unflatten(flat: Mapping[str, str]) -> Json:
    """Dotted names to nested dicts; list items stay keyed by their number, as text, until a shape is applied."""
    tree: Json = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            child = node.get(part)
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
        node.setdefault(last, value)
    return tree


def decode(shape: Mapping[str, Shape], flat: Mapping[str, str]) -> Json:
    """The typed values of a request. Raises ApiError `InvalidParameter` naming what is not of its type."""
    return _object(shape, unflatten(flat), "")


def require(values: Mapping[str, Any], *names: str) -> None:
    """Raises ApiError `MissingParameter` for the first that is absent or empty."""
    for name in names:
        if values.get(name) in (None, ""):
            raise missing(name)


def _object(shape: Mapping[str, Shape], tree: Any, path: str) -> Json:
    if not isinstance(tree, dict):
        raise invalid(path, "it has members")
    found = {}
    for name, kind in shape.items():
        if name in tree:
            found[name] = _value(kind, tree[name], f"{path}.{name}" if path else name)
    return found


def _value(shape: Shape, tree: Any, path: str) -> Any:
    if isinstance(shape, list):
        return _list(shape[0], tree, path)
    if isinstance(shape, dict):
        return _object(shape, tree, path)
    if not isinstance(tree, str):
        raise invalid(path, "it is one value, not a structure")
    return _scalar(shape, tree, path)


def _list(shape: Shape, tree: Any, path: str) -> list[Any]:
    if not isinstance(tree, dict) or not all(key.isdecimal() and 1 <= int(key) <= MAX_INDEX for key in tree):
        raise invalid(path, f"it is a list, numbered from 1 to {MAX_INDEX}")
    return [_value(shape, tree[key], f"{path}.{key}") for key in sorted(tree, key=int)]


def _scalar(kind: type, text: str, path: str) -> str | int | float | bool:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise invalid(path, "it is true or false")
        return text.lower() == "true"
    try:
        value: int | float = int(text) if kind is int else float(text)
    except ValueError as error:
        raise invalid(path, f"{text[:40]!r} is not a number") from error
    if value != value or value in (float("inf"), float("-inf")):
        raise invalid(path, "it is a finite number")
    return value
