"""`make mutate`: do the tests notice when the code is wrong? A sample of small faults, each planted alone (mutmut).

What is mutated, and by which tests it is judged, stands below `[tool.mutmut]` in pyproject.toml. The sample is drawn by
the faults' names, so it is the same each time, and a larger one contains the smaller. What was judged is kept in
`mutants/`: a run that was stopped goes on where it was, and after an edit only the functions that changed are judged
anew. tests/mutation.md has the last figures, and says why each survivor is left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "mutants"
LIST = ROOT / "tests" / "mutation.md"
ENOUGH = 0.92
_CHEAPEST = "vk_provider.fence.xǁFenceǁshut__mutmut_1"
_VERDICTS = {0: "survived", 1: "killed", 3: "killed", 5: "no test", 33: "no test"}
_OUT_OF_TIME = (-24, 24, 36, 152, 255)


def plant() -> int:
    """Have mutmut write every fault of files that changed; it judges one on the way, which is as few as it does."""
    return _mutmut([_CHEAPEST])


def faults() -> Sequence[str]:
    """The names of all that are planted."""
    return [name for path in KEPT.rglob("*.meta") for name in json.loads(path.read_text())["exit_code_by_key"]]


def sample(names: Iterable[str], size: int) -> Sequence[str]:
    """Drawn by name: what else can be drawn, and how many, does not change who comes first."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:size]


def verdicts() -> Mapping[str, str]:
    """Of all that were judged, in this run or an earlier one."""
    found: dict[str, str] = {}
    for path in KEPT.rglob("*.meta"):
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            if code is not None:
                found[name] = "killed" if code in _OUT_OF_TIME else _VERDICTS.get(code, f"exit {code}")
    return found


def survivors_with_reason() -> Mapping[str, str]:
    """Name → reason, of the table in tests/mutation.md."""
    rows = [line.split("|") for line in LIST.read_text().splitlines() if line.startswith("| `vk_provider.")]
    return {row[1].strip().strip("`"): row[2].strip() for row in rows}


def judge(names: Sequence[str], *, again: bool) -> int:
    """Plants the faults that have no verdict yet; `again`: those that survived, too."""
    known = verdicts()
    open_ = [name for name in names if name not in known or (again and known[name] != "killed")]
    return _mutmut(open_) if open_ else 0


def _mutmut(names: Sequence[str]) -> int:
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "2", *names]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"VK_TEST_NOISE": "60"}, check=False).returncode


def report(names: Sequence[str]) -> int:
    known = verdicts()
    counts = Counter(known.get(name, "not judged") for name in names)
    reasons = survivors_with_reason()
    for name in names:
        if known.get(name) != "killed":
            sys.stdout.write(f"{known.get(name, 'not judged')}: {name}: {reasons.get(name, 'NO REASON YET')}\n")
    rate = counts["killed"] / len(names)
    listed = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    sys.stdout.write(f"{len(names)} faults: {listed}; killed {rate:.1%} (wanted {ENOUGH:.0%})\n")
    return 0 if rate >= ENOUGH and not counts["not judged"] else 1


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    words.add_argument("--sample", type=int, default=300, help="how many faults (300); 0 for all")
    words.add_argument("--again", action="store_true", help="judge those again that survived before")
    words.add_argument("--report", action="store_true", help="judge nothing, say what is known")
    options = words.parse_args()
    code = 0 if options.report else plant()
    every = faults()
    names = sample(every, options.sample or len(every))
    sys.stdout.write(f"{len(names)} of {len(every)} faults\n")
    sys.stdout.flush()
    code = code or (0 if options.report else judge(names, again=options.again))
    return code or report(names)


if __name__ == "__main__":
    sys.exit(main())
