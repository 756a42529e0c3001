"""What a node said of a pod, cut down to what another node can be held to: pure.

A *run* is one play of a case, as JSON:

    {"paths":      {CONTAINER: ["waiting ContainerCreating", "running", "terminated Error 1", …]},
     "ready":      {CONTAINER: ["", "started ready", …]},
     "messages":   {CONTAINER: ["ErrImagePull: …", …]},
     "last":       {CONTAINER: "Error 1"},             # lastState at the end, where there is one
     "phase":      ["Pending", "Running", "Failed DeadlineExceeded: …"],
     "conditions": {TYPE: ["False ContainersNotReady: …", "True", …]},
     "fields":     ["podIP", "containerStatuses.user", …],
     "events":     ["Normal Pulled spec.containers{c}: …", …],
     "logs":       {CONTAINER: TEXT},
     "deleted":    bool, "took_s": SECONDS}

Every list is a path: each entry differs from the one before. A container's path has ` restarts N` from its first
restart on. Times, uids, addresses, ids and digests are words: TIME UID IP HOST ID DIGEST NS POD NODE.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
_WORDS = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"read udp [\d.:]+->", "read udp HOST->"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", "TIME"),
        (r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+", "..TIME"),
        (r"sha256:[0-9a-f]{64}", "DIGEST"),
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UID"),
        (r"\beci-[0-9a-z]{8,}\b", "INSTANCE"),
        (r"\bfe80::[0-9a-f:]+", "IP"),
        (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-XXXXX"),
    )
]


@dataclass(frozen=True, slots=True)
class Names:
    """What differs from run to run. pod: the made up part of a generated name, or empty."""

    namespace: str = ""
    pod: str = ""
    node: str = ""
    node_ip: str = ""
    pod_ip: str = ""


def plain(text: str, names: Names) -> str:
    """The text without what differs from run to run."""
    for value, word in ((names.namespace, "NS"), (names.pod, "POD")):
        text = text.replace(value, word) if value else text
    for value, word in ((names.pod_ip, "IP"), (names.node_ip, "HOST")):
        if value:
            text = re.sub(rf"(?<![\d.]){re.escape(value)}(?!\d|\.\d|(?:\\t| )localhost)", word, text)
    if names.node:
        text = re.sub(rf"\b{re.escape(names.node)}\b", "NODE", text)
    for pattern, word in _WORDS:
        text = pattern.sub(word, text)
    return text


def run_of(
    statuses: Sequence[Json],
    *,
    events: Sequence[Json],
    logs: Mapping[str, str],
    deleted: bool,
    took_s: float,
    names: Names,
) -> Json:
    """A run out of every status that a watch saw, oldest first, the events of the pod and its logs."""
    entries = [list(_entries(status)) for status in statuses]
    containers = list(dict.fromkeys(name for found in entries for name, _ in found))

    def along(line: Callable[[Json], str | None]) -> dict[str, list[str]]:
        paths = {}
        for name in containers:
            paths[name] = _path(line(each) for found in entries for who, each in found if who == name)
        return paths

    last = {name: _last(each) for name, each in (entries[-1] if entries else ())}
    run = {
        "paths": along(_state),
        "ready": along(_readiness),
        "messages": along(_message),
        "last": {name: text for name, text in last.items() if text},
        "phase": _path(_phase(status) for status in statuses),
        "conditions": _conditions(statuses),
        "fields": sorted(set(_fields(statuses[-1]))) if statuses else [],
        "events": list(dict.fromkeys(_event(each) for each in events)),
        "logs": dict(logs),
        "deleted": deleted,
    }
    said: Json = json.loads(plain(json.dumps(run), names))
    said["messages"] = {name: lines for name, lines in said["messages"].items() if lines}
    return {**said, "took_s": took_s}


def _entries(status: Json) -> Iterator[tuple[str, Json]]:
    for name in _LISTS:
        for each in status.get(name) or ():
            yield each["name"], each


def _path(lines: Iterator[str | None]) -> list[str]:
    """Without what is None, and without repetitions that follow each other."""
    path: list[str] = []
    for line in lines:
        if line is not None and (not path or path[-1] != line):
            path.append(line)
    return path


def _state(entry: Json) -> str:
    kind, state = next(iter((entry.get("state") or {}).items()), ("waiting", {}))
    words = [kind, state.get("reason") or "", str(state["exitCode"]) if kind == "terminated" else ""]
    if restarts := entry.get("restartCount"):
        words.append(f"restarts {restarts}")
    return " ".join(filter(None, words))


def _readiness(entry: Json) -> str:
    return " ".join(filter(None, ("started" if entry.get("started") else "", "ready" if entry.get("ready") else "")))


def _message(entry: Json) -> str | None:
    state = next(iter((entry.get("state") or {}).values()), {})
    return f"{state.get('reason', '')}: {state['message']}" if state.get("message") else None


def _last(entry: Json) -> str:
    end = (entry.get("lastState") or {}).get("terminated")
    return f"{end.get('reason', '')} {end['exitCode']}" if end else ""


def _phase(status: Json) -> str | None:
    return _reasoned(status["phase"], status) if status.get("phase") else None


def _conditions(statuses: Sequence[Json]) -> dict[str, list[str]]:
    types = dict.fromkeys(each["type"] for status in statuses for each in status.get("conditions") or ())
    return {
        type_: _path(
            _reasoned(each["status"], each)
            for status in statuses
            for each in status.get("conditions") or ()
            if each["type"] == type_
        )
        for type_ in sorted(types)
    }


def _reasoned(word: str, said: Json) -> str:
    reason, message = said.get("reason") or "", said.get("message") or ""
    return " ".join(filter(None, (word, reason))) + (f": {message}" if message else "")


def _fields(status: Json) -> Iterator[str]:
    for name, value in status.items():
        if value in (None, [], ""):
            continue
        yield name
        if name in _LISTS:
            for entry in value:
                yield from (f"{name}.{key}" for key, each in entry.items() if each not in (None, ""))


def _event(each: Json) -> str:
    field = (each.get("involvedObject") or {}).get("fieldPath") or ""
    head = " ".join(filter(None, (each.get("type"), each.get("reason"), field)))
    return f"{head}: {each.get('message', '')}"


def written(record: Json) -> str:
    """JSON with a line for each list, so that a change is read line by line."""

    def lines(value: object, depth: int) -> str:
        inner = " " * (depth + 1)
        if isinstance(value, dict) and value:
            parts = [f"{inner}{json.dumps(key)}: {lines(each, depth + 1)}" for key, each in value.items()]
            return "{\n" + ",\n".join(parts) + f"\n{' ' * depth}}}"
        if isinstance(value, list) and any(len(str(each)) > 40 or isinstance(each, dict) for each in value):
            return "[\n" + ",\n".join(f"{inner}{lines(each, depth + 1)}" for each in value) + f"\n{' ' * depth}]"
        return json.dumps(value, ensure_ascii=False)

    return lines(record, 0) + "\n"
