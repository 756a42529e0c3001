"""`python -m tests.chaos`: a seeded run of everything that can go wrong; ends with 1 and the auditor's lines if any.

The seed decides what happens and when it is begun; which line of the provider it meets, the machine decides. Not so
with --virtual: there the provider's core runs on virtual time between an API server and a cloud in memory, and the
seed decides all.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import Plan, play
from tests.chaos.virtual import many


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeat the run with this seed (default: a new one, printed)")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long trouble lasts (90)")
    parser.add_argument("--faults", type=int, default=50, help="how many troubles in that time (50)")
    parser.add_argument("--jobs", type=int, default=150, help="Jobs in the story (150)")
    parser.add_argument("--real", action="store_true", help="on real Kubernetes, found or built as `make e2e` does")
    parser.add_argument(
        "--keep", type=Path, help="folder for the logs of all parts (default: kept if anything is wrong)"
    )
    parser.add_argument(
        "--virtual", action="store_true", help="on virtual time, in this process: --seed tells one story"
    )
    parser.add_argument("--seeds", type=int, default=200, help="with --virtual and no --seed: how many (200)")
    parser.add_argument("--from-seed", type=int, default=0, help="with --seeds: the first of them (0)")
    words = parser.parse_args()
    if words.virtual:
        well = many.one(words.seed, _say) if words.seed is not None else many.many(words.from_seed, words.seeds, _say)
        return 0 if well else 1
    seed = words.seed if words.seed is not None else random.SystemRandom().randrange(10**6)
    plan = Plan(seed, faults=words.faults, jobs=words.jobs, lasts_s=words.seconds, real=words.real)
    directory = words.keep or Path(tempfile.mkdtemp(prefix="vk-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    _say(f"chaos with seed {seed}: {plan.faults} troubles in {plan.lasts_s:g} s, {plan.jobs} Jobs; logs in {directory}")
    began = time.monotonic()
    outcome = asyncio.run(play(plan, directory, _say))
    for name, value in outcome.facts.items():
        _say(f"  {name:<32} {value}")
    for line in outcome.complaints:
        _say(f"  WRONG: {line}")
    verdict = f"{len(outcome.complaints)} things are wrong" if outcome.complaints else "nothing is wrong"
    _say(f"{verdict} (seed {seed}, {time.monotonic() - began:.0f} s)")
    return 1 if outcome.complaints else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
