"""The small memories are those that the provider then has: one that was renamed would be filled for hours."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import gc
from tests.soak import provider
provider.make_memories_small()
from vk_provider.cloud.eci import response, values
from vk_provider.kube.event_correlator import EventCorrelator
from vk_provider.kube.recorder import Recorder
from vk_provider.kube.store import Store
def shown(registry, name):
    lines = registry.exposition().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(name + " "))

recorder, correlator = Recorder(client=None), EventCorrelator()
store = Store(key=lambda item: item["k"], version=lambda item: "1")
for number in range(5000):
    recorder._mirrored.put(number, 1)
    correlator._series.put(number, 1)
    store.remove(str(number))
    values.instant(f"20{number // 100:02}-01-02T03:04:{number % 60:02}Z")
    values.shared(str(number))
    response._running(str(number))
    response._condition(str(number), "True", "", "")
provider.measure_heap()
provider.collect_before_each_scrape()
registry = provider.Registry()
provider.app.add_process_metrics(registry)
before, held = shown(registry, provider.HEAP), [bytes(100_000) for _ in range(50)]
assert 5_000_000 <= shown(registry, provider.HEAP) - before < 6_000_000
gc.disable()
before = shown(registry, "vk_memory_blocks")
for number in range(20_000):
    ring = []
    ring.append(ring)
assert shown(registry, "vk_memory_blocks") - before < 2_000
print(len(recorder._mirrored), len(correlator._series), len(store._tombstones))
every = {**vars(response), **vars(values)}.values()
caches = [value for value in every if hasattr(value, "cache_info")]
print(*sorted(cache.cache_info().currsize for cache in caches))
"""


def test_each_memory_is_as_small_as_it_was_made_and_what_is_in_use_is_measured():
    """In a process of its own, for what is changed there stays changed."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    memories, caches = done.stdout.splitlines()
    assert memories.split() == ["1000", "200", "200"]
    assert [int(held) for held in caches.split()] == [0, 100, 100, 100, 100], "and one of field names, which are few"
