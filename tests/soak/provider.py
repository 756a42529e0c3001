"""`python -m tests.soak.provider [--leak=NAME] run …`: the provider with small memories, and a leak if one is wanted.

Some things are remembered of pods that are gone, up to a number that takes hours of churn to reach; until then what
is held grows and nothing is wrong. A soak cannot wait for that. So here each such memory is given a bound that the
warm-up fills, and what still grows after that has none. Whoever adds a memory of that kind has to add it here, and to
say what it takes when it is full.

And Python's cycle collector, which comes around to the oldest objects every ten minutes or so, runs before each
sample: ten thousand blocks of garbage that wait for it are a saw-tooth with five teeth an hour, and no leak.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from functools import lru_cache

from tests.soak.leaks import plant
from tests.soak.sample import HEAP
from vk_provider import app, cli  # all modules are there before anything is changed in them
from vk_provider.cloud.eci import response, values
from vk_provider.kube import packing, recorder, store
from vk_provider.kube.event_correlator import EventCorrelator
from vk_provider.metrics import Registry

CACHES = ((values, "_instant"), (values, "_same"), (response, "_running"), (response, "_condition"))


def make_memories_small() -> None:
    recorder._MIRRORED_MEMORY = 1000  # 50,000 names of events, 8 MB
    packing._MOST_FAMILIES = 16  # 256 examples, one for each controller, 1 MB
    store._MOST_TOMBSTONES = 200  # 20,000 uids and versions, 5 MB
    # 4,096 times as they were told, 2 MB, and as many short texts, 1 MB; 1,024 states and conditions each, 1 MB.
    for module, name in CACHES:
        setattr(module, name, lru_cache(maxsize=100)(getattr(module, name).__wrapped__))
    EventCorrelator.__init__.__kwdefaults__["memory"] = 200  # 4,096 series of events of our own, 11 MB


class _Mallinfo(ctypes.Structure):
    """Source: mallinfo2(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keep",
        )
    )


def _collect() -> None:
    gc.collect()


def collect_before_each_scrape() -> None:
    others = app.add_process_metrics

    def add_all(registry: Registry) -> None:
        registry.before_scrape(_collect)  # first, or the blocks are counted before
        others(registry)

    app.add_process_metrics = add_all


def measure_heap() -> None:
    """A metric of what malloc has given out and not got back; where it cannot say, as before glibc 2.33, there is none.

    Python's own small blocks are not of it, nor are the holes that resident memory counts.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return
    libc.mallinfo2.restype = _Mallinfo
    others = app.add_process_metrics

    def add_all(registry: Registry) -> None:
        others(registry)
        heap = registry.gauge(HEAP, "What malloc has given out, in bytes.")

        def look() -> None:
            found = libc.mallinfo2()
            heap.set(found.uordblks + found.hblkhd)

        registry.before_scrape(look)

    app.add_process_metrics = add_all


if __name__ == "__main__":
    measure_heap()
    collect_before_each_scrape()
    make_memories_small()
    if sys.argv[1].startswith("--leak="):
        plant(sys.argv.pop(1).removeprefix("--leak="))
    sys.exit(cli.main())
