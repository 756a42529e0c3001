"""`python -m tests.chaos.provider CLOCK [--bug=NAME] run …`: the provider as a run starts it.

It is its own command line, in a process whose wall clock stands in the file CLOCK, and with one bug if one is wanted;
the provider knows nothing of either.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chaos.bugs import BUGS
from tests.chaos.clock import Wall
from vk_provider import (
    app,  # noqa: F401  # all modules are there before the clock is hung
    cli,
)

if __name__ == "__main__":
    wall = Wall(Path(sys.argv.pop(1)))
    if sys.argv[1].startswith("--bug="):
        BUGS[sys.argv.pop(1).removeprefix("--bug=")]()
    wall.hang()
    sys.exit(cli.main())
