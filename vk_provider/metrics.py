"""Counts of what this process does, and their text form (Prometheus exposition format 0.0.4).

Rules: label names are fixed when a metric is made; a metric holds at most `MAX_SERIES` label sets, so that a value that
somebody outside may choose cannot fill the memory; every call is safe from any thread.
Source: prometheus.io/docs/instrumenting/exposition_formats; kubelet.md h.3.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import sys
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 500
OVERFLOW = "(other)"  # the label value under which everything past MAX_SERIES is counted together
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

LabelValues = tuple[str, ...]


class Metric(ABC):
    """A named family of series. One label set is one series, held under its values in the order of `labels`."""

    kind: str

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, max_series: int = MAX_SERIES) -> None:
        """Raises ValueError when a name is not one that Prometheus reads."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a metric name")
        for label in labels:
            if not _LABEL.fullmatch(label):
                raise ValueError(f"{label!r} is not a label name, in metric {name}")
        self.name = name
        self.help_text = help_text
        self.labels = tuple(labels)
        self._max_series = max_series
        self._lock = threading.Lock()

    def _key(self, labels: dict[str, str], known: Collection[LabelValues]) -> LabelValues:
        """Raises ValueError unless exactly the labels declared are given."""
        if labels.keys() != set(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        values = tuple(str(labels[label]) for label in self.labels)
        if values in known or len(known) < self._max_series:
            return values
        return (OVERFLOW,) * len(self.labels)

    def _line(self, name: str, values: LabelValues, number: float, extra: tuple[str, str] | None = None) -> str:
        pairs = [*zip(self.labels, values, strict=True), *([extra] if extra else [])]
        inside = ",".join(f'{label}="{_escape_value(value)}"' for label, value in pairs)
        return f"{name}{{{inside}}} {_number(number)}" if pairs else f"{name} {_number(number)}"

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {_escape_help(self.help_text)}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self.samples()

    @abstractmethod
    def samples(self) -> list[str]:
        """One line per sample, series in order of their label values."""


class _Scalar(Metric):
    """One number per label set. Without labels the series is there from the start, at 0."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, max_series: int = MAX_SERIES) -> None:
        super().__init__(name, help_text, labels, max_series=max_series)
        self._values: dict[LabelValues, float] = {} if labels else {(): 0.0}

    def value(self, **labels: str) -> float:
        """0 when nothing was counted under these labels yet."""
        with self._lock:
            return self._values.get(self._key(labels, self._values), 0.0)

    def samples(self) -> list[str]:
        with self._lock:
            values = sorted(self._values.items())
        return [self._line(self.name, key, number) for key, number in values]

    def _add(self, amount: float, labels: dict[str, str]) -> None:
        with self._lock:
            key = self._key(labels, self._values)
            self._values[key] = self._values.get(key, 0.0) + amount

    def _set(self, number: float, labels: dict[str, str]) -> None:
        with self._lock:
            self._values[self._key(labels, self._values)] = number


class Counter(_Scalar):
    """A number that only grows."""

    kind = "counter"

    def add(self, amount: float = 1.0, **labels: str) -> None:
        if amount < 0:
            raise ValueError(f"{self.name} cannot go down by {-amount}")
        self._add(amount, labels)

    def set_total(self, total: float, **labels: str) -> None:
        """For a total that is counted elsewhere, as CPU time by the kernel."""
        self._set(total, labels)


class Gauge(_Scalar):
    """A number as it stands now."""

    kind = "gauge"

    def set(self, number: float, **labels: str) -> None:
        self._set(number, labels)

    def add(self, amount: float = 1.0, **labels: str) -> None:
        self._add(amount, labels)

    def clear(self) -> None:
        """Forget every labelled series: before a set of things, some of which may be gone, is written anew."""
        with self._lock:
            self._values = {} if self.labels else {(): 0.0}


class Histogram(Metric):
    """How many observations fell below each bound, their number and their sum."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
        max_series: int = MAX_SERIES,
    ) -> None:
        super().__init__(name, help_text, labels, max_series=max_series)
        if list(buckets) != sorted(set(buckets)) or not buckets:
            raise ValueError(f"{name} needs rising bounds, not {tuple(buckets)}")
        self._bounds = tuple(buckets)
        self._counts: dict[LabelValues, list[int]] = {}
        self._sums: dict[LabelValues, float] = {}

    def observe(self, number: float, **labels: str) -> None:
        with self._lock:
            key = self._key(labels, self._counts)
            counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
            counts[bisect_left(self._bounds, number)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + number

    def count(self, **labels: str) -> int:
        with self._lock:
            return sum(self._counts.get(self._key(labels, self._counts), ()))

    def samples(self) -> list[str]:
        with self._lock:
            series = [(key, tuple(counts), self._sums[key]) for key, counts in sorted(self._counts.items())]
        bounds = [*(_number(bound) for bound in self._bounds), "+Inf"]
        lines = []
        for key, counts, total in series:
            for bound, below in zip(bounds, accumulate(counts), strict=True):
                lines.append(self._line(f"{self.name}_bucket", key, below, ("le", bound)))
            lines.append(self._line(f"{self.name}_sum", key, total))
            lines.append(self._line(f"{self.name}_count", key, sum(counts)))
        return lines


class Registry:
    """Every metric of one process, each name once."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}
        self._before: list[Callable[[], None]] = []

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """Raises ValueError when the name is taken, as the other two do."""
        metric = Counter(name, help_text, labels)
        self._register(metric)
        return metric

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        metric = Gauge(name, help_text, labels)
        self._register(metric)
        return metric

    def histogram(
        self, name: str, help_text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = DEFAULT_BUCKETS
    ) -> Histogram:
        metric = Histogram(name, help_text, labels, buckets=buckets)
        self._register(metric)
        return metric

    def before_scrape(self, look: Callable[[], None]) -> None:
        """Run `look` before each exposition: for figures that are read rather than counted. It must not block."""
        self._before.append(look)

    def exposition(self) -> str:
        """All metrics by name, with HELP and TYPE, ending in a newline."""
        for look in self._before:
            look()
        lines = [line for name in sorted(self._metrics) for line in self._metrics[name].lines()]
        return "".join(f"{line}\n" for line in lines)

    def _register(self, metric: Metric) -> None:
        if metric.name in self._metrics:
            raise ValueError(f"there is a metric {metric.name} already")
        self._metrics[metric.name] = metric


def add_process_metrics(registry: Registry) -> None:
    """The figures about a process that dashboards look for, under their customary names."""
    cpu = registry.counter("process_cpu_seconds_total", "CPU time used by this process, user and system, in seconds.")
    memory = registry.gauge("process_resident_memory_bytes", "Memory of this process that is resident, in bytes.")
    files = registry.gauge("process_open_fds", "Open file descriptors of this process.")
    threads = registry.gauge("process_threads", "Threads of this process.")
    tasks = registry.gauge("vk_tasks", "Tasks of the event loop that have not ended.")
    blocks = registry.gauge("vk_memory_blocks", "Blocks of memory that Python's allocator has given out.")
    start = registry.gauge("process_start_time_seconds", "When this process started, in seconds since the epoch.")
    start.set(_process_start())

    def look() -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu.set_total(usage.ru_utime + usage.ru_stime)
        threads.set(threading.active_count())
        blocks.set(sys.getallocatedblocks())  # where what is held grows, this shows it before the resident memory does
        with suppress(RuntimeError):  # no loop runs in this thread
            tasks.set(len(asyncio.all_tasks()))
        try:
            memory.set(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            files.set(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 -- of a Path it costs an object per descriptor
        except OSError:  # a system without /proc: the peak is the nearest figure there is
            memory.set(usage.ru_maxrss * 1024)

    registry.before_scrape(look)


def _process_start() -> float:
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
        if booted:
            return int(booted[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        pass
    return time.time()


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')


def _number(number: float) -> str:
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number == int(number) and abs(number) < 2**53 else repr(float(number))
