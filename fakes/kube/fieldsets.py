"""Sets of fields, and objects cut, joined and compared by them: what server-side apply is made of. Pure.

Source: sigs.k8s.io/structured-merge-diff v4, Kubernetes' OpenAPI markers. Types come from `schema.txt`, of custom
resources from their definitions; what neither knows is taken by its looks: maps are merged, lists are replaced whole.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fakes.kube.resources import Resource
from fakes.kube.schema import Type, fields_of

Json = dict[str, Any]
Step = tuple[str, Any]
"""("f", field name), ("k", ((key, value), …)) for an item of a list of maps, ("v", value) for one of a set."""
Path = tuple[Step, ...]
Fields = frozenset[Path]

_ATOMIC_TYPES = frozenset(
    {
        "KeySelector",
        "LabelSelector",
        "LocalObjectReference",
        "NodeSelector",
        "NodeSelectorTerm",
        "ObjectFieldSelector",
        "ObjectReference",
        "OwnerReference",
        "ResourceFieldSelector",
        "SecretReference",
    }
)
_ATOMIC_FIELDS = frozenset({("PodSpec", "nodeSelector"), ("ServiceSpec", "selector"), ("StorageClass", "parameters")})
_KEYS: dict[tuple[str, str], tuple[tuple[str, Any], ...]] = {
    ("Container", "ports"): (("containerPort", None), ("protocol", "TCP")),
    ("EphemeralContainer", "ports"): (("containerPort", None), ("protocol", "TCP")),
    ("ServiceSpec", "ports"): (("port", None), ("protocol", "TCP")),
    ("PodSpec", "topologySpreadConstraints"): (("topologyKey", None), ("whenUnsatisfiable", None)),
}
"""Lists with other keys here than in strategic merge: (key, what it is when it is not given)."""


class Unkeyed(Exception):
    """An item of a list of maps lacks its key, or two have the same one."""


@dataclass(frozen=True)
class Node:
    """The type at one place. relation: leaf (replaced whole), struct, map, keyed (list), set, or any (unknown)."""

    relation: str
    name: str = ""
    inner: Type | None = None
    keys: tuple[tuple[str, Any], ...] = ()
    schema: Json | None = None
    """Of a custom resource, in place of name and inner."""


_LEAF, _ANY = Node("leaf"), Node("any")
_CUSTOM = "=custom"


def root(row: Resource) -> Node:
    """The type of a whole object."""
    if row.custom is not None:
        return Node("struct", _CUSTOM, schema=row.custom.schema)
    return Node("struct", f"={row.kind}") if fields_of(row.kind, top=True) is not None else _ANY


def _fields(name: str) -> Any:
    return fields_of(name[1:], top=True) if name.startswith("=") else fields_of(name)


def _known(node: Node) -> Collection[str]:
    """The fields of a struct: unlike keys of maps, they are not fields of an object by being there."""
    if node.schema is not None:
        named = ("apiVersion", "kind", "metadata") if node.name == _CUSTOM else ()
        return {*(node.schema.get("properties") or ()), *named}
    return _fields(node.name) if node.relation == "struct" else ()


def _node(owner: str, field: str, wanted: Type) -> Node:
    match wanted.kind:
        case "object" if wanted.name in _ATOMIC_TYPES:
            return _LEAF
        case "object":
            return Node("struct", wanted.name) if fields_of(wanted.name) is not None else _ANY
        case "map":
            return _LEAF if (owner, field) in _ATOMIC_FIELDS else Node("map", inner=wanted.inner)
        case "list" if wanted.merge_key == "":
            return Node("set")
        case "list" if wanted.merge_key is not None:
            names = _KEYS.get((owner, field), ((wanted.merge_key, None),))
            keys = tuple((name, _zero(wanted.inner, name) if default is None else default) for name, default in names)
            return Node("keyed", inner=wanted.inner, keys=keys)
        case "j":
            return _ANY
        case _:
            return _LEAF


def _zero(inner: Type | None, field: str) -> Any:
    """What a key is taken for that an item lacks: validation finds it soon enough."""
    known = (fields_of(inner.name) or {}).get(field) if inner is not None else None
    return {"s": "", "i": 0}.get(known.type.kind) if known else None


def _custom(schema: Any) -> Node:
    """A type as a structural schema says it."""
    match schema if isinstance(schema, dict) else {}:
        case {"x-kubernetes-list-type": "map", "items": items}:
            known = items.get("properties") or {}
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            return Node("keyed", keys=tuple((key, known.get(key, {}).get("default")) for key in keys), schema=schema)
        case {"x-kubernetes-list-type": "set"}:
            return Node("set", schema=schema)
        case {"x-kubernetes-map-type": "atomic"} | {"type": "array"}:
            return _LEAF
        case {"properties": _}:
            return Node("struct", schema=schema)
        case {"type": "object"}:
            return Node("map", schema=schema)
        case {"x-kubernetes-preserve-unknown-fields": True}:
            return _ANY
        case _:
            return _LEAF


def _inner(node: Node) -> Node:
    """The type of a list's items, or of a map's values."""
    if node.schema is not None:
        below = node.schema.get("items") or node.schema.get("additionalProperties")
        return _custom(below) if isinstance(below, dict) else _ANY
    return _node("", "", node.inner) if node.inner is not None else _ANY


def _child(node: Node, field: str) -> Node:
    if node.name == _CUSTOM and field == "metadata":
        return Node("struct", "ObjectMeta")
    if node.schema is not None:
        known = (node.schema.get("properties") or {}).get(field)
        return _custom(known) if known is not None else _inner(node)
    if node.relation == "struct":
        known = _fields(node.name).get(field)
        return _node(node.name.lstrip("="), field, known.type) if known else _ANY
    return _inner(node)


def _key(node: Node, item: Any) -> Step:
    found = []
    for name, default in node.keys:
        value = item.get(name, default) if isinstance(item, dict) else None
        if value is None or isinstance(value, (dict, list)):
            raise Unkeyed(
                f'associative list with keys has an element that omits key field "{name}" '
                "(and doesn't have default value)"
            )
        found.append((name, value))
    return "k", tuple(sorted(found))


def _items(node: Node, value: list[Any]) -> list[tuple[Step, Any]]:
    """The items of a keyed list or a set, each with its step; only the first of those that are alike."""
    found: dict[Step, Any] = {}
    for item in value:
        step = _key(node, item) if node.relation == "keyed" else ("v", item)
        found.setdefault(step, item)
    return list(found.items())


def _children(node: Node, value: Any) -> Iterator[tuple[Step, Any, Node, bool]] | None:
    """Step, value and type of each part, and whether the part itself counts as a field; None of what has no parts."""
    if node.relation in ("struct", "map", "any") and isinstance(value, dict):
        known = _known(node)
        return ((("f", key), item, _child(node, key), key not in known) for key, item in value.items())
    if node.relation == "keyed" and isinstance(value, list):
        inner = _inner(node)
        return ((step, item, inner, True) for step, item in _items(node, value))
    if node.relation == "set" and isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return ((step, item, _LEAF, True) for step, item in _items(node, value))
    return None


def check_keys(node: Node, value: Any, at: str = "") -> None:
    """Raises Unkeyed for lists of maps whose items have no keys, or the same ones."""
    if node.relation == "keyed" and isinstance(value, list):
        try:
            steps = [_key(node, item) for item in value]
        except Unkeyed as fault:
            raise Unkeyed(f"{at}: element 0: {fault}") from fault
        for step in steps:
            if steps.count(step) > 1:
                raise Unkeyed(f"{at}: duplicate entries for key {shown((step,))}")
    for step, item, inner, _own in _children(node, value) or ():
        check_keys(inner, item, at + shown((step,)))


def of(node: Node, value: Any) -> Fields:
    """The fields an object states."""
    found: set[Path] = set()
    _collect(node, value, (), found)
    return frozenset(found)


def _collect(node: Node, value: Any, path: Path, found: set[Path]) -> None:
    parts = _children(node, value)
    if parts is None:
        found.add(path)
        return
    for step, item, inner, own in parts:
        _collect(inner, item, (*path, step), found)
        if own or item == {}:
            found.add((*path, step))


def merge(node: Node, old: Any, new: Any) -> Any:
    """`old` with everything that `new` states."""
    if _children(node, old) is None or _children(node, new) is None:
        return new
    if isinstance(new, dict):
        return old | {
            key: merge(_child(node, key), old[key], item) if key in old else item for key, item in new.items()
        }
    return _merge_lists(node, old, new)


def _merge_lists(node: Node, old: list[Any], new: list[Any]) -> list[Any]:
    """In the order of `new`; the other items of `old` stay behind those they stood behind."""
    before, wanted = _items(node, old), _items(node, new)
    there, asked = dict(before), dict(wanted)
    inner = _inner(node)
    shared = [step for step, _ in wanted if step in there]
    result, place = [], 0
    for step, item in wanted:
        while place < len(before) and (before[place][0] not in asked or before[place][0] not in shared[:1]):
            if before[place][0] not in asked:
                result.append(before[place][1])
            place += 1
        if step in there:
            shared.remove(step)
            result.append(merge(inner, there[step], item))
        else:
            result.append(item)
    return result + [item for step, item in before[place:] if step not in asked]


def without(node: Node, value: Any, fields: Iterable[Path]) -> Any:
    """`value` less the fields and everything under them; what is left empty goes, too. None if nothing is left."""
    tree: Json = {}
    for path in fields:
        here: Any = tree
        for step in path:
            here = here.setdefault(step, {})
        here[None] = {}
    return _cut(node, value, tree)


def _cut(node: Node, value: Any, tree: Any) -> Any:
    parts = _children(node, value)
    if parts is None or not tree:
        return value
    kept = []
    for step, item, inner, _own in parts:
        below = tree.get(step, {})
        left = None if None in below else _cut(inner, item, below)
        if left is not None:
            kept.append((step, left))
    if not kept:
        return None
    return {step[1]: item for step, item in kept} if isinstance(value, dict) else [item for _, item in kept]


def changes(node: Node, old: Any, new: Any) -> tuple[Fields, Fields]:
    """The fields that `new` adds or changes, and those it lacks."""
    written: set[Path] = set()
    gone: set[Path] = set()
    _compare(node, old, new, (), written, gone)
    return frozenset(written), frozenset(gone)


def _compare(node: Node, old: Any, new: Any, path: Path, written: set[Path], gone: set[Path]) -> None:
    before, after = _children(node, old), _children(node, new)
    if before is None or after is None:
        if old != new:
            written.add(path)
        return
    left = {step: (item, inner, own) for step, item, inner, own in before}
    for step, item, inner, own in after:
        at = (*path, step)
        if step in left:
            _compare(inner, left.pop(step)[0], item, at, written, gone)
        else:
            _note(inner, item, at, own, written)
    for step, (item, inner, own) in left.items():
        _note(inner, item, (*path, step), own, gone)


def _note(node: Node, value: Any, path: Path, own: bool, found: set[Path]) -> None:
    _collect(node, value, path, found)
    if own or value == {}:
        found.add(path)


def closed(fields: Iterable[Path]) -> Fields:
    """The fields with everything they are parts of."""
    return frozenset(path[:length] for path in fields for length in range(1, len(path) + 1))


def encode(fields: Iterable[Path]) -> Json:
    """As FieldsV1."""
    made: Json = {}
    for path in sorted(fields, key=repr):
        here = made
        for step in path:
            here = here.setdefault(_step_text(step), {})
        here["."] = {}
    return _tidy(made)


def _tidy(tree: Json) -> Json:
    """A leaf says nothing of itself: the "." is for what has parts, too."""
    return {} if tree == {".": {}} else {key: _tidy(item) if key != "." else {} for key, item in sorted(tree.items())}


def _step_text(step: Step) -> str:
    kind, value = step
    if kind == "f":
        return f"f:{value}"
    return f"{kind}:{_json(dict(value) if kind == 'k' else value)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def decode(tree: Any) -> Fields:
    """FieldsV1 as a set. Raises ValueError or TypeError for what is none."""
    found: set[Path] = set()
    _decode(tree, (), found)
    return frozenset(found)


def _decode(tree: Any, path: Path, found: set[Path]) -> None:
    if not isinstance(tree, dict):
        raise TypeError(f"not a set of fields: {tree!r}")
    if path and (not tree or "." in tree):
        found.add(path)
    for text, below in tree.items():
        if text != ".":
            _decode(below, (*path, _step(text)), found)


_STEPS: dict[str, Callable[[str], Step]] = {
    "f": lambda text: ("f", text),
    "k": lambda text: ("k", tuple(sorted(json.loads(text).items()))),
    "v": lambda text: ("v", json.loads(text)),
}


def _step(text: str) -> Step:
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _STEPS:
        raise ValueError(f"not a path element: {text}")
    try:
        step = _STEPS[kind](rest)
        hash(step)
    except (AttributeError, TypeError) as bad:
        raise ValueError(f"not a path element: {text}") from bad
    return step


def shown(path: Path) -> str:
    """As errors name a field: `.spec.containers[name="c"].image`."""
    text = ""
    for kind, value in path:
        if kind == "f":
            text += f".{value}"
        elif kind == "k":
            text += "[" + ",".join(f"{name}={_json(item)}" for name, item in value) + "]"
        else:
            text += f"[={_json(value)}]"
    return text
