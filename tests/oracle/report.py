"""What `make oracle` prints: a line a case, the differences that nothing explains, and a summary. Pure: texts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.oracle.compare import PLAIN, Difference, is_alike
from tests.oracle.explained import CAUSES, Judgement

_COLOURS = {"green": 32, "yellow": 33, "red": 31, "grey": 90}


def coloured(text: str, colour: str, *, colours: bool) -> str:
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colours else text


def table(found: Mapping[str, Sequence[Difference]], judgement: Judgement, *, colours: bool) -> str:
    """found: the differences of each case that was played."""
    unexplained = Counter(each.case for each in judgement.unexplained)
    width = max(map(len, found), default=0)
    lines = []
    for case, differences in sorted(found.items()):
        word, colour = ("alike", "green") if is_alike(differences) else ("differs", "yellow")
        if unexplained[case]:
            word, colour = f"{word}, {unexplained[case]} unexplained", "red"
        why = ", ".join(_reasons(case, judgement))
        shown = coloured(word, colour, colours=colours), coloured(why, "grey", colours=colours)
        lines.append(f"  {case:{width}}  {'  '.join(shown)}".rstrip())
    return "\n".join(lines)


def _reasons(case: str, judgement: Judgement) -> Sequence[str]:
    """The rules that explain why the case is not alike by the plain measure."""
    rules = (rule.id for each, rule in judgement.explained if each.case == case and each.aspect in PLAIN)
    return list(dict.fromkeys(rules))


def faults(judgement: Judgement, *, colours: bool) -> str:
    """What makes the run fail; empty if nothing does."""
    lines = [str(each) for each in judgement.unexplained]
    lines += [f"rule {rule.id} explains nothing any more: take it out of explained.yaml" for rule in judgement.stale]
    return "\n".join(coloured(line, "red", colours=colours) for line in lines)


def summary(found: Mapping[str, Sequence[Difference]], judgement: Judgement, *, kind: str) -> str:
    alike = sum(is_alike(each) for each in found.values())
    causes = Counter(rule.because for _, rule in judgement.explained)
    told = ", ".join(f"{count} by {CAUSES[cause]}" for cause, count in causes.most_common())
    return (
        f"{alike} of {len(found)} {kind} alike; {len(judgement.explained)} differences explained ({told or 'none'}), "
        f"{len(judgement.unexplained)} not"
    )
