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

FIGURES = {
    # Were a pod's object kept alone, a pod a second would cost 11 MB an hour. By one MB the allocator's arenas come and
    # go, and two an hour would take a machine of the smallest size weeks to notice.
    "memory": Figure("memory", "MB", least=1.0, an_hour=2.0),
    # A kept thing a pod is 3,600 blocks an hour, and a kept object hundreds of thousands.
    "blocks": Figure("memory blocks", "", least=1000.0, an_hour=1500.0),
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
    """at_s: since the first. cpu_s: used so far. memory in MB. pods: as the API server counts them."""

    at_s: float
    memory: float
    descriptors: int
    threads: int
    cpu_s: float
    tasks: int
    blocks: int
    pods: int

    @classmethod
    def of(cls, pid: int, metrics: str, *, at_s: float, pods: int) -> Self:
        """metrics: the provider's own exposition."""
        own = dict(re.findall(r"^(vk_tasks|vk_memory_blocks) (\d+)$", metrics, re.MULTILINE))
        threads = re.search(r"^Threads:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        cost = Cost.of(pid)
        return cls(
            at_s=at_s,
            memory=cost.rss_mb,
            descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
            threads=int(threads[1]) if threads else 0,
            cpu_s=cost.cpu_s,
            tasks=int(own["vk_tasks"]),
            blocks=int(own["vk_memory_blocks"]),
            pods=pods,
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
