"""Fields the schema does not know are refused, reported or dropped, as the client asks; wrong types are refused."""

from typing import Any

from fakes.kube import errors, structural
from fakes.kube.quantity import parse
from fakes.kube.resources import Resource
from fakes.kube.schema import Field, Type, fields_of

Json = dict[str, Any]


def check(row: Resource, obj: Json, mode: str) -> list[str]:
    """Drop unknown fields from `obj` and say which they were; mode "Strict" refuses them instead (ApiError 400).

    mode: the request's fieldValidation. Only "Warn", which is also what nothing means, returns anything.
    Values of a wrong type are always refused.
    """
    unknown: list[str] = []
    if row.custom is not None:
        unknown = structural.prune(row.custom.schema, obj)
        _object(row, obj["metadata"], fields_of("ObjectMeta"), "metadata", unknown)
    else:
        _object(row, obj, fields_of(row.kind, top=True), "", unknown)
    if unknown and mode == "Strict":
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise errors.bad_request(
            f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}: strict decoding error: {listed}'
        )
    return [] if mode == "Ignore" else [f'unknown field "{path}"' for path in unknown]


def _object(row: Resource, obj: Any, fields: dict[str, Field] | None, at: str, unknown: list[str]) -> None:
    if fields is None:
        return
    for name in list(obj):
        path = f"{at}.{name}" if at else name
        if name not in fields:
            unknown.append(path)
            del obj[name]
        elif obj[name] is not None:
            _value(row, obj[name], fields[name].type, path, unknown)


def _value(row: Resource, value: Any, wanted: Type, at: str, unknown: list[str]) -> None:
    match wanted.kind:
        case "object":
            _expect(row, isinstance(value, dict), value, wanted.name, at)
            _object(row, value, fields_of(wanted.name), at, unknown)
        case "list" if wanted.inner is not None:
            _expect(row, isinstance(value, list), value, "[]" + (wanted.inner.name or "string"), at)
            for index, item in enumerate(value):
                if item is not None:
                    _value(row, item, wanted.inner, f"{at}[{index}]", unknown)
        case "map" if wanted.inner is not None:
            _expect(row, isinstance(value, dict), value, "map[string]string", at)
            for key, item in value.items():
                if item is not None:
                    _value(row, item, wanted.inner, f"{at}.{key}", unknown)
        case "s" | "t" | "y":
            _expect(row, isinstance(value, str), value, "string", at)
        case "i":
            _expect(row, isinstance(value, int) and not isinstance(value, bool), value, "int64", at)
        case "b":
            _expect(row, isinstance(value, bool), value, "bool", at)
        case "q":
            _quantity(row, value, at)
        case "x":
            _expect(row, isinstance(value, (str, int, float)) and not isinstance(value, bool), value, "string", at)
        case _:
            return


def _quantity(row: Resource, value: Any, at: str) -> None:
    try:
        parse(value)
    except ValueError as bad:
        why = f"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' ({at})"
        raise errors.bad_request(
            f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}: {why}'
        ) from bad


def _expect(row: Resource, holds: bool, value: Any, wanted: str, at: str) -> None:
    if holds:
        return
    name = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]
    why = f"json: cannot unmarshal {name} into Go struct field {row.kind}.{at} of type {wanted}"
    raise errors.bad_request(f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}: {why}')
