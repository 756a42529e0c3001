"""`python -m tests.chaos.provider CLOCK [--bug=NAME] run …`: the provider as a run starts it.

It is its own command line, in a process whose wall clock stands in the file CLOCK, and with one bug if one is wanted;
the provider knows nothing of either.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from tests.chaos.bugs import BUGS, NEIGHBOUR_BUGS
from tests.chaos.clock import Wall
from vk_provider import (
    app,  # noqa: F401  # all modules are there before the clock is hung
    cli,
)


def hang_names(switch: Path) -> None:
    """While that file is there no name is resolved."""
    real = socket.getaddrinfo

    def resolved(*args: Any, **more: Any) -> Any:
        if switch.exists():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(*args, **more)

    socket.getaddrinfo = resolved


if __name__ == "__main__":
    hang_names(Path(sys.argv[1]).parent / "no-dns")
    wall = Wall(Path(sys.argv.pop(1)))
    if sys.argv[1].startswith("--bug="):
        {**BUGS, **NEIGHBOUR_BUGS}[sys.argv.pop(1).removeprefix("--bug=")]()
    wall.hang()
    sys.exit(cli.main())
