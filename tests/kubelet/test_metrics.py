"""The text exposition, and that nobody outside can fill our memory with label values."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from vk_provider.metrics import Counter, Gauge, Histogram, Registry, add_process_metrics


def test_exposition_is_sorted_by_name_with_help_and_type() -> None:
    registry = Registry()
    registry.gauge("vk_pods", "Pods here.").set(2.5)
    calls = registry.counter("vk_calls_total", "Calls made.", ("method", "code"))
    calls.add(method="GET", code="200")
    calls.add(2, method="DELETE", code="404")
    assert registry.exposition() == (
        "# HELP vk_calls_total Calls made.\n"
        "# TYPE vk_calls_total counter\n"
        'vk_calls_total{method="DELETE",code="404"} 2\n'
        'vk_calls_total{method="GET",code="200"} 1\n'
        "# HELP vk_pods Pods here.\n"
        "# TYPE vk_pods gauge\n"
        "vk_pods 2.5\n"
    )


def test_escapes() -> None:
    registry = Registry()
    registry.counter("c", "a \\ and\na line", ("l",)).add(l='q " b \\ n \n.')
    assert registry.exposition().splitlines() == [
        r"# HELP c a \\ and\na line",
        "# TYPE c counter",
        r'c{l="q \" b \\ n \n."} 1',
    ]


def test_histogram_counts_up_to_each_bound() -> None:
    registry = Registry()
    took = registry.histogram("took_seconds", "How long.", ("call",), buckets=(0.1, 1, 10))
    for number in (0.05, 0.1, 0.5, 99):
        took.observe(number, call="create")
    assert registry.exposition().splitlines()[2:] == [
        'took_seconds_bucket{call="create",le="0.1"} 2',
        'took_seconds_bucket{call="create",le="1"} 3',
        'took_seconds_bucket{call="create",le="10"} 3',
        'took_seconds_bucket{call="create",le="+Inf"} 4',
        'took_seconds_sum{call="create"} 99.65',
        'took_seconds_count{call="create"} 4',
    ]
    assert took.count(call="create") == 4


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1e6, "1000000"),
        (-3, "-3"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers(number: float, text: str) -> None:
    gauge = Gauge("g", "help")
    gauge.set(number)
    assert gauge.samples() == [f"g {text}"]


def test_a_metric_without_labels_is_there_from_the_start() -> None:
    assert Counter("c", "help").samples() == ["c 0"]
    assert Counter("c", "help", ("l",)).samples() == []


def test_label_sets_are_bounded_and_none_is_lost() -> None:
    counter = Counter("c", "help", ("path",), max_series=3)
    for number in range(1000):
        counter.add(path=str(number))
    counter.add(path="1")
    assert counter.samples() == ['c{path="(other)"} 997', 'c{path="0"} 1', 'c{path="1"} 2', 'c{path="2"} 1']


def test_clear_forgets_what_is_gone() -> None:
    gauge = Gauge("g", "help", ("pod",))
    gauge.set(1, pod="a")
    gauge.clear()
    gauge.set(2, pod="b")
    assert gauge.samples() == ['g{pod="b"} 2']


def test_a_counter_never_goes_down() -> None:
    with pytest.raises(ValueError, match="cannot go down"):
        Counter("c", "help").add(-1)


@pytest.mark.parametrize("labels", [{}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}, {"a": "1", "x": "2"}])
def test_labels_are_those_declared(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Counter("c", "help", ("a", "b")).add(**labels)


@pytest.mark.parametrize(
    ("name", "labels"), [("1c", ()), ("c-d", ()), ("c", ("a-b",)), ("c", ("__a",)), ("c", ("a:b",))]
)
def test_bad_names(name: str, labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Counter(name, "help", labels)


def test_a_name_is_taken_once() -> None:
    registry = Registry()
    registry.counter("c", "help")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("c", "help")


@pytest.mark.parametrize("buckets", [(), (1, 1), (2, 1)])
def test_bounds_rise(buckets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rising bounds"):
        Histogram("h", "help", buckets=buckets)


def test_threads_lose_nothing() -> None:
    counter = Counter("c", "help", ("l",))

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
