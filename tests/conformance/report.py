"""What a run of Kubernetes' tests says, group by group, beside what was expected: pure but for reading files.

`expected.yaml` is a list of the tests that fail, by their whole text as the report has it:

    tests:   the names, or patterns of them
    because: cloud | choice | gap | fake
    why:     in words for users
    source:  the documentation that makes it impossible, for `cloud`
    sometimes: true if the moment decides, so that it may pass; the table counts it as failed all the same
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
EXPECTED = Path(__file__).with_name("expected.yaml")
CAUSES = ("cloud", "choice", "gap", "fake")
_PASSED, _LEFT_OUT = "passed", ("skipped", "pending")
_TAG = re.compile(r"\s*\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Result:
    """group: what its tests are about, as Kubernetes names it. message: of the failure."""

    group: str
    name: str
    passed: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    tests: Sequence[str]
    because: str
    why: str
    source: str
    sometimes: bool = False

    def fits(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in self.tests)


def load(path: Path = EXPECTED) -> list[Rule]:
    """Raises ValueError naming what is wrong with a rule."""
    rules = []
    for each in yaml.safe_load(path.read_text()) or ():
        why, source, sometimes = " ".join(each["why"].split()), each.get("source", ""), bool(each.get("sometimes"))
        rule = Rule(each["tests"], each["because"], why, source, sometimes)
        if rule.because not in CAUSES:
            raise ValueError(f"{rule.because} is no cause")
        if rule.because == "cloud" and not rule.source:
            raise ValueError(f"the cloud's reason needs a source: {rule.why}")
        rules.append(rule)
    return rules


def results(report: Sequence[Json]) -> list[Result]:
    """report: ginkgo's, as JSON. Of each test that was chosen, in the order of their names."""
    found = []
    for suite in report:
        for spec in suite["SpecReports"] or ():
            if spec["LeafNodeType"] != "It" or spec["State"] in _LEFT_OUT:
                continue
            texts = [*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]]
            message = (spec.get("Failure") or {}).get("Message", "")
            found.append(Result(_group(texts[0]), " ".join(texts), spec["State"] == _PASSED, message))
    return sorted(found, key=lambda each: each.name)


def _group(text: str) -> str:
    return _TAG.sub("", text).strip()


@dataclass(frozen=True, slots=True)
class Judgement:
    """surprises: failures that no rule expects; cured: tests that pass although a rule expects that they fail."""

    surprises: Sequence[Result]
    cured: Sequence[Result]

    @property
    def is_good(self) -> bool:
        return not self.surprises and not self.cured


def judge(found: Sequence[Result], rules: Sequence[Rule]) -> Judgement:
    expected = {each.name for each in found if any(rule.fits(each.name) for rule in rules)}
    return Judgement(
        surprises=[each for each in found if not each.passed and each.name not in expected],
        cured=[each for each in counted(found, rules) if each.passed and each.name in expected],
    )


def counted(found: Sequence[Result], rules: Sequence[Rule]) -> list[Result]:
    """With those failed whose outcome is of the moment: what a pass of theirs proves is luck."""
    of_the_moment = [rule for rule in rules if rule.sometimes]
    return [
        replace(each, passed=each.passed and not any(rule.fits(each.name) for rule in of_the_moment)) for each in found
    ]


def stale(found: Sequence[Result], rules: Sequence[Rule]) -> list[str]:
    """Patterns of rules that no test of a whole run fits."""
    return [
        pattern
        for rule in rules
        for pattern in rule.tests
        if not any(Rule([pattern], "", "", "").fits(each.name) for each in found)
    ]


def table(found: Sequence[Result], rules: Sequence[Rule]) -> str:
    """Markdown: a row a group. Says the same of the same results, whatever their order."""
    groups: dict[str, list[Result]] = {}
    found = counted(found, rules)
    for each in sorted(found, key=lambda result: (result.group, result.name)):
        groups.setdefault(each.group, []).append(each)
    whole = [name for name, tests in groups.items() if all(each.passed for each in tests)]
    rows = [_row(", ".join(whole), [each for name in whole for each in groups[name]], rules)] if whole else []
    rows += [_row(name, tests, rules) for name, tests in groups.items() if name not in whole]
    passed = sum(each.passed for each in found)
    head = ["| group | passes | what fails, and why |", "|---|---|---|"]
    return "\n".join([*head, *rows, f"| **all** | **{passed} of {len(found)}** | |"])


def _row(name: str, tests: Sequence[Result], rules: Sequence[Rule]) -> str:
    passed = sum(each.passed for each in tests)
    return f"| {name} | {passed} of {len(tests)} | {'; '.join(_reasons(tests, rules))} |".replace("|  |", "| |")


def _reasons(tests: Iterable[Result], rules: Sequence[Rule]) -> list[str]:
    counted: Counter[str] = Counter()
    for each in tests:
        if not each.passed:
            rule = next((rule for rule in rules if rule.fits(each.name)), None)
            source = f" ({rule.source})" if rule and rule.source else ""
            counted[f"{rule.why}{source}" if rule else "nobody knows yet"] += 1
    return [f"{count}: {why}" for why, count in sorted(counted.items())]


def faults(judgement: Judgement) -> str:
    lines = [f"fails, which nobody expected: {each.name}\n    {_first_lines(each)}" for each in judgement.surprises]
    lines += [f"passes, take it out of expected.yaml: {each.name}" for each in judgement.cured]
    return "\n".join(lines)


def _first_lines(result: Result) -> str:
    return "\n    ".join(result.message.strip().splitlines()[:6])


def with_table(page: str, text: str) -> str:
    """The page with this between its marks. Raises ValueError if it has none."""
    begin, end = "<!-- table -->", "<!-- end of table -->"
    head, mark, rest = page.partition(begin)
    if not mark or end not in rest:
        raise ValueError(f"the page has no {begin}")
    return f"{head}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
