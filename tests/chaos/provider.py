"""`python -m tests.chaos.provider CLOCK [--bug=NAME] run …`: the provider as a run starts it.

It is its own command line, in a process whose wall clock stands in the file CLOCK, and with one bug if one is wanted;
the provider knows nothing of either.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.bugs import BUGS, NEIGHBOUR_BUGS
from tests.chaos.clock import Wall
from vk_provider import (
    app,  # noqa: F401  # all modules are there before the clock is hung
    cli,
)


def hang_names(switch: Path) -> None:
    """While that file is there no name is resolved, and none is remembered. Loops have resolvers of their own, so it is
    the client's that fails."""
    resolve, init = aiohttp.ThreadedResolver.resolve, aiohttp.TCPConnector.__init__

    def resolved(self: aiohttp.ThreadedResolver, *args: Any, **more: Any) -> Any:
        if switch.exists():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(self, *args, **more)

    def forgetful(self: aiohttp.TCPConnector, *args: Any, **more: Any) -> None:
        init(self, *args, **{**more, "use_dns_cache": False})

    aiohttp.ThreadedResolver.resolve = resolved  # type: ignore[method-assign]
    aiohttp.TCPConnector.__init__ = forgetful  # type: ignore[method-assign]


if __name__ == "__main__":
    hang_names(Path(sys.argv[1]).parent / "no-dns")
    wall = Wall(Path(sys.argv.pop(1)))
    if sys.argv[1].startswith("--bug="):
        {**BUGS, **NEIGHBOUR_BUGS}[sys.argv.pop(1).removeprefix("--bug=")]()
    wall.hang()
    sys.exit(cli.main())
