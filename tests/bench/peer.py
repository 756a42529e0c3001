"""The node made with the Go library, which `make bench PEER=1` measures beside ours: `peer/main.go`.

As it ships, client-go lets 5 requests a second through and each of the library's queues 10 items; with its limits
lifted it does what it can. `python -m tests.bench.peer` builds it: four minutes on two cores.
"""

import sys
from pathlib import Path

from fakes.processes import Child
from tests.bench.parts import Plane, until
from tests.e2e.building import CannotBuild, say
from tests.e2e.goprogram import GoProgram

WORKERS = 128  # as many as the provider has
LIBRARY = "github.com/virtual-kubelet/virtual-kubelet"
PEER = GoProgram("peer", folder=Path(__file__).parent / "peer", module=LIBRARY, package=".", variable="VK_BENCH_PEER")


async def start(directory: Path, plane: Plane, node: str, *, lifted: bool, create_s: float) -> Child:
    """lifted: without its rate limits. create_s: how long its create call takes. Its program must be built."""
    words = [
        str(PEER.program()),
        f"--kubeconfig={plane.kubeconfig}",
        f"--node={node}",
        f"--workers={WORKERS}",
        f"--create-takes={create_s}s",
        f"--lifted={'true' if lifted else 'false'}",
    ]
    name = f"peer-{node}"
    (directory / f"{name}.log").unlink(missing_ok=True)
    child = await Child.start(name, words, directory=directory, command=())
    await until(lambda: "ready" in child.tail(), within_s=60, told=child.tail)
    return child


def main() -> int:
    try:
        say(f"the node made with the Go library: {PEER.program()}")
    except CannotBuild as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
