"""Request bodies in Kubernetes' protobuf form, read into the JSON the same client would otherwise have sent. Pure.

Two rules: nothing is dropped that was said (a field the table does not know is refused by its number), and what Go
writes without having been told to (zero times, empty texts of fields that JSON omits) comes out as absent.
The layout is `k8s.io/apimachinery` `pkg/runtime/generated.proto` (Unknown) behind four marking bytes.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.kube.protobuf_fields import Field, Type, fields_of, message_of

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MARK = b"k8s\0"
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire types whose length is given by the type."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


class Malformed(ValueError):
    """The bytes are no object we know; the message says where and why."""


def decode(raw: bytes) -> Json:
    """One object in its envelope, with `apiVersion` and `kind`. Raises Malformed."""
    if not raw.startswith(_MARK):
        raise Malformed(f"provided data does not appear to be a protobuf message, expected prefix {list(_MARK)}")
    envelope = _message(raw[len(_MARK) :], "Unknown", {})
    if envelope.get("contentEncoding"):
        raise Malformed(f"the content encoding {envelope['contentEncoding']!r} is not supported")
    if envelope.get("contentType") not in (None, MEDIA_TYPE):
        raise Malformed(f"the nested content type {envelope['contentType']!r} is not supported")
    named = envelope.get("typeMeta") or {}
    api_version, kind = named.get("apiVersion", ""), named.get("kind", "")
    if not api_version or not kind:
        raise Malformed(f"Object '{'apiVersion' if kind else 'Kind'}' is missing in the envelope")
    message = message_of(api_version, kind)
    if message is None:
        raise Malformed(f'no kind "{kind}" is known for version "{api_version}" in protobuf form; send JSON')
    found: Json = {"kind": kind, "apiVersion": api_version}
    return _message(envelope.get("raw", b""), message, found)


def _message(raw: bytes, message: str, into: Json) -> Json:
    """Add a message's fields to `into`; a repeated single message is merged, as protobuf wants it."""
    fields = fields_of(message)
    for number, wire, value in _records(raw, message):
        field = fields.get(number)
        if field is None:
            raise Malformed(f"field number {number} of {message} is not known here")
        _put(field, wire, value, f"{message}.{field.name or number}", into)
    return into


def _put(field: Field, wire: int, value: int | bytes, at: str, into: Json) -> None:
    kind, name = field.type.kind, field.name
    if kind == "inline":
        _message(_bytes(wire, value, at), field.type.name, into)
    elif kind == "message":
        into[name] = _message(_bytes(wire, value, at), field.type.name, into.get(name) or {})
    elif kind == "list" and field.type.inner is not None:
        into.setdefault(name, []).extend(_items(field.type.inner, wire, value, at))
    elif kind == "map" and field.type.inner is not None:
        key, item = _entry(field.type.inner, _bytes(wire, value, at), at)
        into.setdefault(name, {}).update({} if item is None else {key: item})
    else:
        found = _value(field.type, wire, value, at)
        if found is None or (field.zero_is_unset and not found):
            into.pop(name, None)
        else:
            into[name] = found


def _items(inner: Type, wire: int, value: int | bytes, at: str) -> Iterator[Any]:
    """The one item of a record, or the many when numbers are packed into one."""
    if inner.kind == "i" and isinstance(value, bytes):
        position = 0
        while position < len(value):
            number, position = _varint(value, position, at)
            yield _signed(number)
    else:
        yield _value(inner, wire, value, at)


def _entry(inner: Type, raw: bytes, at: str) -> tuple[str, Any]:
    """A map's key and value; either may be missing, which means its zero."""
    key, wire, value = "", _BYTES, b""
    for number, found_wire, found in _records(raw, at):
        if number == 1:
            key = _text(_bytes(found_wire, found, at), at)
        elif number == 2:
            wire, value = _BYTES, _bytes(found_wire, found, at)
        else:
            raise Malformed(f"field number {number} of an entry of {at} is not known here")
    return key, _value(inner, wire, value, at)


def _value(wanted: Type, wire: int, value: int | bytes, at: str) -> Any:
    """One value as JSON; None for a time that is not set."""
    if wanted.kind in ("i", "b"):
        if not isinstance(value, int) or wire != _VARINT:
            raise Malformed(f"proto: wrong wireType = {wire} for field {at}")
        return value != 0 if wanted.kind == "b" else _signed(value)
    raw = _bytes(wire, value, at)
    match wanted.kind:
        case "message":
            return _message(raw, wanted.name, {})
        case "s":
            return _text(raw, at)
        case "o":
            return raw
        case "y":
            return base64.b64encode(raw).decode()
        case "t" | "m":
            return _time(raw, at, micro=wanted.kind == "m")
        case "q":
            return _message(raw, "Quantity", {}).get("string", "0")
        case "x":
            return _int_or_string(raw, at)
        case "j":
            return _json(_message(raw, "RawExtension", {}).get("raw", b""), at)
        case "e":
            return _message(raw, "ExtraValue", {}).get("items", [])
        case _:
            raise AssertionError(wanted.kind)


def _time(raw: bytes, at: str, *, micro: bool) -> str | None:
    """RFC 3339, UTC; Kubernetes keeps whole seconds, or microseconds for a MicroTime. None for Go's zero times."""
    if not raw:
        return None
    stamp = _message(raw, "Timestamp", {})
    try:
        when = _EPOCH + timedelta(seconds=stamp.get("seconds", 0), microseconds=stamp.get("nanos", 0) // 1000)
    except OverflowError as bad:
        raise Malformed(f"{at} is outside of the years 1 to 9999") from bad
    if when == _YEAR_ONE:
        return None
    return when.replace(tzinfo=None).isoformat(timespec="microseconds" if micro else "seconds") + "Z"


def _int_or_string(raw: bytes, at: str) -> int | str:
    found = _message(raw, "IntOrString", {})
    number: int = found.get("intVal", 0)
    text: str = found.get("strVal", "")
    match found.get("type", 0):
        case 0:
            return number
        case 1:
            return text
        case other:
            raise Malformed(f"impossible IntOrString.Type {other} in {at}")


def _json(raw: bytes, at: str) -> Any:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError) as bad:
        raise Malformed(f"{at} holds no JSON: {bad}") from bad


def _text(raw: bytes, at: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as bad:
        raise Malformed(f"{at} contains invalid UTF-8") from bad


def _bytes(wire: int, value: int | bytes, at: str) -> bytes:
    if wire != _BYTES or not isinstance(value, bytes):
        raise Malformed(f"proto: wrong wireType = {wire} for field {at}")
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _records(raw: bytes, at: str) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, number or content) one after the other."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position, at)
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise Malformed(f"proto: {at}: illegal tag {number} (wire type {wire})")
        value: int | bytes
        match wire:
            case 0:
                value, position = _varint(raw, position, at)
            case 1 | 2 | 5:
                length, position = (_FIXED[wire], position) if wire in _FIXED else _varint(raw, position, at)
                if length > len(raw) - position:
                    raise Malformed(f"{at}: unexpected EOF")
                value, position = raw[position : position + length], position + length
            case _:
                raise Malformed(f"proto: illegal wireType {wire} in {at}")
        yield number, wire, value


def _varint(raw: bytes, position: int, at: str) -> tuple[int, int]:
    """The number that begins at `position`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            raise Malformed(f"{at}: unexpected EOF")
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, position
    raise Malformed(f"{at}: proto: integer overflow")
