"""Differences that are known, each with what forces it: pure but for `load`.

`explained.yaml` is a list of rules. One rule may explain many differences; a difference that none explains is a fault,
and so is a rule that explains nothing any more.

    id:        its name
    aspect:    of the difference (compare.ASPECTS), or a list of them
    case:      a pattern of case names, or a list (default: all)
    subject:   a pattern (default: any)
    real:      a regular expression found in the real side (default: anything)
    ours:      the same for our side
    because:   cloud | choice | gap | fake | record
    why:       what forces it, in words for users
    source:    where that is written, as `eci.md 2.1`
    sometimes: true if it depends on the moment, so that its absence proves nothing
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.oracle.case import RECORDS
from tests.oracle.compare import ASPECTS, Difference

FILE = Path(__file__).with_name("explained.yaml")
CAUSES = {
    "cloud": "the cloud's interface or way of working",
    "choice": "a decision of this project",
    "gap": "what is not done yet",
    "fake": "the fake cloud is poorer than ECI, or than a kernel of one's own",
    "record": "the record depends on where or when it was made",
}
_KEYS = frozenset({"id", "aspect", "case", "subject", "real", "ours", "because", "why", "source", "sometimes"})


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    aspects: Sequence[str]
    cases: Sequence[str]
    subject: str
    real: re.Pattern[str]
    ours: re.Pattern[str]
    because: str
    why: str
    source: str
    sometimes: bool

    def explains(self, found: Difference) -> bool:
        return (
            found.aspect in self.aspects
            and any(fnmatchcase(found.case, pattern) for pattern in self.cases)
            and fnmatchcase(found.subject, self.subject)
            and self.real.search(found.real) is not None
            and self.ours.search(found.ours) is not None
        )


def load(path: Path = FILE, *, aspects: Sequence[str] = ASPECTS) -> list[Rule]:
    """aspects: those that differences can have. Raises ValueError naming the rule that is none."""
    rules = [_rule(each, aspects) for each in yaml.safe_load(path.read_text())]
    doubled = {rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1}
    if doubled:
        raise ValueError(f"more than one rule is called {min(doubled)}")
    return rules


@dataclass(frozen=True, slots=True)
class Judgement:
    """explained: each difference with the rule that explains it. stale: rules that should have explained something."""

    explained: Sequence[tuple[Difference, Rule]]
    unexplained: Sequence[Difference]
    stale: Sequence[Rule]

    @property
    def is_good(self) -> bool:
        return not self.unexplained and not self.stale


def all_cases() -> list[str]:
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def judge(
    found: Iterable[Difference], rules: Sequence[Rule], *, played: Sequence[str], every: Sequence[str] = ()
) -> Judgement:
    """played: the cases that were played; a rule whose cases were not all played cannot be stale.

    every: the cases that there are; by default all that are recorded.
    """
    explained: list[tuple[Difference, Rule]] = []
    unexplained: list[Difference] = []
    for each in found:
        rule = next((rule for rule in rules if rule.explains(each)), None)
        if rule is None:
            unexplained.append(each)
        else:
            explained.append((each, rule))
    used = {rule.id for _, rule in explained}
    stale = [
        rule
        for rule in rules
        if rule.id not in used and not rule.sometimes and _was_played(rule, played, every or all_cases())
    ]
    return Judgement(explained, unexplained, stale)


def _was_played(rule: Rule, played: Sequence[str], every: Sequence[str]) -> bool:
    """Each case that the rule is for was."""
    return all(case in played for case in every if any(fnmatchcase(case, each) for each in rule.cases))


def _rule(text: dict[str, Any], known: Sequence[str]) -> Rule:
    name = text.get("id") or "without an id"
    text = {key: value for key, value in text.items() if value}
    if unknown := set(text) - _KEYS:
        raise ValueError(f"rule {name}: unknown key {min(unknown)}")
    if missing := {"id", "aspect", "because", "why"} - set(text):
        raise ValueError(f"rule {name}: {min(missing)} is missing")
    aspects = _list(text["aspect"])
    if wrong := set(aspects) - set(known):
        raise ValueError(f"rule {name}: {min(wrong)} is no aspect")
    if text["because"] not in CAUSES:
        raise ValueError(f"rule {name}: {text['because']} is no cause")
    if text["because"] == "cloud" and not text.get("source"):
        raise ValueError(f"rule {name}: the cloud's reason needs a source")
    return Rule(
        id=name,
        aspects=aspects,
        cases=_list(text.get("case", "*")),
        subject=text.get("subject", "*"),
        real=re.compile(text.get("real", ""), re.DOTALL),
        ours=re.compile(text.get("ours", ""), re.DOTALL),
        because=text["because"],
        why=" ".join(text["why"].split()),
        source=text.get("source", ""),
        sometimes=bool(text.get("sometimes")),
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
