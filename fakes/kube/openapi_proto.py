"""An OpenAPI v2 document in the protobuf form old kubectls insist on (gnostic's OpenAPIv2.proto), written by hand.

Only the fields our own document uses are written. Field numbers are gnostic's.
"""

import json
from typing import Any

Json = dict[str, Any]

_VARINT, _BYTES = 0, 2


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes | str | bool) -> bytes:
    if isinstance(content, bool):
        return _varint(number << 3 | _VARINT) + _varint(int(content))
    raw = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | _BYTES) + _varint(len(raw)) + raw


def _named(number: int, name: str, value: bytes) -> bytes:
    """One entry of the lists of (name, value) that stand for maps."""
    return _field(number, _field(1, name) + _field(2, value))


def _any(value: Any) -> bytes:
    """A value of no fixed type, as YAML text; JSON is YAML."""
    return _field(2, json.dumps(value))


def _extensions(number: int, holder: Json) -> bytes:
    return b"".join(_named(number, key, _any(value)) for key, value in holder.items() if key.startswith("x-"))


def _schema(schema: Json) -> bytes:
    out = b""
    for name, number in (("$ref", 1), ("format", 2), ("description", 4)):
        if name in schema:
            out += _field(number, schema[name])
    for name in schema.get("required", ()):
        out += _field(19, name)
    if "additionalProperties" in schema:
        out += _field(21, _field(1, _schema(schema["additionalProperties"])))
    if "type" in schema:
        out += _field(22, _field(1, schema["type"]))
    if "items" in schema:
        out += _field(23, _field(1, _schema(schema["items"])))
    if "properties" in schema:
        entries = b"".join(_named(1, name, _schema(value)) for name, value in schema["properties"].items())
        out += _field(25, entries)
    return out + _extensions(31, schema)


def _parameter(parameter: Json) -> bytes:
    query = _field(2, "query") + _field(4, parameter["name"]) + _field(6, "string")
    return _field(1, _field(2, _field(3, query)))


def _operation(operation: Json) -> bytes:
    out = b"".join(_field(8, _parameter(parameter)) for parameter in operation["parameters"])
    responses = b"".join(
        _named(1, code, _field(1, _field(1, response["description"])))
        for code, response in operation["responses"].items()
    )
    return out + _field(9, responses) + _extensions(13, operation)


_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def _path_item(item: Json) -> bytes:
    return b"".join(_field(_METHODS[method], _operation(operation)) for method, operation in item.items())


def document(spec: Json) -> bytes:
    """The encoded Document."""
    info = _field(1, spec["info"]["title"]) + _field(2, spec["info"]["version"])
    paths = b"".join(_named(2, path, _path_item(item)) for path, item in spec["paths"].items())
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in spec["definitions"].items())
    return _field(1, spec["swagger"]) + _field(2, info) + _field(8, paths) + _field(9, definitions)
