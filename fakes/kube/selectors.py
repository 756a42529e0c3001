"""Label and field selectors: parsed once into a predicate over an object.

Grammar and messages follow k8s.io/apimachinery `pkg/labels/selector.go` and `pkg/fields/selector.go`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fakes.kube.errors import ApiError, bad_request
from fakes.kube.names import VALUE_RULE

Json = dict[str, Any]
Predicate = Callable[[Json], bool]

_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_COMPARE = re.compile(r"^(?P<key>[^=!<>\s]+)\s*(?P<op>==|=|!=|<|>)\s*(?P<value>[^=!<>\s]*)$")


@dataclass(frozen=True)
class Requirement:
    """One condition on one label. `op` is one of in, notin, exists, !, gt, lt."""

    key: str
    op: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        has = self.key in labels
        match self.op:
            case "in":
                return has and labels[self.key] in self.values
            case "notin":
                return not has or labels[self.key] not in self.values
            case "exists":
                return has
            case "!":
                return not has
            case _:
                return has and _compare(labels[self.key], self.op, self.values[0])


def _compare(left: str, op: str, right: str) -> bool:
    try:
        return int(left) > int(right) if op == "gt" else int(left) < int(right)
    except ValueError:
        return False


def parse_labels(text: str) -> list[Requirement]:
    """Requirements of a label selector, all of which must hold. Raises ApiError 400."""
    return [_requirement(part.strip(), text) for part in _split(text)] if text.strip() else []


def _split(text: str) -> list[str]:
    """Cut at the commas that stand outside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _requirement(part: str, whole: str) -> Requirement:
    if found := _SET.match(part):
        values = tuple(sorted(value.strip() for value in found["values"].split(",")))
        made = Requirement(found["key"], found["op"], values)
    elif found := _COMPARE.match(part):
        op = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}[found["op"]]
        made = Requirement(found["key"], op, (found["value"],))
    elif part.startswith("!"):
        made = Requirement(part[1:].strip(), "!")
    else:
        made = Requirement(part, "exists")
    if not _KEY.match(made.key) or len(made.key.rpartition("/")[2]) > 63:
        raise _unparsable(
            whole, f"found '{made.key}', expected: identifier" if " " in part or not part else "invalid label key"
        )
    for value in made.values:
        if not _VALUE.match(value) or len(value) > 63:
            raise _unparsable(whole, f'values[0][{made.key}]: Invalid value: "{value}": {VALUE_RULE}')
        if made.op in ("gt", "lt") and not re.fullmatch(r"-?\d+", value):
            rule = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unparsable(whole, f'values[0][{made.key}]: Invalid value: "{value}": {rule}')
    return made


def _unparsable(whole: str, why: str) -> ApiError:
    return bad_request(f'unable to parse requirement: {why} (in "{whole}")')


def label_predicate(text: str) -> Predicate | None:
    """The test a label selector makes, None when it accepts everything."""
    requirements = parse_labels(text)
    if not requirements:
        return None

    def matches(obj: Json) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement.matches(labels) for requirement in requirements)

    return matches


def object_selector(selector: Json | None) -> Callable[[Mapping[str, str]], bool]:
    """The test a metav1.LabelSelector makes on labels. None selects nothing, `{}` everything."""
    if selector is None:
        return lambda _labels: False
    wanted = [Requirement(key, "in", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    ops = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for expression in selector.get("matchExpressions") or []:
        values = tuple(expression.get("values") or ())
        wanted.append(Requirement(expression["key"], ops[expression["operator"]], values))
    return lambda labels: all(requirement.matches(labels) for requirement in wanted)


def parse_fields(text: str) -> list[tuple[str, bool, str]]:
    """(field, must be equal, value) for each term of a field selector. Raises ApiError 400."""
    terms = []
    for part in re.split(r"(?<!\\),", text) if text.strip() else []:
        if not part:
            continue
        found = re.match(r"^([^=!]*)(!=|==|=)((?:[^=\\]|\\.)*)$", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append((found[1].strip(), found[2] != "!=", re.sub(r"\\(.)", r"\1", found[3])))
    return terms


def field_predicate(text: str, supported: Sequence[str], where: str) -> Predicate | None:
    """The test a field selector makes. `where` names the resource in the error for an unknown field."""
    terms = parse_fields(text)
    for field, _, _ in terms:
        if field not in supported:
            raise bad_request(
                f'Unable to find "{where}" that match label selector "", field selector "{text}": '
                f"field label not supported: {field}"
            )
    if not terms:
        return None
    paths = [(tuple(field.split(".")), equal, value) for field, equal, value in terms]

    def matches(obj: Json) -> bool:
        return all((_field(obj, path) == value) is equal for path, equal, value in paths)

    return matches


def _field(obj: Json, path: tuple[str, ...]) -> str:
    value: Any = obj
    if path in _COMPUTED:
        return _COMPUTED[path](obj)
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


_COMPUTED: dict[tuple[str, ...], Callable[[Json], str]] = {
    ("spec", "unschedulable"): lambda node: "true" if (node.get("spec") or {}).get("unschedulable") else "false",
    ("spec", "hostNetwork"): lambda pod: "true" if (pod.get("spec") or {}).get("hostNetwork") else "false",
    ("status", "successful"): lambda job: str((job.get("status") or {}).get("succeeded", 0)),
    ("status", "replicas"): lambda item: str((item.get("status") or {}).get("replicas", 0)),
    ("source",): lambda event: (event.get("source") or {}).get("component") or event.get("reportingComponent", ""),
}
