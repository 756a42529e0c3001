"""What the provider holds at a moment: by the kernel's books, and by its own metrics."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from tests.bench.parts import Cost
from tests.soak.verdict import Figure, Points

HEAP = "soak_heap_bytes"  # of the provider as `tests.soak.provider` runs it
FIGURES = {
    # What is resident has holes: by one MB the allocators' arenas come and go, and in its first hours a process with
    # not a byte more in use takes some MB more, ever slower. Were a pod's object kept alone, it would be 11 MB an hour.
    "memory": Figure("resident memory", "MB", least=1.0, an_hour=5.0),
    # What is in use, exactly. Small: a kept thing a pod is 3,600 blocks an hour, a kept object hundreds of thousands.
    "blocks": Figure("memory blocks", "", least=1000.0, an_hour=1500.0),
    # Large, and what libraries hold: one kept thing of more than 512 bytes a pod is 2 MB an hour.
    "heap": Figure("heap in use", "MB", least=0.5, an_hour=1.0),
    # Each may be one more or less at a moment for reasons of the moment; none may grow.
    "descriptors": Figure("file descriptors", least=2.0),
    "threads": Figure("threads", least=1.0),
    "tasks": Figure("tasks", least=2.0),
    # The machine's other users show in it.
    "cpu": Figure("CPU of one core", "%", is_judged=False),
    # The work must be even, or nothing else here means anything.
    "pods": Figure("pods held", least=10.0),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """at_s: since the first. cpu_s: used so far. memory, heap in MB; heap is 0 where nobody measures it. pods: as the
    API server counts them."""

    at_s: float
    memory: float
    descriptors: int
    threads: int
    cpu_s: float
    tasks: int
    blocks: int
    pods: int
    heap: float = 0.0

    @classmethod
    def of(cls, pid: int, metrics: str, *, at_s: float, pods: int) -> Self:
        """metrics: the provider's own exposition."""
        own = dict(re.findall(rf"^(vk_tasks|vk_memory_blocks|{HEAP}) (\S+)$", metrics, re.MULTILINE))
        threads = re.search(r"^Threads:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        cost = Cost.of(pid)
        return cls(
            at_s=at_s,
            memory=cost.rss_mb,
            descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
            threads=int(threads[1]) if threads else 0,
            cpu_s=cost.cpu_s,
            tasks=int(float(own["vk_tasks"])),
            blocks=int(float(own["vk_memory_blocks"])),
            pods=pods,
            heap=float(own.get(HEAP, 0)) / 1e6,
        )

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def read(file: Path) -> list[Sample]:
    known = {each.name for each in fields(Sample)}
    tables = [json.loads(line) for line in file.read_text().splitlines()]
    return [Sample(**{name: value for name, value in table.items() if name in known}) for table in tables]


def points(samples: Sequence[Sample], name: str) -> Points:
    """One figure in the course of time; `cpu` is the share of a core between two samples, in percent."""
    if name != "cpu":
        return [(each.at_s, float(getattr(each, name))) for each in samples]
    pairs = itertools.pairwise(samples)
    return [(after.at_s, (after.cpu_s - then.cpu_s) / (after.at_s - then.at_s) * 100) for then, after in pairs]
