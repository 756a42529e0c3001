"""In what our run of a case differs from a real node's: pure.

What must be alike: each container's path is part of the real one, in its order, and ends as it does; so do the phase
and its reason, each condition, and what was ready. A status that one saw and the other skipped is no difference, since
a watch shows the newest. Events and logs are compared as they are; how often an event came is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
PLAIN = frozenset({"path", "phase"})  # the plain measure: a case without differences in these is alike
ASPECTS = ("path", "phase", "deleted", "last", "ready", "condition", "event", "words", "log", "message", "field")


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """aspect: one of ASPECTS. subject: the container, the condition, or empty. real, ours: empty where one has none."""

    case: str
    aspect: str
    subject: str
    real: str
    ours: str

    def __str__(self) -> str:
        what = f"{self.aspect} {self.subject}".strip()
        return f"{self.case}: {what}\n    real: {self.real or '-'}\n    ours: {self.ours or '-'}"


def differences(case: str, real_runs: Sequence[Json], ours: Json) -> list[Difference]:
    """From the real run that ours is most like: a real node's runs differ, too."""
    return min((list(_between(case, real, ours)) for real in real_runs), key=_weight)


def is_alike(found: Iterable[Difference]) -> bool:
    """By the plain measure."""
    return not any(each.aspect in PLAIN for each in found)


def _weight(found: Sequence[Difference]) -> tuple[int, int]:
    return sum(each.aspect in PLAIN for each in found), len(found)


def _between(case: str, real: Json, ours: Json) -> Iterator[Difference]:
    yield from _paths(case, "path", real["paths"], ours["paths"])
    yield from _paths(case, "phase", {"": _short(real["phase"])}, {"": _short(ours["phase"])})
    if _short(real["phase"])[-1:] == _short(ours["phase"])[-1:]:
        yield from _values(case, "message", {"phase": _message(real["phase"])}, {"phase": _message(ours["phase"])})
    if real["deleted"] != ours["deleted"]:
        yield Difference(case, "deleted", "", str(real["deleted"]), str(ours["deleted"]))
    yield from _values(case, "last", real["last"], ours["last"])
    yield from _paths(case, "ready", real["ready"], ours["ready"])
    yield from _paths(case, "condition", _with_last_words(real), _with_last_words(ours))
    yield from _events(case, real["events"], ours["events"])
    yield from _values(case, "log", real["logs"], ours["logs"])
    yield from _sets(case, "message", _messages(real), _messages(ours))
    yield from _sets(case, "field", real["fields"], ours["fields"])


def _with_last_words(run: Json) -> dict[str, list[str]]:
    """Each condition's path by status and reason; the message counts at the end only, for on the way it names what one
    has seen start so far."""
    return {
        type_: [*_short(path), f"and says {path[-1].partition(': ')[2] or 'nothing'}"]
        for type_, path in run["conditions"].items()
    }


def _paths(
    case: str, aspect: str, real: Mapping[str, Sequence[str]], ours: Mapping[str, Sequence[str]]
) -> Iterator[Difference]:
    for subject in dict.fromkeys([*real, *ours]):
        theirs, own = real.get(subject, ()), _without_early_waits(ours.get(subject, ()), real.get(subject, ()))
        if not is_part_with_end(own, theirs):
            yield Difference(case, aspect, subject, " → ".join(theirs), " → ".join(own))


def _without_early_waits(ours: Sequence[str], real: Sequence[str]) -> list[str]:
    """Between two tries a kubelet shows how the last one ended until its next sync, then that it waits: where one
    changes to the other is a matter of the moment."""
    return [step for step in ours if not any(_goes_with(step, other) for other in real)]


def _goes_with(wait: str, step: str) -> bool:
    """Whether the step is the end of the try that this wait follows."""
    if wait.startswith("waiting ImagePullBackOff"):
        return step == wait.replace("ImagePullBackOff", "ErrImagePull")
    if not wait.startswith("waiting CrashLoopBackOff"):
        return False
    return step.startswith("terminated ") and step.partition(" restarts ")[2] == wait.partition(" restarts ")[2]


def is_part_with_end(ours: Sequence[str], real: Sequence[str]) -> bool:
    """Whether `ours` is `real` with steps left out, none of them the last."""
    if not ours or not real:
        return not ours and not real
    rest = iter(real)
    return ours[-1] == real[-1] and all(step in rest for step in ours)


def _values(case: str, aspect: str, real: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[Difference]:
    for subject in dict.fromkeys([*real, *ours]):
        if real.get(subject) != ours.get(subject):
            yield Difference(case, aspect, subject, real.get(subject) or "", ours.get(subject) or "")


def _sets(case: str, aspect: str, real: Sequence[str], ours: Sequence[str]) -> Iterator[Difference]:
    for missing in sorted(set(real) - set(ours)):
        yield Difference(case, aspect, "", missing, "")
    for extra in sorted(set(ours) - set(real)):
        yield Difference(case, aspect, "", "", extra)


def _events(case: str, real: Sequence[str], ours: Sequence[str]) -> Iterator[Difference]:
    """By type, reason and container; and, where both have one, by its words."""
    theirs, own = _by_head(real), _by_head(ours)
    for head in dict.fromkeys([*theirs, *own]):
        missing = [each for each in theirs.get(head, ()) if each not in own.get(head, ())]
        extra = [each for each in own.get(head, ()) if each not in theirs.get(head, ())]
        if head not in own or head not in theirs:
            yield Difference(case, "event", head, " | ".join(missing), " | ".join(extra))
        elif missing or extra:
            yield Difference(case, "words", head, " | ".join(missing), " | ".join(extra))


def _by_head(events: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in events:
        head, _, words = each.partition(": ")
        found.setdefault(head, []).append(words)
    return found


def _message(phases: Sequence[str]) -> str:
    return phases[-1].partition(": ")[2] if phases else ""


def _messages(run: Json) -> list[str]:
    return [f"{name}: {line}" for name, lines in run["messages"].items() for line in lines]


def _short(phases: Sequence[str]) -> list[str]:
    """Phase and reason, without the message."""
    short: list[str] = []
    for each in phases:
        head = each.partition(": ")[0]
        if not short or short[-1] != head:
            short.append(head)
    return short
