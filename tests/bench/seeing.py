"""`python -m tests.bench.seeing [PODS]`: what it costs a node at rest that people look at it, in CPU of one core.

CPU time, so that a busy machine changes little. A scrape every 15 s, one open page (a tick every 2 s, a point every
30 s), and `vk-provider status` once in 10 s, over a node with 5,000 pods of which nothing changes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from tests.dashboard.world import Node
from vk_provider.dashboard import history, stream
from vk_provider.kubelet.kubelet_metrics import add_kubelet_metrics
from vk_provider.metrics import add_process_metrics

SCRAPE_S, STATUS_S = 15.0, 10.0
MOST = 0.5  # percent of a core
_TIMES = 30


def cost_s(work: Callable[[], object], times: int = _TIMES) -> float:
    """CPU seconds of one; the first, which may fill caches, is not counted."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


async def measured(pods: int) -> dict[str, tuple[float, float]]:
    """What → CPU seconds of one, and percent of a core at its pace."""
    node = Node()
    node.fill(pods)
    add_process_metrics(node.registry)
    add_kubelet_metrics(node.registry, node_name="n", container_states=node.index.container_states)
    broadcaster = stream.Broadcaster(node.collector)
    viewer = broadcaster.join()
    assert viewer is not None

    def tick() -> None:
        stepping = broadcaster._tick()
        with suppress(StopIteration):
            stepping.send(None)
        while not viewer.messages.empty():
            viewer.messages.get_nowait()

    encode = msgspec.json.Encoder().encode
    paces = {
        "scrape": (lambda: node.registry.page(), SCRAPE_S),
        "page, a tick": (tick, stream.TICK_S),
        "page, a point": (lambda: broadcaster._history.add(node.collector.snapshot()), history.EVERY_S),
        "status": (lambda: encode(node.collector.snapshot()), STATUS_S),
    }
    found = {name: (taken := cost_s(work), 100 * taken / pace_s) for name, (work, pace_s) in paces.items()}
    found["(once) page opened"] = (cost_s(broadcaster.first, 3), 0.0)
    found["(once) status with all pods"] = (cost_s(lambda: encode(node.collector.snapshot(with_pods=True)), 3), 0.0)
    broadcaster.leave(viewer)
    return found


def main() -> int:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    found = asyncio.run(measured(pods))
    for name, (taken_s, percent) in found.items():
        print(f"{name:30} {taken_s * 1000:8.2f} ms{f'   {percent:.3f} % of a core' if percent else ''}")
    total = sum(percent for _, percent in found.values())
    print(f"{'together, ' + str(pods) + ' pods at rest':30} {'':11}   {total:.3f} % of a core; at most {MOST} %")
    return 0 if total < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
