"""What can be said of one field of a pod: carried, harmless or refused; and the walk that holds a pod against it.

A rule describes the value of one field. Fields that no rule names are refused too, so that a field which Kubernetes
adds tomorrow is never dropped without a word. A null is the same as an absent field everywhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from vk_provider import bounds
from vk_provider.errors import Refusal
from vk_provider.model.quantity import parse

EMPTY: Sequence[object] = (False, "", [], {})  # says nothing; 0 is not among them, since 0 is a user id

_ENDLESS = re.compile(r"[eE][+-]?\d{3}|^.{41}", re.DOTALL)  # 1e999999999 parses, in a day or so

Check = Callable[[object], str]  # a value of the right type → what is wrong with it, empty = nothing


class Type(Enum):
    """The JSON types of plain values, as a person would name them."""

    TEXT = "a text"
    FLAG = "true or false"
    WHOLE = "a whole number"
    QUANTITY = "a quantity such as 500m, 2 or 1Gi"
    PORT = "a port's number or name"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value that is carried."""

    type: Type
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object of known fields; `required` ones must be there and not empty."""

    fields: Mapping[str, Rule]
    required: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, every item under one rule."""

    item: Rule


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map with free keys. special: rules for keys of their own; other keys fall under `other`."""

    other: Rule
    special: Mapping[str, Rule] | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not carried, and nothing is lost by it on a virtual node: the reason says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not carried. `unless`: values that mean the same as leaving the field out."""

    reason: str
    unless: Sequence[object] = EMPTY


Rule = Scalar | ObjectOf | ListOf | MapOf | Ignored | Rejected


@dataclass(frozen=True, slots=True)
class Finding:
    """A refusal; `malformed` when the value is not even of the field's type, so that nothing can be read off it."""

    refusal: Refusal
    malformed: bool = False


UNKNOWN = Rejected(
    "this field is not known here, so it would be lost without a word; remove it, or update the provider"
)


def walk(rule: Rule, value: object, path: str) -> Sequence[Finding]:
    """Everything in `value` that the rule does not let pass, in the order of the value; as much as anybody reads."""
    found = _Findings()
    with suppress(_Enough):
        _walk(rule, value, path, found)
    return found


class _Enough(Exception):
    """More is wrong than anybody reads."""


class _Findings(list[Finding]):
    """Raises _Enough once it is long."""

    def append(self, finding: Finding) -> None:
        super().append(finding)
        if len(self) >= bounds.MOST_REFUSALS:
            raise _Enough

    def extend(self, findings: Iterable[Finding]) -> None:
        for each in findings:
            self.append(each)


def _walk(rule: Rule, value: object, path: str, found: list[Finding]) -> None:
    """A list to add to, not an iterator: each pod is walked, and most have nothing to be found."""
    match rule:
        case Scalar(type_, check):
            if not _is(type_, value):
                found.append(_malformed(path, f"must be {type_.value}"))
            elif check is not None and (fault := check(value)):
                found.append(Finding(Refusal(path, fault)))
        case ObjectOf():
            _walk_object(rule, value, path, found)
        case ListOf(item):
            _walk_list(item, value, path, found)
        case MapOf():
            _walk_entries(rule, value, path, found)
        case Rejected(reason, unless):
            if not any(_same(value, neutral) for neutral in unless):
                found.append(Finding(Refusal(path, reason)))
        case Ignored():
            return


def _passes(rule: Rule, value: object) -> bool:
    """What most fields of most pods are, told without going on to them or writing their path."""
    kind = type(rule)
    if kind is Scalar:
        return rule.check is None and rule.type is Type.TEXT and isinstance(value, str)  # type: ignore[union-attr]
    return kind is Ignored


def one_of(*allowed: str, instead: str = "") -> Check:
    """Allows these texts and the empty one, which stands for the default."""
    listed = ", ".join(allowed)

    def check(value: object) -> str:
        if value == "" or value in allowed:
            return ""
        return f"{value} is not carried here, only {listed}" + (f"; {instead}" if instead else "")

    return check


def inside(value: object) -> str:
    """Checks that a path stays below where it is mounted."""
    text = str(value)
    if text.startswith("/") or ".." in text.split("/"):
        return "must be a relative path without `..`"
    return ""


def names_file(value: object) -> str:
    """As `inside`, for a path at which a file is to stand: a leading `..` is what a kubelet keeps for itself."""
    text = str(value)
    if text.startswith("..") or not text.strip("./"):
        return "must name a file, and not begin with `..`"
    return inside(value)


def is_address(value: object) -> str:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return f"{value} is no IP address"
    return ""


def not_negative(value: object) -> str:
    return "must not be negative" if parse(str(value)) < 0 else ""


def whole_and_not_negative(value: object) -> str:
    number = parse(str(value))
    return "" if number >= 0 and number.denominator == 1 else "must be a whole number, and not negative"


def _walk_object(rule: ObjectOf, value: object, path: str, found: list[Finding]) -> None:
    if not isinstance(value, Mapping):
        found.append(_malformed(path, "must be an object"))
        return
    for name, content in value.items():
        if content is not None and not _passes(inner := rule.fields.get(name, UNKNOWN), content):
            _walk(inner, content, f"{path}.{name}" if path else str(name), found)
    missing = [name for name in rule.required if value.get(name) in (None, "", [], {})]
    found.extend(_malformed(f"{path}.{name}" if path else name, "must be given") for name in missing)


def _walk_list(item: Rule, value: object, path: str, found: list[Finding]) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        found.append(_malformed(path, "must be a list"))
        return
    for index, content in enumerate(value):
        if not _passes(item, content):
            _walk(item, content, f"{path}[{index}]", found)


def _walk_entries(rule: MapOf, value: object, path: str, found: list[Finding]) -> None:
    if not isinstance(value, Mapping):
        found.append(_malformed(path, "must be an object"))
        return
    special = rule.special or {}
    for key, content in value.items():
        if content is not None and not _passes(inner := special.get(key, rule.other), content):
            _walk(inner, content, f"{path}[{key}]", found)


def _malformed(path: str, reason: str) -> Finding:
    return Finding(Refusal(path, reason), malformed=True)


def _is(type_: Type, value: object) -> bool:
    match type_:
        case Type.TEXT:
            return isinstance(value, str)
        case Type.FLAG:
            return isinstance(value, bool)
        case Type.WHOLE:
            return isinstance(value, int) and not isinstance(value, bool)
        case Type.QUANTITY:
            return isinstance(value, str | int | float) and _parses(value)
        case Type.PORT:
            return isinstance(value, str | int) and not isinstance(value, bool)


def _parses(value: str | int | float) -> bool:
    if _ENDLESS.search(str(value)):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _same(value: object, neutral: object) -> bool:
    return type(value) is type(neutral) and value == neutral  # because 0 == False
