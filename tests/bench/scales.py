"""How much memory is held by whom: deep sizes, what two share counted once.

`python -m tests.bench.scales run …` is `vk-provider run …` in a process that writes, at each SIGUSR1, what it holds
into the file named by SCALES_FILE; the provider knows nothing of it. With SCALES_MALLOC the allocators' own statistics
go to its log, with SCALES_TRACE the lines that allocated what is there are told too.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import signal
import sys
import tracemalloc
import types
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What everything leads to in the end, and nobody's own.
_NOBODYS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, types.FrameType)


def weigh(holders: Mapping[str, Iterable[object]]) -> dict[str, int]:
    """Bytes of each, in this order; what a former one holds too is not counted again.

    An object that is a holder itself, or of which one is made, is not followed from another.
    """
    roots = {name: list(objects) for name, objects in holders.items()}
    seen = {id(each) for objects in roots.values() for each in objects}
    return {name: sum(_weigh(each, seen) for each in objects) for name, objects in roots.items()}


def _weigh(root: object, seen: set[int]) -> int:
    waiting, total = [root], 0
    while waiting:
        item = waiting.pop()
        total += sys.getsizeof(item)
        for each in gc.get_referents(item):
            if id(each) not in seen and not isinstance(each, _NOBODYS):
                seen.add(id(each))
                waiting.append(each)
    return total


# Attributes of the process's objects, by class, weighed in this order; `*` is all that an object has.
_HOLDERS: Mapping[str, tuple[str, ...]] = {
    "Store": ("_tombstones", "_by_index", "_objects"),
    "InstanceCache": ("_by_uid", "_by_id", "_moving"),
    "InstancePoller": ("_changes", "_events", "_missing", "_missing_start_events"),
    "Absence": ("_deleting", "_suspected"),
    "ReportCache": ("_known", "_before"),
    "PodController": ("_memories", "_gone", "_changed"),
    "Creator": ("inherited",),
    "EventCorrelator": ("_buckets", "_similar", "_series"),
    "Recorder": ("_line", "_mirroring", "_mirrored"),
    "Prober": ("_runs",),
    "WorkQueue": ("*",),
    "FairLimiter": ("*",),
    "ObjectReader": ("_cache",),
    "UsageStats": ("_known",),
    "CostMeter": ("*",),
    "FileSyncer": ("_known",),
    "ObjectWatcher": ("*",),
    "EciCloud": ("_starting", "_unseen", "_details", "_stock", "_prices"),
    "LineSplitter": ("*",),
    "Registry": ("*",),
}


def of_process() -> dict[str, Any]:
    """What is resident, as the kernel says; bytes by holder; objects and bytes by type."""
    resident = _status()
    gc.collect()
    holders: dict[str, list[object]] = {}
    everything = gc.get_objects()
    for item in everything:
        for attribute in _HOLDERS.get(type(item).__name__, ()):
            if not type(item).__module__.startswith("vk_provider."):
                continue
            held = vars(item) if attribute == "*" else getattr(item, attribute)
            holders.setdefault(f"{type(item).__name__}.{attribute}", []).append(held)
    order = [f"{name}.{attribute}" for name, attributes in _HOLDERS.items() for attribute in attributes]
    weighed = weigh({name: holders[name] for name in order if name in holders})
    kinds: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for item in everything:
        name = f"{type(item).__module__}.{type(item).__qualname__}"
        kinds[name] += 1
        sizes[name] += sys.getsizeof(item)
    return {
        **resident,
        "holders": weighed,
        "types": {name: [number, sizes[name]] for name, number in kinds.most_common(40)},
    }


def _status() -> dict[str, int]:
    found = re.findall(
        r"^(VmRSS|VmHWM|RssAnon|RssFile):\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    return {name: int(kilobytes) * 1024 for name, kilobytes in found}


def _sites() -> list[list[object]]:
    """Where what is there was allocated: line, bytes, blocks."""
    found = tracemalloc.take_snapshot().statistics("lineno")
    return [[str(each.traceback), each.size, each.count] for each in found[:80]]


def _answer(*_: object) -> None:
    file = Path(os.environ["SCALES_FILE"])
    told = of_process()
    if os.environ.get("SCALES_MALLOC"):
        sys._debugmallocstats()
        ctypes.CDLL(None).malloc_stats()
    if tracemalloc.is_tracing():
        told |= {"traced": tracemalloc.get_traced_memory(), "sites": _sites()}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1))
    part.rename(file)


if __name__ == "__main__":
    if os.environ.get("SCALES_TRACE"):
        tracemalloc.start()
    signal.signal(signal.SIGUSR1, _answer)
    from vk_provider.cli import main  # after the tracing has begun

    sys.exit(main())
