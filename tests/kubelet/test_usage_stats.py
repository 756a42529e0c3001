"""The book of figures: counters that only grow, measures that count once, figures that grow old."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.kubelet.usage_stats import FLOOR_MEMORY, FLOOR_NANO_CORES, LEAST_CPU_NS, Cpu, CpuCounter, UsageStats
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind
from vk_provider.model.usage import ContainerUsage, CpuUsage, InstanceUsage, MemoryUsage

START = 1_704_164_400  # 2024-01-02T03:00:00Z
CORE = 10**9


def stamp(seconds: float) -> str:
    return f"2024-01-02T03:{int(seconds) // 60:02}:{seconds % 60:06.3f}Z"


def instance(*, restarts: int = 0, started: float = 0, names: tuple[str, ...] = ("app",)) -> Instance:
    state = ContainerState(StateKind.RUNNING, started_at=stamp(started)[:-5] + "Z")
    reports = tuple(ContainerReport(name, state, restart_count=restarts) for name in names)
    return Instance("eci-1", Owner(), InstanceStatus.RUNNING, created_at=stamp(0), containers=reports)


def measure(at: float, *, rate: int | None = None, total: int | None = None, others=None, **whole) -> InstanceUsage:
    one = ContainerUsage(CpuUsage(rate, total), MemoryUsage(working_set=5 << 20))
    return InstanceUsage(stamp(at), containers={"app": one, **(others or {})}, **whole)


class Clocks:
    def __init__(self) -> None:
        self.now = 0.0
        self.set_back_s = 0.0
        wall = lambda: START + self.now - self.set_back_s  # noqa: E731
        self.book = UsageStats(clock=lambda: self.now, wall=wall, stale_after_s=120)

    def take(self, *measures) -> None:
        self.book.ingest(measures)

    def cpu(self) -> Cpu:
        figures = self.book.of("eci-1")
        assert figures is not None
        cpu = figures.containers["app"].cpu
        assert cpu is not None
        return cpu


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


# --- counters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        pytest.param([(20, {"rate": CORE})], Cpu(20 * CORE, CORE), id="a rate counts from the start"),
        pytest.param([(600, {"rate": CORE})], Cpu(60 * CORE, CORE), id="but for a minute at most"),
        pytest.param(
            [(20, {"rate": CORE}), (30, {"rate": CORE // 2})], Cpu(25 * CORE, CORE // 2), id="rates are added up"
        ),
        pytest.param([(20, {"total": 7})], Cpu(LEAST_CPU_NS, None), id="next to nothing"),
        pytest.param([(20, {"total": 0, "rate": 0})], Cpu(LEAST_CPU_NS, 0), id="a measured nothing"),
        pytest.param([(20, {"total": 5 * CORE})], Cpu(5 * CORE, None), id="the cloud's own total"),
        pytest.param(
            [(20, {"total": 5 * CORE}), (30, {"total": 7 * CORE})], Cpu(7 * CORE, CORE // 5), id="rate of two totals"
        ),
        pytest.param(
            [(20, {"total": 5 * CORE}), (30, {"total": CORE})], Cpu(6 * CORE, CORE // 10), id="a total that begins anew"
        ),
        pytest.param(
            [(20, {"total": 5 * CORE}), (30, {"rate": CORE}), (40, {"total": 20 * CORE, "rate": CORE})],
            Cpu(25 * CORE, CORE),
            id="a total that was away",
        ),
        pytest.param([(20, {"rate": CORE}), (30, {})], Cpu(20 * CORE, None), id="nothing said, nothing counted"),
    ],
)
def test_cpu_counter(clocks: Clocks, measures, expected) -> None:
    for at, figures in measures:
        clocks.take((instance(), measure(at, **figures)))
    assert clocks.cpu() == expected


@given(st.lists(st.tuples(st.integers(1, 10**6), *[st.none() | st.integers(0, 10**12)] * 2), min_size=1))
def test_a_counter_never_goes_back(steps) -> None:
    at, told, counter = 0, 0, None
    for step_ms, rate, total in steps:
        at += step_ms
        if counter is None:
            counter = CpuCounter.begin(at, CpuUsage(rate, total), age_s=1)
        else:
            counter.advance(at, CpuUsage(rate, total))
        if counter is not None:
            assert counter.total_ns >= max(told, LEAST_CPU_NS)
            told = counter.total_ns


def test_a_new_run_has_a_counter_of_its_own(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, total=50 * CORE)))
    again = instance(restarts=1, started=30)
    clocks.take((again, measure(25, total=55 * CORE)))
    figures = clocks.book.of("eci-1")
    assert figures is not None
    assert figures.containers == {}  # measured before it started
    clocks.take((again, measure(40, total=2 * CORE)))
    assert clocks.cpu().total_ns == 2 * CORE


def test_the_same_measure_counts_once_and_an_older_one_not_at_all(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, rate=CORE)))
    before = clocks.book.of("eci-1")
    for at in (20, 10):
        clocks.take((instance(), measure(at, rate=9 * CORE)))
        assert clocks.book.of("eci-1") == before


def test_figures_of_the_whole_are_added_up_where_the_cloud_gives_none(clocks: Clocks) -> None:
    two = instance(names=("app", "side"))
    side = {"side": ContainerUsage(CpuUsage(CORE), MemoryUsage(working_set=3 << 20))}
    clocks.take((two, measure(20, rate=CORE, others=side)))
    figures = clocks.book.of("eci-1")
    assert figures is not None
    assert figures.cpu == Cpu(40 * CORE, 2 * CORE)
    assert figures.memory.working_set == 8 << 20


def test_the_cloud_s_figures_of_the_whole_come_first(clocks: Clocks) -> None:
    whole = {"cpu": CpuUsage(3 * CORE, 90 * CORE), "memory": MemoryUsage(usage=70 << 20, working_set=60 << 20)}
    clocks.take((instance(), measure(20, rate=CORE, **whole)))
    figures = clocks.book.of("eci-1")
    assert figures is not None
    assert (figures.cpu, figures.memory.working_set) == (Cpu(90 * CORE, 3 * CORE), 60 << 20)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (MemoryUsage(working_set=0), 4096),
        (MemoryUsage(usage=9000), 9000),
        (MemoryUsage(rss=9000), None),
        (MemoryUsage(usage=9000, working_set=8000), 8000),
    ],
)
def test_working_set(clocks: Clocks, memory: MemoryUsage, expected: int | None) -> None:
    usage = InstanceUsage(stamp(20), containers={"app": ContainerUsage(CpuUsage(1), memory)})
    clocks.take((instance(), usage))
    figures = clocks.book.of("eci-1")
    assert figures is not None
    assert figures.containers["app"].memory.working_set == expected


def test_a_measure_without_its_time_is_none(clocks: Clocks) -> None:
    clocks.take((instance(), replace(measure(20), measured_at="")))
    assert clocks.book.of("eci-1") is None


# --- age --------------------------------------------------------------------------------------------------------------


def test_old_figures_are_not_told(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, rate=CORE)))
    clocks.now = 100
    clocks.take((instance(), measure(20, rate=CORE)))  # the cloud answers, with nothing new
    clocks.now = 120
    assert clocks.book.of("eci-1") is not None
    clocks.now = 121
    assert clocks.book.of("eci-1") is None
    assert clocks.book.is_current


def test_without_any_look_there_is_no_node(clocks: Clocks) -> None:
    assert not clocks.book.is_current
    assert clocks.book.node is None
    clocks.take()
    assert clocks.book.node is not None
    clocks.now = 121
    assert not clocks.book.is_current
    assert clocks.book.node is None


def test_who_is_gone_is_forgotten(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, rate=CORE)))
    clocks.book.retain([])
    assert clocks.book.of("eci-1") is None


# --- the node ---------------------------------------------------------------------------------------------------------


def test_the_node_is_its_pods_and_a_floor(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, rate=CORE)))
    first = clocks.book.node
    assert first is not None
    assert (first.cpu.nano_cores, first.working_set) == (CORE + FLOOR_NANO_CORES, (5 << 20) + FLOOR_MEMORY)
    clocks.now = 10
    clocks.take((instance(), measure(30, rate=CORE)))
    node = clocks.book.node
    assert node is not None
    assert node.cpu.total_ns - first.cpu.total_ns == 10 * (CORE + FLOOR_NANO_CORES)
    assert node.at_ms == (START + 10) * 1000


def test_the_node_s_counter_outlives_its_pods(clocks: Clocks) -> None:
    clocks.take((instance(), measure(20, total=500 * CORE, rate=CORE)))
    before = clocks.book.node
    clocks.now = 10
    clocks.book.retain([])
    clocks.take()
    node = clocks.book.node
    assert before is not None
    assert node is not None
    assert node.cpu.total_ns > before.cpu.total_ns
    assert (node.cpu.nano_cores, node.working_set) == (FLOOR_NANO_CORES, FLOOR_MEMORY)


def test_a_wall_clock_set_back_moves_no_time_back(clocks: Clocks) -> None:
    clocks.take()
    before = clocks.book.node
    clocks.now, clocks.set_back_s = 10, 3600
    clocks.take()
    node = clocks.book.node
    assert before is not None
    assert node is not None
    assert node.at_ms > before.at_ms
