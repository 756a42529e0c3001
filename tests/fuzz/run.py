"""Feed them. `python -m tests.fuzz.run --inputs 1000000` is the night's; every run of CI has 20,000 a parser."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Iterator

from tests.fuzz.parsers import PARSERS, Parser

SLOW_S = 2.0


def finds(parser: Parser, inputs: int, seed: int) -> Iterator[str]:
    """What it should not have done, one text each: an exception that it does not document, or taking its time."""
    for number in range(max(1, inputs // parser.costs)):
        dice = random.Random(f"{parser.name}/{seed}/{number}")
        given = parser.harm(dice, dice.choice(parser.seeds))
        began = time.process_time()
        try:
            parser.feed(given)
        except parser.may_raise:
            pass
        except Exception:
            yield f"{parser.name}: input {number} of seed {seed}: {given!r:.2000}\n{traceback.format_exc(limit=-4)}"
        if time.process_time() - began > SLOW_S:
            yield f"{parser.name}: input {number} of seed {seed} was slow: {given!r:.500}"


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    words.add_argument("--inputs", type=int, default=1_000_000, help="for each parser (1,000,000)")
    words.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    words.add_argument("--parser", default="", help="only those whose name holds this")
    words.add_argument("--most", type=int, default=5, help="finds of a parser after which it is left (5)")
    told = words.parse_args()
    found = 0
    for parser in PARSERS:
        if told.parser not in parser.name:
            continue
        began, count = time.monotonic(), 0
        for find in finds(parser, told.inputs, told.seed):
            count += 1
            sys.stdout.write(find + "\n")
            if count >= told.most:
                break
        found += count
        sys.stdout.write(f"{parser.name:<26} {count} finds in {time.monotonic() - began:.1f} s (seed {told.seed})\n")
        sys.stdout.flush()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
