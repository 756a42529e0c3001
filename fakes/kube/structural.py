"""Structural schemas of custom resources: what is pruned, what is filled in, and what is refused. Pure.

Messages are those of k8s.io/kube-openapi `pkg/validation`, as `apiextensions-apiserver` passes them on. What is not
judged: the rules of x-kubernetes-validations, and string formats other than those of `_FORMATS`.
"""

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

from fakes.kube.errors import Fault

Json = dict[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
RULES = "x-kubernetes-validations"
_OBJECT_FIELDS = ("apiVersion", "kind", "metadata")


def prune(schema: Json, value: Any, *, root: bool = True, at: str = "") -> list[str]:
    """Drop from `value` the fields its schema does not know; the paths of what went."""
    gone: list[str] = []
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            gone += prune(items, item, root=False, at=f"{at}[{index}]") if isinstance(items, dict) else []
        return gone
    if not isinstance(value, dict):
        return gone
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    kept = _OBJECT_FIELDS if root or schema.get(EMBEDDED) else ()
    for name in list(value):
        path = f"{at}.{name}" if at else name
        if name in kept:
            continue
        if name in known:
            gone += prune(known[name], value[name], root=False, at=path)
        elif isinstance(others, dict):
            gone += prune(others, value[name], root=False, at=path)
        elif not schema.get(PRESERVE) and not others:
            del value[name]
            gone.append(path)
    return gone


def fill_in(schema: Json, value: Any) -> None:
    """Give every field that is absent its default, on every level that is there."""
    if isinstance(value, list):
        for item in value:
            fill_in(schema.get("items") or {}, item)
    if not isinstance(value, dict):
        return
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, inner in known.items():
        if name not in value and "default" in inner:
            value[name] = json.loads(json.dumps(inner["default"]))
        if name in value:
            fill_in(inner, value[name])
    if isinstance(others, dict):
        for name, item in value.items():
            if name not in known:
                fill_in(others, item)


def rules_of(schema: Json) -> bool:
    """Whether there are rules in it that are not judged here."""
    inner = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(RULES)) or any(rules_of(one) for one in inner if isinstance(one, dict))


def validate(schema: Json, value: Any, at: str = "") -> list[Fault]:
    """Everything wrong with a value at the path `at`."""
    if value is None and schema.get("nullable"):
        return []
    if fault := _type(schema, value, at):
        return [fault]
    faults = [fault for check in _CHECKS for fault in check(schema, value, at)]
    if isinstance(value, dict):
        faults += _inside(schema, value, at)
    if isinstance(value, list):
        for index, item in enumerate(value):
            faults += validate(schema.get("items") or {}, item, f"{at}[{index}]")
    return faults


def _inside(schema: Json, value: Json, at: str) -> list[Fault]:
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    faults: list[Fault] = []
    for name, item in value.items():
        if name in known:
            faults += validate(known[name], item, f"{at}.{name}" if at else name)
        elif isinstance(others, dict):
            faults += validate(others, item, f"{at}.{name}" if at else name)
    return faults


def _said(at: str, value: Any, text: str) -> Fault:
    return Fault.invalid(at or "<nil>", value, f"{at} in body {text}")


def _whole(at: str, text: str) -> Fault:
    """What is wrong with a value as a whole names no field."""
    return Fault("<nil>", "FieldValueInvalid", f'Invalid value: "": "{at}" {text}')


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}


def _type(schema: Json, value: Any, at: str) -> Fault | None:
    wanted = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    if not wanted or any(_TYPES[name](value) for name in wanted if name in _TYPES):
        return None
    found = next((name for name, holds in reversed(_TYPES.items()) if holds(value)), "null")
    text = f'{at} in body must be of type {",".join(wanted)}: "{found}"'
    return Fault(at or "<nil>", "FieldValueTypeInvalid", f'Invalid value: "{found}": {text}')


def _required(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    for name in schema.get("required") or () if isinstance(value, dict) else ():
        if name not in value:
            yield Fault.required(f"{at}.{name}" if at else name)


def _enum(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    allowed = schema.get("enum")
    if allowed is not None and not any(value == one and type(value) is type(one) for one in allowed):
        shown = tuple(one if isinstance(one, str) else json.dumps(one) for one in allowed)
        yield Fault.unsupported(at, value, shown)


def _numbers(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    if not _TYPES["number"](value):
        return
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        yield _said(
            at, value, f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}{least}"
        )
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        yield _said(at, value, f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}{most}")
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield _said(at, value, f"should be a multiple of {step}")


def _texts(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    if not isinstance(value, str):
        return
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if least is not None and len(value) < least:
        yield _said(at, value, f"should be at least {least} chars long")
    if most is not None and len(value) > most:
        yield Fault(at, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")
    if pattern and not re.search(pattern, value):
        yield _said(at, value, f"should match '{pattern}'")
    holds = _FORMATS.get(schema.get("format", ""))
    if holds is not None and not _good(holds, value):
        yield _said(at, value, f'must be of type {schema["format"]}: "{value}"')


def _good(read: Callable[[str], object], value: str) -> bool:
    """Whether the text can be read as its format wants; a reader says so by not raising ValueError."""
    try:
        return read(value) is not None
    except ValueError:
        return False


_UUID = re.compile(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
_FORMATS: dict[str, Callable[[str], object]] = {
    "date-time": datetime.fromisoformat,
    "date": date.fromisoformat,
    "byte": lambda text: base64.b64decode(text, validate=True),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False),
    "uuid": _UUID.match,
}


def _sizes(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    for kind, low, high, name in (
        (list, "minItems", "maxItems", "items"),
        (dict, "minProperties", "maxProperties", "properties"),
    ):
        if not isinstance(value, kind):
            continue
        least, most = schema.get(low), schema.get(high)
        if least is not None and len(value) < least:
            yield _said(at, len(value), f"should have at least {least} {name}")
        if most is not None and len(value) > most:
            text = f"Too many: {len(value)}: must have at most {most} {'item' if most == 1 else 'items'}"
            yield Fault(at, "FieldValueTooMany", text)


def _duplicates(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    """Items of a set, and keys of a list that is a map, are there once."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    if not isinstance(value, list) or kind not in ("set", "map"):
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        shown = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
        text = json.dumps(shown, sort_keys=True)
        if text in seen:
            yield Fault.duplicate(f"{at}[{index}]", shown)
        seen.add(text)


def _combined(schema: Json, value: Any, at: str) -> Iterator[Fault]:
    def good(one: Json) -> bool:
        return not validate(one, value, at)

    for one in schema.get("allOf") or ():
        yield from validate(one, value, at)
    choices = schema.get("anyOf")
    if choices and not schema.get(INT_OR_STRING) and not any(map(good, choices)):
        yield _whole(at, "must validate at least one schema (anyOf)")
        yield from validate(choices[0], value, at)
    single = schema.get("oneOf")
    if single and (count := sum(map(good, single))) != 1:
        found = f"{count} valid alternatives" if count else "none valid"
        yield _whole(at, f"must validate one and only one schema (oneOf). Found {found}")
        yield from validate(single[0], value, at)
    if schema.get("not") and good(schema["not"]):
        yield _whole(at, "must not validate the schema (not)")


_CHECKS: tuple[Callable[[Json, Any, str], Iterator[Fault]], ...] = (
    _required,
    _enum,
    _numbers,
    _texts,
    _sizes,
    _duplicates,
    _combined,
)


def malformed(schema: Json, at: str, *, place: str = "root") -> list[Fault]:
    """What keeps a schema from being structural. place: root, field or item."""
    faults: list[Fault] = []
    where = {
        "root": "at the root",
        "field": "for specified object fields",
        "item": "for specified array items",
    }[place]
    if not schema.get("type") and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        faults.append(Fault.required(f"{at}.type", f"must not be empty {where}"))
    if place == "root" and schema.get("type", "object") != "object":
        faults.append(Fault.invalid(f"{at}.type", schema["type"], "must be object at the root"))
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        faults.append(Fault.required(f"{at}.items", "must be specified"))
    if schema.get("type") and schema["type"] not in _TYPES:
        faults.append(Fault.unsupported(f"{at}.type", schema["type"], tuple(_TYPES)))
    if pattern := schema.get("pattern"):
        try:
            re.compile(pattern)
        except re.error as bad:
            why = f"must be a valid regular expression, but isn't: {bad}"
            faults.append(Fault.invalid(f"{at}.pattern", pattern, why))
    faults += _nested(schema, at)
    for name, inner in (schema.get("properties") or {}).items():
        if not (place == "root" and name == "metadata"):
            faults += malformed(inner, f"{at}.properties[{name}]", place="field")
    if isinstance(schema.get("items"), dict):
        faults += malformed(schema["items"], f"{at}.items", place="item")
    if isinstance(schema.get("additionalProperties"), dict):
        faults += malformed(schema["additionalProperties"], f"{at}.additionalProperties", place="field")
    return faults


_FORBIDDEN = {
    "type": "must be empty to be structural",
    "description": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "additionalProperties": "must be undefined to be structural",
    PRESERVE: "must be false to be structural",
}


def _nested(schema: Json, at: str) -> list[Fault]:
    """Alternatives may only add conditions; what the fields are, the schema itself says."""
    if schema.get(INT_OR_STRING):
        return []
    faults = []
    branches = [(f"{word}[{index}]", one) for word in ("allOf", "anyOf", "oneOf") for index, one in
                enumerate(schema.get(word) or ())]  # fmt: skip
    branches += [("not", schema["not"])] if isinstance(schema.get("not"), dict) else []
    for name, one in branches:
        faults += [Fault.forbidden(f"{at}.{name}.{word}", why) for word, why in _FORBIDDEN.items() if one.get(word)]
    return faults
