"""The fields of what is served: strictness, strategic merge and OpenAPI are all read from the table in `schema.txt`.

One line there per type: `field:type` words. Types: s text, i whole number, n number, b boolean, q quantity,
x number or text, t time, y base64 bytes, j anything; `[T]` list, `[T~key]` list merged by key (`[s~]`: as a set),
`{T}` map; a capital names another line. `!` after a field: it must be given. A type without a line, or `*`, accepts
any field.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Type:
    """A field's type. kind: list, map, object (any type of this table), or one of the letters of the table's head."""

    kind: str
    name: str = ""
    inner: "Type | None" = None
    merge_key: str | None = None


@dataclass(frozen=True)
class Field:
    type: Type
    required: bool


_LIST = re.compile(r"^\[(.+?)(?:~(\w*))?\]$")


def _type(text: str) -> Type:
    if found := _LIST.match(text):
        return Type("list", inner=_type(found[1]), merge_key=found[2])
    if text.startswith("{"):
        return Type("map", inner=_type(text[1:-1]))
    return Type("object", name=text) if text[0].isupper() else Type(text)


def _line(line: str) -> tuple[str, dict[str, Field] | None]:
    name, *words = line.split()
    if words == ["*"]:
        return name, None
    fields = {}
    for word in words:
        field, _, text = word.partition(":")
        fields[field.rstrip("!")] = Field(_type(text), field.endswith("!"))
    return name, fields


_LINES = Path(__file__).with_name("schema.txt").read_text().splitlines()
TYPES: dict[str, dict[str, Field] | None] = dict(_line(line) for line in _LINES)

_TOP = {
    "apiVersion": Field(Type("s"), False),
    "kind": Field(Type("s"), False),
    "metadata": Field(_type("ObjectMeta"), False),
}


def fields_of(name: str, *, top: bool = False) -> dict[str, Field] | None:
    """The fields of a type; None when it takes any. top: it is a whole object, with kind and metadata."""
    fields = TYPES.get(name)
    if fields is None:
        return None
    return {**_TOP, **fields} if top else fields


@cache
def merge_key(kind: str, path: tuple[str, ...]) -> str | None:
    """How the list at `path` of a whole `kind` merges: a field's name, "" for a set of plain values, None if replaced.

    `path` holds field names only: list positions are left out, keys of maps stand for themselves.
    """
    fields = fields_of(kind, top=True)
    found: Type | None = None
    for step in path:
        if found is not None and found.kind == "map":
            found = found.inner
        elif fields is not None and step in fields:
            found = fields[step].type
        else:
            return None
        ending = found
        while ending is not None and ending.kind == "list":
            ending = ending.inner
        fields = fields_of(ending.name) if ending is not None and ending.kind == "object" else None
    return found.merge_key if found is not None and found.kind == "list" else None
