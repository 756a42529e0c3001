"""`python -m tests.chaos`: a seeded run of everything that can go wrong; ends with 1 and the auditor's lines if any.

The seed decides what happens and when it is begun; which line of the provider it meets, the machine decides. Not so
with --virtual: there the provider's core runs on virtual time between an API server and a cloud in memory, and the
seed decides all.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import neighbours
from tests.chaos.bugs import BUGS, NEIGHBOUR_BUGS
from tests.chaos.hostile import SIZES
from tests.chaos.run import ACCIDENTS, INSTANCES, PODS, REST_S, STARTS, Outcome, Plan, play
from tests.chaos.virtual import many

LONG = Plan(0, faults=50, jobs=150, lasts_s=90.0)
SHORT = Plan(0, faults=14, jobs=25, lasts_s=12.0)  # a seed of many: half a minute, most of which is coming to rest
COLUMNS = {"pods": PODS, "instances": INSTANCES, "starts": STARTS, "accidents": ACCIDENTS, "s to rest": REST_S}


@dataclass(frozen=True, slots=True)
class Row:
    """One seed of many; one that was not played to its end has no facts."""

    seed: int
    took_s: float
    outcome: Outcome

    def cells(self) -> Iterator[str]:
        yield str(self.seed)
        yield from (str(self.outcome.facts.get(fact, "–")) for fact in COLUMNS.values())
        yield f"{self.took_s:.0f}"
        yield str(len(self.outcome.complaints))


def main() -> int:
    words = _arguments()
    if words.virtual:
        if words.seed is not None and not words.seeds:
            return 0 if many.one(words.seed, _say, beside=words.neighbours, sizes=words.sizes) else 1
        return (
            0 if many.many(words.seed or 0, words.seeds or 200, _say, beside=words.neighbours, sizes=words.sizes) else 1
        )
    first = words.seed if words.seed is not None else random.SystemRandom().randrange(10**6)
    if words.neighbours:
        return _neighbours(first, words)
    usual = SHORT if words.seeds else LONG
    directory = words.keep or Path(tempfile.mkdtemp(prefix="vk-chaos-"))
    rows: list[Row] = []
    for seed in range(first, first + (words.seeds or 1)):
        plan = Plan(
            seed,
            faults=words.faults if words.faults is not None else usual.faults,
            jobs=words.jobs if words.jobs is not None else usual.jobs,
            lasts_s=words.seconds if words.seconds is not None else usual.lasts_s,
            real=words.real,
            bug=words.plant or "",
            settles_within_s=words.settle,
        )
        rows.append(_played(plan, directory / str(seed) if words.seeds else directory, keep=words.keep is not None))
    if words.seeds:
        _say(table(rows))
    return 1 if any(row.outcome.complaints for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the run with this seed (default: a new one, printed)")
    parser.add_argument("--seeds", type=int, metavar="N", help="so many from there on, each shorter, and a table")
    parser.add_argument("--seconds", type=float, help="how long trouble lasts (90; 12 of many)")
    parser.add_argument("--faults", type=int, help="how many troubles in that time (50; 14 of many)")
    parser.add_argument("--jobs", type=int, help="Jobs in the story (150; 25 of many)")
    parser.add_argument("--settle", type=float, default=240.0, help="seconds within which all must come to rest (240)")
    parser.add_argument("--real", action="store_true", help="on real Kubernetes, found or built as `make e2e` does")
    parser.add_argument("--neighbours", action="store_true", help="honest bursts beside bad neighbours, nothing broken")
    parser.add_argument("--sizes", choices=SIZES, default="modest", help="of what hostile tenants write (modest)")
    parser.add_argument(
        "--plant", choices=[*BUGS, *NEIGHBOUR_BUGS], help="give the provider this bug; the auditor must complain"
    )
    parser.add_argument(
        "--keep", type=Path, help="folder for the logs of all parts (default: kept if anything is wrong)"
    )
    parser.add_argument(
        "--virtual", action="store_true", help="on virtual time, in this process: --seed tells one story, --seeds many"
    )
    return parser.parse_args()


def _neighbours(seed: int, words: argparse.Namespace) -> int:
    directory = words.keep or Path(tempfile.mkdtemp(prefix="vk-chaos-"))
    _say(f"bad neighbours with seed {seed}, {words.sizes} sizes; logs in {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    playing = neighbours.play(seed, directory, _say, real=words.real, sizes=words.sizes, bug=words.plant or "")
    try:
        outcome = asyncio.run(playing)
    except AssertionError as error:
        outcome = Outcome([f"the run did not come to its end: {error}"], {})
    for name, value in outcome.facts.items():
        _say(f"  {name:<40} {value}")
    for line in outcome.complaints:
        _say(f"  WRONG: {line}")
    _say(f"{len(outcome.complaints) or 'no'} things are wrong (seed {seed})")
    return 1 if outcome.complaints else 0


def _played(plan: Plan, directory: Path, *, keep: bool) -> Row:
    directory.mkdir(parents=True, exist_ok=True)
    told = f"{plan.faults} troubles in {plan.lasts_s:g} s, {plan.jobs} Jobs; logs in {directory}"
    _say(f"chaos with seed {plan.seed}: {told}")
    began = time.monotonic()
    try:
        outcome = asyncio.run(play(plan, directory, _say))
    except AssertionError as error:
        outcome = Outcome([f"the run did not come to its end: {error}"], {})
    for name, value in outcome.facts.items():
        _say(f"  {name:<32} {value}")
    for line in outcome.complaints:
        _say(f"  WRONG: {line}")
    took_s = time.monotonic() - began
    verdict = f"{len(outcome.complaints)} things are wrong" if outcome.complaints else "nothing is wrong"
    _say(f"{verdict} (seed {plan.seed}, {took_s:.0f} s)")
    if not keep and not outcome.complaints:
        shutil.rmtree(directory, ignore_errors=True)
    return Row(plan.seed, took_s, outcome)


def table(rows: Sequence[Row]) -> str:
    """A line a seed; the complaints stand above, where their seed was played."""
    lines = [["seed", *COLUMNS, "s in all", "complaints"], *(list(row.cells()) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    drawn = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    wrong = sum(1 for row in rows if row.outcome.complaints)
    return "\n".join([*drawn, f"{len(rows)} seeds, {wrong} with complaints"])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
