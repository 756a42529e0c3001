"""A kubelet's pages, as values; what is missing or malformed is left out or refused, and never taken for no use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.qos_agent.readings import PodReading, Reading, Sample, from_resource_metrics, from_summary
from vk_provider.qos_agent.usage import Meter, PodUsage, Usage

PAGE = """\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="default",pod="pi-x"} 7.5 1700000001500
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 1.5e+03 1700000001000
node_memory_working_set_bytes 2.147483648e+09 1700000002000
node_swap_usage_bytes 0 1700000002000
pod_cpu_usage_seconds_total{namespace="default",pod="pi-x"} 8.25 1700000001250
pod_memory_working_set_bytes{namespace="default",pod="pi-x"} 1.048576e+06 1700000001250
pod_memory_working_set_bytes{namespace="web",pod="api-0"} NaN
pod_cpu_usage_seconds_total{namespace="web",pod="api-0"} 3
pod_cpu_usage_seconds_total{pod="no-namespace"} 3
resource_scrape_error 0
"""


def test_the_page_of_a_kubelet():
    reading = from_resource_metrics(PAGE, at_s=50.0)
    assert reading == Reading(
        Sample(1_700_000_001.0, 1500.0),
        Sample(1_700_000_002.0, 2.0**31),
        {
            ("default", "pi-x"): PodReading(Sample(1_700_000_001.25, 8.25), Sample(1_700_000_001.25, 2.0**20)),
            ("web", "api-0"): PodReading(Sample(50.0, 3.0), None),
        },
    )


@pytest.mark.parametrize(
    "page",
    [
        "",
        "node_cpu_usage_seconds_total 1\n",
        "node_cpu_usage_seconds_total x\nnode_memory_working_set_bytes 1\n",
        "<html>",
    ],
)
def test_a_page_without_the_nodes_use_is_none(page):
    with pytest.raises(ValueError, match="no node_cpu"):
        from_resource_metrics(page, at_s=0.0)


SUMMARY = {
    "node": {
        "cpu": {"time": "2026-01-02T03:04:05Z", "usageCoreNanoSeconds": 1_500_000_000_000},
        "memory": {"time": "2026-01-02T03:04:06Z", "workingSetBytes": 4096},
    },
    "pods": [
        {
            "podRef": {"namespace": "default", "name": "pi-x", "uid": "u"},
            "cpu": {"time": "2026-01-02T03:04:05Z", "usageCoreNanoSeconds": 2_000_000_000},
            "memory": {"workingSetBytes": 7},
        },
        {"podRef": {"name": "no-namespace"}},
        "no object",
    ],
}


def test_the_summary_of_a_kubelet():
    reading = from_summary(SUMMARY, at_s=5.0)
    assert reading.cpu == Sample(1_767_323_045.0, 1500.0)
    assert reading.memory == Sample(1_767_323_046.0, 4096.0)
    assert reading.pods == {("default", "pi-x"): PodReading(Sample(1_767_323_045.0, 2.0), Sample(5.0, 7.0))}


@pytest.mark.parametrize("document", [None, [], {}, {"node": {"cpu": {"usageCoreNanoSeconds": True}}}, {"node": 3}])
def test_a_summary_without_the_nodes_use_is_none(document):
    with pytest.raises(ValueError, match="no usageCoreNanoSeconds"):
        from_summary(document, at_s=0.0)


def reading(at_s, cpu_s, memory=1.0, **pods):
    samples = {("ns", name): PodReading(Sample(at_s, each), Sample(at_s, 10.0)) for name, each in pods.items()}
    return Reading(Sample(at_s, cpu_s), Sample(at_s, memory), samples)


def test_use_is_what_was_used_between_two_readings():
    meter = Meter()
    assert meter.measure(reading(0, 100.0, p=5.0)) is None
    usage = meter.measure(reading(10, 120.0, p=15.0, new=3.0))
    assert usage == Usage(10, 2.0, 1.0, {("ns", "p"): PodUsage(1.0, 10.0), ("ns", "new"): PodUsage(0.3, 10.0)})


def test_a_kubelet_that_repeats_itself_changes_nothing_and_grows_old():
    meter = Meter()
    meter.measure(reading(0, 100.0))
    first, again = meter.measure(reading(10, 120.0)), meter.measure(reading(10, 120.0))
    assert first == again
    assert first is not None
    assert (first.is_fresh(29.0), first.is_fresh(31.0), first.is_fresh(-20.0)) == (True, False, False)


def test_counters_that_begin_anew_are_no_use_known():
    meter = Meter()
    meter.measure(reading(0, 100.0, p=50.0))
    assert meter.measure(reading(10, 4.0, p=2.0)) is None
    usage = meter.measure(reading(20, 14.0, p=7.0))
    assert usage is not None
    assert (usage.cpu, usage.pods["ns", "p"].cpu) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("before", "after", "regular"),
    [
        pytest.param({"p": 50.0}, {"p": 1.0}, 1.9, id="a namesake began since"),
        pytest.param({}, {"p": 5.0}, 1.5, id="it began since"),
        pytest.param({}, {"p": 500.0}, 2.0, id="it cannot have begun since: nothing of it is subtracted"),
        pytest.param({"p": 5.0}, {}, 2.0, id="it ended"),
    ],
)
def test_pods_that_come_and_go(before, after, regular):
    meter = Meter()
    meter.measure(reading(0, 100.0, **before))
    usage = meter.measure(reading(10, 120.0, **after))
    assert usage is not None
    assert usage.cpu_quota(8.0, [("ns", "p")]).regular_cpu == pytest.approx(regular)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e9), st.floats(0, 1e9)), min_size=1, max_size=12),
)
def test_use_is_never_negative_and_never_less_for_pods_that_are_not_ours(steps):
    meter = Meter()
    for at_s, node_s, pod_s in steps:
        usage = meter.measure(reading(at_s, node_s, p=pod_s))
        if usage is not None:
            assert usage.cpu >= 0
            assert usage.cpu_quota(8.0, []).regular_cpu == usage.cpu
            assert 0 <= usage.cpu_quota(8.0, [("ns", "p")]).regular_cpu <= usage.cpu
