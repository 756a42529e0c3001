"""In what our answers to the calls differ from a real node's: pure but for `rules`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.oracle import explained
from tests.oracle.compare import Difference
from tests.oracle.explained import Rule

Json = dict[str, Any]
# exit code, output and complaints of kubectl; status, type and body of HTTP; what came through a port; facts of a case.
ASPECTS = ("exit", "out", "err", "status", "type", "body", "port", "got", "alive", "state", "fact")


def rules() -> list[Rule]:
    """Known differences and their reasons. Raises ValueError naming the rule that is none."""
    return explained.load(Path(__file__).with_name("explained.yaml"), aspects=ASPECTS)


def runs_of(result: Json) -> list[Json]:
    """The different results that a case had."""
    found: list[Json] = result.get("unstable", [result])
    return [{key: value for key, value in each.items() if key != "took_s"} for each in found]


def differences(case: str, real: Json, ours: Json | None) -> list[Difference]:
    """From that of the real results which ours is most like."""
    if ours is None:
        return [Difference(case, "fact", "", "an answer", "none")]
    both = ((theirs, own) for theirs in runs_of(real) for own in runs_of(ours))
    return min((list(_between(case, theirs, own)) for theirs, own in both), key=len)


def all_differences(real: Mapping[str, Json], ours: Mapping[str, Json]) -> dict[str, list[Difference]]:
    """By case, of those that were played."""
    return {case: differences(case, real[case], ours[case]) for case in real if case in ours}


def _between(case: str, real: Json, ours: Json) -> Iterator[Difference]:
    for key in dict.fromkeys([*real, *ours]):
        theirs, own = real.get(key), ours.get(key)
        if theirs != own:
            aspect = key if key in ASPECTS else "state" if case.startswith("state/") else "fact"
            theirs, own = _parts(theirs, own)
            yield Difference(case, aspect, "" if aspect == key else key, _shown(theirs), _shown(own))


def _parts(real: Any, ours: Any) -> tuple[Any, Any]:
    """Of two long lists, what each alone has."""
    if isinstance(real, dict) and isinstance(ours, dict) and "keys" in real and "keys" in ours:
        real, ours = real["keys"], ours["keys"]
    if isinstance(real, list) and isinstance(ours, list) and len(real) + len(ours) > 12:
        return [each for each in real if each not in ours], [each for each in ours if each not in real]
    return real, ours


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
