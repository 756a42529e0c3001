"""The text exposition, and that nobody outside can fill our memory with label values."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vk_provider.metrics import Counter, Gauge, Histogram, Metric, Registry, add_process_metrics


def test_exposition_is_sorted_by_name_with_help_and_type() -> None:
    registry = Registry()
    registry.gauge("vk_pods", "Pods here.").set(2.5)
    calls = registry.counter("vk_calls_total", "Calls made.", ("method", "code"))
    calls.add(method="GET", code="200")
    calls.add(2, method="DELETE", code="404")
    assert registry.exposition() == (
        "# HELP vk_calls_total Calls made.\n"
        "# TYPE vk_calls_total counter\n"
        'vk_calls_total{code="404",method="DELETE"} 2.0\n'
        'vk_calls_total{code="200",method="GET"} 1.0\n'
        "# HELP vk_pods Pods here.\n"
        "# TYPE vk_pods gauge\n"
        "vk_pods 2.5\n"
    )


def test_escapes() -> None:
    registry = Registry()
    registry.counter("c_total", "a \\ and\na line", ("l",)).add(l='q " b \\ n \n.')
    assert registry.exposition().splitlines() == [
        r"# HELP c_total a \\ and\na line",
        "# TYPE c_total counter",
        r'c_total{l="q \" b \\ n \n."} 1.0',
    ]


def test_histogram_counts_up_to_each_bound() -> None:
    registry = Registry()
    took = registry.histogram("took_seconds", "How long.", ("call",), buckets=(0.1, 1, 10))
    for number in (0.05, 0.1, 0.5, 99):
        took.observe(number, call="create")
    assert registry.exposition().splitlines()[2:] == [
        'took_seconds_bucket{call="create",le="0.1"} 2.0',
        'took_seconds_bucket{call="create",le="1.0"} 3.0',
        'took_seconds_bucket{call="create",le="10.0"} 3.0',
        'took_seconds_bucket{call="create",le="+Inf"} 4.0',
        'took_seconds_count{call="create"} 4.0',
        'took_seconds_sum{call="create"} 99.65',
    ]
    assert took.count(call="create") == 4


def samples(metric: Metric) -> dict[tuple[str, ...], float]:
    """Label values → number."""
    return {tuple(each.labels.values()): each.value for family in metric.collect() for each in family.samples}


def test_a_metric_without_labels_is_there_from_the_start() -> None:
    assert samples(Counter("c_total", "help")) == {(): 0}
    assert samples(Counter("c_total", "help", ("l",))) == {}


def test_label_sets_are_bounded_and_none_is_lost() -> None:
    counter = Counter("c_total", "help", ("path",), max_series=3)
    for number in range(1000):
        counter.add(path=str(number))
    counter.add(path="1")
    assert samples(counter) == {("(other)",): 997, ("0",): 1, ("1",): 2, ("2",): 1}


def test_a_gauge_that_is_replaced_has_no_other_series_and_loses_none() -> None:
    gauge = Gauge("g", "help", ("reason",), max_series=2)
    gauge.set(9, reason="gone")
    gauge.replace({("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4})
    assert samples(gauge) == {("(other)",): 7, ("a",): 1, ("b",): 2}


def test_a_scraper_that_prefers_openmetrics_gets_it() -> None:
    registry = Registry()
    registry.counter("vk_calls_total", "Calls.").add(3)
    page, kind = registry.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert page.decode().endswith("vk_calls_total 3.0\n# EOF\n")
    assert registry.page()[1].startswith("text/plain; version=")


def test_clear_forgets_what_is_gone() -> None:
    gauge = Gauge("g", "help", ("pod",))
    gauge.set(1, pod="a")
    gauge.clear()
    gauge.set(2, pod="b")
    assert samples(gauge) == {("b",): 2}


def test_a_counter_never_goes_down() -> None:
    with pytest.raises(ValueError, match="cannot go down"):
        Counter("c_total", "help").add(-1)


@pytest.mark.parametrize("labels", [{}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}, {"a": "1", "x": "2"}])
def test_labels_are_those_declared(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Counter("c_total", "help", ("a", "b")).add(**labels)


@pytest.mark.parametrize(
    ("name", "labels"),
    [("1c_total", ()), ("c-d_total", ()), ("c", ()), *(("c_total", (label,)) for label in ("a-b", "__a", "a:b"))],
)
def test_bad_names(name: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Counter(name, "help", labels)


def test_a_name_is_taken_once() -> None:
    registry = Registry()
    registry.counter("c_total", "help")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("c_total", "help")


@pytest.mark.parametrize("buckets", [(), (1, 1), (2, 1)])
def test_bounds_rise(buckets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rising bounds"):
        Histogram("h", "help", buckets=buckets)


def test_threads_lose_nothing() -> None:
    counter = Counter("c_total", "help", ("l",))

    def add_many(_: int) -> None:
        for _ in range(2000):
            counter.add(l="x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_many, range(8)))
    assert counter.value(l="x") == 16000


def process_figures() -> dict[str, float]:
    registry = Registry()
    add_process_metrics(registry)
    lines = [line.split() for line in registry.exposition().splitlines() if not line.startswith("#")]
    return {name: float(number) for name, number in lines}


def test_process_figures_are_those_of_this_process() -> None:
    figures = process_figures()
    assert time.time() - 3600 < figures["process_start_time_seconds"] <= time.time() + 1
    assert 0 < figures["process_cpu_seconds_total"] <= sum(os.times()[:2]) + 1
    assert 1e6 < figures["process_resident_memory_bytes"] < 1e10
    assert figures["process_open_fds"] >= 3
    assert figures["process_threads"] >= 1
    assert figures["vk_tasks"] == 0, "no loop runs here"


async def test_a_task_and_a_thing_that_stay_show_in_the_figures() -> None:
    before = process_figures()
    hold = [bytes(100) for _ in range(5000)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(asyncio.sleep(60)) for _ in range(7)]
        after = process_figures()
        for task in waiting:
            task.cancel()
    assert after["vk_tasks"] - before["vk_tasks"] == 7
    assert after["vk_memory_blocks"] - before["vk_memory_blocks"] >= len(hold)
