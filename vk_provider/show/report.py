"""Findings for people: a short block for each pod, in colour on a terminal, no line wider than it. Pure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from vk_provider.cloud import drivers
from vk_provider.show.manifests import Other
from vk_provider.show.verdicts import Findings, Outcome, Verdict

_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_COLOURS = {Outcome.RUNS: _GREEN, Outcome.WAITS: _YELLOW, Outcome.REFUSED: _RED}
_MANY = {Outcome.RUNS: "run", Outcome.WAITS: "wait", Outcome.REFUSED: "refused"}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LABEL = 8  # width of the first column
LEAST_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Style:
    """width: in columns; None = lines are as long as they are. request: whether wire lines are printed, too."""

    width: int | None = None
    colour: bool = False
    request: bool = False


PLAIN = Style()


def text(findings: Findings, style: Style = PLAIN) -> str:
    """The whole report. What stands in manifests cannot steer the terminal: control characters are written out."""
    places = {each.found.manifest.file for each in findings.verdicts} | {each.manifest.file for each in findings.others}
    page = _Page(style, placed=len(places) > 1, region=findings.region)
    blocks = [page.verdict(each) for each in findings.verdicts]
    blocks += [page.others(findings.others)] if findings.others else []
    blocks += [page.sum(findings.verdicts)] if len(findings.verdicts) > 1 else []
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def nothing_to_show(names: Sequence[str], findings: Findings) -> list[str]:
    """What to say of files without any pod."""
    if not findings.others:
        return [f"{name}: nothing in it" for name in names]
    found = [f"{each.title} {each.why}" if each.is_fault else each.title for each in findings.others]
    return [f"{', '.join(names)}: no pods, and nothing that is known to make pods; in it: {'; '.join(found)}"]


class _Page:
    """placed: whether each block tells its file, for there are several."""

    def __init__(self, style: Style, *, placed: bool, region: str) -> None:
        self._placed = placed
        self._region = region
        self._style = style
        self._width = max(style.width, LEAST_WIDTH) if style.width else 0

    def verdict(self, verdict: Verdict) -> list[str]:
        title, outcome = _plain(verdict.title), verdict.outcome
        lines = [f"{self._in(_BOLD, title)}  {self._in(_COLOURS[outcome], outcome.value)}"]
        if self._width and len(title) + 2 + len(outcome.value) > self._width:
            lines = [
                *(self._in(_BOLD, part) for part in self._wrapped(title, "", "")),
                self._in(_COLOURS[outcome], outcome.value),
            ]
        if self._placed:
            lines += self._row("in", verdict.found.manifest.place)
        if verdict.found.is_custom:
            lines += self._row("pod at", verdict.found.path)
        for refusal in verdict.placed_refusals:
            lines += self._refusal(refusal.field, refusal.reason)
        if verdict.waits_for:
            lines += self._row("for", verdict.waits_for)
        if verdict.draft is not None:
            lines += self._row("size", size(verdict))
            lines += self._row("price", price(verdict, self._region))
        for note in verdict.notes:
            lines += self._row("note", note, _YELLOW)
        if self._style.request and verdict.draft is not None:
            lines.append(f"  {self._in(_DIM, 'request')}")
            lines += self._request(verdict.request)
        return lines

    def others(self, others: Sequence[Other]) -> list[str]:
        """What is no pod: without a word each where that is as it should be, by kind."""
        lines = [self._in(_BOLD, "Without pods of their own")]
        plain = sorted(_plain(each.title) for each in others if not each.why)
        for kind, titles in groupby(plain, key=lambda title: title.partition(" ")[0]):
            lines += self._wrapped(f"{kind} {', '.join(title.partition(' ')[2] for title in titles)}", "  ", "    ")
        for each in others:
            if each.why:
                colour = _RED if each.is_fault else _YELLOW
                lines += self._coloured(f"{each.title}: {each.why}", "  ", "    ", colour)
        return lines

    def sum(self, verdicts: Sequence[Verdict]) -> list[str]:
        counts = [(each, sum(verdict.outcome is each for verdict in verdicts)) for each in Outcome]
        text = ", ".join(
            self._in(_COLOURS[each], f"{count} {each.value if count == 1 else _MANY[each]}")
            for each, count in counts
            if count
        )
        running = [each for each in verdicts if each.outcome is Outcome.RUNS]
        priced = [(each.draft.price, each.found.count.pods) for each in running if each.draft and each.draft.price]
        together = sum(price.per_hour * pods for price, pods in priced)
        known = f"; together {together:.4f} {priced[0][0].currency}/h" if priced else ""
        more = " and what only the cloud can price" if priced and len(priced) < len(running) else ""
        bare = re.sub(r"\x1b\[\d+m", "", text)
        if self._width and len(f"{len(verdicts)} workloads: {bare}{known}{more}") > self._width:
            return [f"{len(verdicts)} workloads: {text}", *self._wrapped(f"{known}{more}".lstrip("; "), "  ", "  ")]
        return [f"{len(verdicts)} workloads: {text}{known}{more}"]

    def _refusal(self, field: str, reason: str) -> list[str]:
        """Field and reason on one line where they fit, as `spec.hostPID: an instance shares …`."""
        line = f"  {field}: {reason}" if field else f"  {reason}"
        if not self._width or len(_plain(line)) <= self._width:
            whole = f"  {self._in(_RED, _plain(field))}: {_plain(reason)}" if field else f"  {_plain(reason)}"
            return [whole]
        if not field:
            return self._wrapped(reason, "  ", "  ")
        return [*self._coloured(field, "  ", "  ", _RED), *self._wrapped(reason, "      ", "      ")]

    def _row(self, label: str, content: str, colour: str = _DIM) -> list[str]:
        first, *more = self._wrapped(content, " " * (_LABEL + 2), " " * (_LABEL + 2))
        return [f"  {self._in(colour, label)}{' ' * (_LABEL - len(label))}{first[_LABEL + 2 :]}", *more]

    def _request(self, parameters: Mapping[str, str]) -> Iterator[str]:
        for name, value in in_order(parameters):
            line = f"    {name}={json.dumps(value, ensure_ascii=False)}"
            yield from self._wrapped(line.strip(), "    ", "      ")

    def _coloured(self, content: str, first: str, more: str, colour: str) -> list[str]:
        lines = self._wrapped(content, first, more)
        return [f"{line[: len(line) - len(line.lstrip())]}{self._in(colour, line.lstrip())}" for line in lines]

    def _wrapped(self, content: str, first: str, more: str) -> list[str]:
        one = _plain(content)
        if not self._width:
            return [first + one]
        return textwrap.wrap(
            one, self._width, initial_indent=first, subsequent_indent=more, break_on_hyphens=False
        ) or [first]

    def _in(self, colour: str, words: str) -> str:
        return f"\x1b[{colour}m{words}\x1b[0m" if self._style.colour else words


def size(verdict: Verdict) -> str:
    """What is billed, and what was asked for."""
    draft, (cpu, memory_gib) = verdict.draft, verdict.asked
    if draft is None:
        return ""
    billed = f"{draft.cpu:g} vCPU, {draft.memory_gib:g} GiB" if draft.cpu else f"that of {draft.choices[0]}"
    parts = [f"{cpu:g} vCPU" if cpu is not None else "", f"{memory_gib:.4g} GiB" if memory_gib is not None else ""]
    given = verdict.found.pod["metadata"]["annotations"] if verdict.found.pod else {}
    by_name = next((key for key in drivers.load(verdict.cloud).capabilities.annotations.sizes if given.get(key)), "")
    why = f"by annotation {by_name}" if by_name else "so the default size"
    asked = ", ".join(filter(None, parts))
    return f"{billed} (asked for {asked or 'nothing'}{'' if asked and not by_name else f', {why}'})"


def price(verdict: Verdict, region: str) -> str:
    """By the hour, for all pods at a time, and by the second for one."""
    found = verdict.draft.price if verdict.draft else None
    if verdict.draft is None or found is None:
        return "only the cloud knows it"
    count = verdict.found.count
    each = f"{found.per_hour:.4f} {found.currency}/h"
    times = (
        f" × {count.pods} {count.word} = {found.per_hour * count.pods:.4f} {found.currency}/h"
        if count.word and count.pods != 1
        else ""
    )
    total = f"; {count.total} pods in all" if count.total else ""
    upper = ", at most: a spot instance costs less" if is_upper_bound(verdict) else ""
    return f"{each}{times} (list price in {region}{upper}; {found.per_second:.8f} {found.currency}/s a pod{total})"


def is_upper_bound(verdict: Verdict) -> bool:
    return verdict.draft is not None and verdict.draft.choices[0].endswith("/spot")


def in_order(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """By name, numbers in names by value, so that Container.2 comes before Container.10."""

    def key(item: tuple[str, str]) -> list[tuple[int, int | str]]:
        return [(0, int(part)) if part.isdigit() else (1, part) for part in item[0].split(".")]

    return sorted(parameters.items(), key=key)


def _plain(words: str) -> str:
    """On one line, and without what a terminal would act on."""
    one = words.replace("\n", " ").replace("\t", " ")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), one)
