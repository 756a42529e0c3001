"""Counts of what this process does; prometheus-client makes the pages of them.

Rules: label names are fixed when a metric is made; a metric holds at most `MAX_SERIES` label sets, so that a value that
somebody outside may choose cannot fill the memory; every call is safe from any thread.
Source: prometheus.io/docs/instrumenting/exposition_formats; kubelet.md h.3.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 500
OVERFLOW = "(other)"  # the label value under which everything past MAX_SERIES is counted together
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")

LabelValues = tuple[str, ...]


class Metric(ABC):
    """A named family of series. One label set is one series, held under its values in the order of `labels`."""

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

    def _key(self, labels: Mapping[str, str], known: Collection[LabelValues]) -> LabelValues:
        """Raises ValueError unless exactly the labels declared are given."""
        if labels.keys() != set(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {tuple(labels)}")
        values = tuple(map(str, map(labels.__getitem__, self.labels)))
        if values in known or len(known) < self._max_series:
            return values
        return (OVERFLOW,) * len(self.labels)

    def describe(self) -> Iterable[Family]:
        """For prometheus-client, which asks for the names when a collector is registered."""
        return (self._family(),)

    def collect(self) -> Iterable[Family]:
        """Series in order of their label values."""
        family = self._family()
        self._add_samples(family)
        return (family,)

    @abstractmethod
    def _family(self) -> Family: ...

    @abstractmethod
    def _add_samples(self, family: Family) -> None: ...


class _Scalar(Metric):
    """One number per label set. Without labels the series is there from the start, at 0."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, max_series: int = MAX_SERIES) -> None:
        super().__init__(name, help_text, labels, max_series=max_series)
        self._values: dict[LabelValues, float] = {} if labels else {(): 0.0}

    def value(self, **labels: str) -> float:
        """0 when nothing was counted under these labels yet."""
        with self._lock:
            return self._values.get(self._key(labels, self._values), 0.0)

    def _add_samples(self, family: Family) -> None:
        with self._lock:
            values = sorted(self._values.items())
        for key, number in values:
            family.add_sample(self.name, dict(zip(self.labels, key, strict=True)), number)

    def _add(self, amount: float, labels: Mapping[str, str]) -> None:
        with self._lock:
            key = self._key(labels, self._values)
            self._values[key] = self._values.get(key, 0.0) + amount

    def _set(self, number: float, labels: Mapping[str, str]) -> None:
        with self._lock:
            self._values[self._key(labels, self._values)] = number


class Counter(_Scalar):
    """A number that only grows. Its name ends in `_total`, as OpenMetrics has it; ValueError else."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, max_series: int = MAX_SERIES) -> None:
        super().__init__(name, help_text, labels, max_series=max_series)
        if not name.endswith("_total"):
            raise ValueError(f"{name!r} is not a counter's name, which ends in _total")

    def add(self, amount: float = 1.0, **labels: str) -> None:
        if amount < 0:
            raise ValueError(f"{self.name} cannot go down by {-amount}")
        self._add(amount, labels)

    def set_total(self, total: float, **labels: str) -> None:
        """For a total that is counted elsewhere, as by a loop of its own."""
        self._set(total, labels)

    def _family(self) -> Family:
        return CounterMetricFamily(self.name, self.help_text, labels=self.labels)


class Gauge(_Scalar):
    """A number as it stands now."""

    def set(self, number: float, **labels: str) -> None:
        self._set(number, labels)

    def add(self, amount: float = 1.0, **labels: str) -> None:
        self._add(amount, labels)

    def replace(self, values: Mapping[LabelValues, float]) -> None:
        """Hold these series and no others: some of what was there may be gone. Keys: in the order of `labels`."""
        with self._lock:
            self._values = {}
            for key, number in values.items():
                kept = self._key(dict(zip(self.labels, key, strict=True)), self._values)
                self._values[kept] = self._values.get(kept, 0.0) + number if kept != key else number

    def clear(self) -> None:
        """Forget every labelled series: before a set of things, some of which may be gone, is written anew."""
        with self._lock:
            self._values = {} if self.labels else {(): 0.0}

    def _family(self) -> Family:
        return GaugeMetricFamily(self.name, self.help_text, labels=self.labels)


class Histogram(Metric):
    """How many observations fell below each bound, their number and their sum."""

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

    def _family(self) -> Family:
        return HistogramMetricFamily(self.name, self.help_text, labels=self.labels)

    def _add_samples(self, family: Family) -> None:
        with self._lock:
            series = [(key, tuple(counts), self._sums[key]) for key, counts in sorted(self._counts.items())]
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for key, counts, total in series:
            labels = dict(zip(self.labels, key, strict=True))
            for bound, below in zip(bounds, accumulate(counts), strict=True):
                family.add_sample(f"{self.name}_bucket", {**labels, "le": bound}, below)
            family.add_sample(f"{self.name}_count", labels, sum(counts))
            family.add_sample(f"{self.name}_sum", labels, total)


class Registry:
    """Every metric of one process, each name once; or those of one of its nodes, which are shown with the process's.

    shared: the process's. What a node counts for itself is gone with it, as when another replica takes it over.
    """

    def __init__(self, shared: Registry | None = None) -> None:
        self._shared = shared
        self._collectors = CollectorRegistry()
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

    def add_collector(self, make: Callable[[CollectorRegistry], object]) -> None:
        """A collector of prometheus-client, as that of the process, which registers itself."""
        make(self._collectors)

    def before_scrape(self, collect: Callable[[], None]) -> None:
        """Run `collect` before each exposition: for values that are read rather than counted. It must not block."""
        self._before.append(collect)

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics by name, in the format that a scraper's Accept header prefers, and its Content-Type."""
        registries = self._collected()
        encode, content_type = choose_encoder(accept)
        return encode(_InOrder(registries)), content_type

    def exposition(self) -> str:
        """The page as text, in the format that everybody reads."""
        return self.page()[0].decode()

    def _collected(self) -> Sequence[CollectorRegistry]:
        """The process's, and our own; what is read rather than counted is read now."""
        shared = self._shared._collected() if self._shared is not None else ()
        for collect in self._before:
            collect()
        return (*shared, self._collectors)

    def _register(self, metric: Metric) -> None:
        if metric.name in self._metrics or (self._shared is not None and metric.name in self._shared._metrics):
            raise ValueError(f"there is a metric {metric.name} already")
        self._collectors.register(metric)
        self._metrics[metric.name] = metric


class _InOrder(CollectorRegistry):
    """The families of registries by name: pages that are alike are good to compare, and to read."""

    def __init__(self, registries: Sequence[CollectorRegistry]) -> None:
        super().__init__()
        self._registries = registries

    def collect(self) -> Iterable[Family]:
        families = [family for each in self._registries for family in each.collect()]
        return sorted(families, key=lambda family: family.name)


def add_process_metrics(registry: Registry) -> None:
    """The metrics of a process that dashboards look for, under their customary names."""
    registry.add_collector(lambda collectors: ProcessCollector(registry=collectors))
    threads = registry.gauge("process_threads", "Threads of this process.")
    tasks = registry.gauge("vk_tasks", "Tasks of the event loop that have not ended.")
    blocks = registry.gauge("vk_memory_blocks", "Blocks of memory that Python's allocator has given out.")

    def collect_process() -> None:
        threads.set(threading.active_count())
        blocks.set(sys.getallocatedblocks())  # where what is held grows, this shows it before the resident memory does
        with suppress(RuntimeError):  # no loop runs in this thread
            tasks.set(len(asyncio.all_tasks()))

    registry.before_scrape(collect_process)
