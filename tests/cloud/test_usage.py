"""The newest figures of many instances: what is asked, how much of it, and what the answers are taken for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cloud.eciserver import Fault
from vk_provider.cloud.base import SupportsUsage
from vk_provider.cloud.eci import usage
from vk_provider.errors import CloudRefused, CloudUnavailable
from vk_provider.model.usage import ContainerUsage, CpuUsage, InstanceUsage, InterfaceUsage, MemoryUsage

# As the API's own description shows a record.
RECORD = {
    "Timestamp": "2024-01-02T03:04:05Z",
    "CPU": {"UsageNanoCores": 12000000, "UsageCoreNanoSeconds": 770000000, "Load": 0, "Limit": 2000},
    "Memory": {"UsageBytes": 9, "WorkingSet": 8, "Rss": 7, "Cache": 1, "AvailableBytes": 42},
    "Network": {"Interfaces": [{"Name": "eth0", "RxBytes": 1, "RxErrors": 2, "TxBytes": 3, "TxErrors": 4}]},
    "Disk": [{"Device": "/dev/vda", "ReadBytes": 1, "WriteBytes": 1, "ReadIo": 0, "WriteIo": 0}],
    "Containers": [{"Name": "web", "CPU": {"UsageNanoCores": 5}, "Memory": {"WorkingSet": 6}}],
}


def lower(value):
    """The same with every name in lower camel case, as other calls of ECI spell theirs."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: lower(item) for key, item in value.items()}
    return [lower(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spelled", [lambda answer: answer, lower])
def test_a_record(spelled):
    answer = spelled({"MonitorDatas": [{"ContainerGroupId": "eci-1", "Records": [RECORD]}]})
    assert usage.usages(answer) == {
        "eci-1": InstanceUsage(
            measured_at="2024-01-02T03:04:05.000Z",
            cpu=CpuUsage(nano_cores=12000000, core_nano_seconds=770000000),
            memory=MemoryUsage(usage=9, working_set=8, rss=7, available=42),
            containers={"web": ContainerUsage(CpuUsage(nano_cores=5), MemoryUsage(working_set=6))},
            interfaces=(InterfaceUsage("eth0", rx_bytes=1, rx_errors=2, tx_bytes=3, tx_errors=4),),
        )
    }


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2024-01-02T11:04:05.120+08:00", "2024-01-02T03:04:05.120Z"),
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05.000Z"),
    ],
)
def test_times_become_utc_with_milliseconds(stamp, expected):
    answer = {"MonitorDatas": [{"ContainerGroupId": "a", "Records": [{**RECORD, "Timestamp": stamp}]}]}
    assert usage.usages(answer)["a"].measured_at == expected


def test_the_newest_record_counts_and_one_without_time_does_not():
    stamps = ["2024-01-02T03:04:05Z", "2024-01-02T11:05:05+08:00", "", None, "yesterday", 7]
    records = [{**RECORD, "Timestamp": stamp} for stamp in stamps]
    answer = {"MonitorDatas": [{"ContainerGroupId": "a", "Records": records}, {"ContainerGroupId": "b", "Records": []}]}
    assert {id_: one.measured_at for id_, one in usage.usages(answer).items()} == {"a": "2024-01-02T03:05:05.000Z"}


@pytest.mark.parametrize("value", [None, "", "many", -1, True, [], {}, float("nan"), float("inf")])
def test_a_figure_that_is_none_is_unknown_rather_than_zero(value):
    record = {"Timestamp": "2024-01-02T03:04:05Z", "CPU": {"UsageNanoCores": value}, "Memory": {"WorkingSet": value}}
    found = usage.usages({"MonitorDatas": [{"ContainerGroupId": "a", "Records": [record]}]})["a"]
    assert (found.cpu.nano_cores, found.memory.working_set) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "Containers", "Name", "CPU", "Timestamp", "Network", "ContainerGroupId"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_answer_raises(answer):
    usage.usages(answer)
    usage.usages({"MonitorDatas": answer})
    usage.usages(
        {"MonitorDatas": [{"ContainerGroupId": "a", "Records": [answer, {"Timestamp": "2024-01-02", "x": answer}]}]}
    )


# --- the driver -------------------------------------------------------------------------------------------------------


class Meter:
    """Answers the metric call. `refused`: ids that make ECI refuse the whole call."""

    def __init__(self, eci) -> None:
        self.asked: list[list[str]] = []
        self.refused: set[str] = set()
        self.code = "InvalidParameter.NotFound"
        eci._DescribeMultiContainerGroupMetric = self

    def __call__(self, parameters):
        assert parameters["MetricType"] == "summary"
        ids = json.loads(parameters["ContainerGroupIds"])
        self.asked.append(ids)
        if self.refused & set(ids):
            raise Fault(404, self.code)
        datas = [{"ContainerGroupId": id_, "Records": [RECORD]} for id_ in ids if id_ != "no-figures"]
        return {"MonitorDatas": datas}


@pytest.fixture
def meter(eci):
    return Meter(eci)


async def test_twenty_a_call_each_once(cloud, meter):
    assert isinstance(cloud, SupportsUsage)
    ids = [f"eci-{number}" for number in range(45)]
    found = await cloud.usage([*ids, "no-figures", ids[0]])
    assert list(found) == ids
    assert [len(asked) for asked in meter.asked] == [20, 20, 6]


async def test_nothing_asked_costs_nothing(cloud, meter):
    assert await cloud.usage([]) == {}
    assert meter.asked == []


async def test_one_that_is_gone_does_not_take_the_others_along(cloud, meter):
    meter.refused = {"eci-7"}
    ids = [f"eci-{number}" for number in range(20)]
    assert set(await cloud.usage(ids)) == set(ids) - {"eci-7"}
    assert len(meter.asked) <= 11


async def test_another_refusal_is_one(cloud, meter):
    meter.refused, meter.code = {"eci-1"}, "InvalidParameter"
    with pytest.raises(CloudRefused):
        await cloud.usage(["eci-1", "eci-2"])
    assert len(meter.asked) == 1


async def test_an_outage_is_told(cloud, eci, meter):
    eci.fail("DescribeMultiContainerGroupMetric", 503, "ServiceUnavailable", times=5)
    with pytest.raises(CloudUnavailable):
        await cloud.usage(["eci-1"])
