"""What ECI answers, in both spellings, made into our words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider.cloud.eci import response, values
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.model.instance import (
    CloudCondition,
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    Owner,
    StateKind,
)
from vk_provider.model.workload import File, Flex, Nfs, Volume

GROUP = {
    "ContainerGroupId": "eci-1",
    "ContainerGroupName": "default-web-0",
    "ZoneId": "cn-hangzhou-j",
    "Status": "Running",
    "Cpu": 2.0,
    "Memory": 4.0,
    "IntranetIp": "192.168.0.12",
    "CreationTime": "2024-01-02T03:04:05Z",
    "SucceededTime": "",
    "FailedTime": "2024-01-02T11:09:00+08:00",
    "Tags": [
        {"Key": "vk-cluster-uid", "Value": "c"},
        {"Key": "vk-node", "Value": "n"},
        {"Key": "vk-namespace", "Value": "default"},
        {"Key": "vk-pod", "Value": "_aliyun-web-0"},
        {"Key": "vk-pod-uid", "Value": "uid-1"},
    ],
    "Containers": [
        {
            "Name": "web",
            "Image": "nginx:1.25",
            "Ready": True,
            "RestartCount": 1,
            "CurrentState": {"State": "Running", "DetailStatus": "", "StartTime": "2024-01-02T03:05:00Z"},
            "PreviousState": {
                "State": "Terminated",
                "ExitCode": 137,
                "Signal": 9,
                "Reason": "OOMKilled",
                "StartTime": "2024-01-02T03:04:30.123456789Z",
                "FinishTime": "2024-01-02T03:04:58Z",
            },
        },
        {"Name": "side", "CurrentState": {"State": "Waiting", "DetailStatus": "ImagePullBackOff"}, "PreviousState": {}},
    ],
    "InitContainers": [
        {
            "Name": "init",
            "Image": "busybox",
            "CurrentState": {"State": "Terminated", "ExitCode": 0, "Reason": "Completed"},
        }
    ],
    "Events": [
        {
            "Type": "Normal",
            "Reason": "Started",
            "Name": "default-web-0.17a6f0c2d3e4b5a6",
            "Message": "Started container web",
            "Count": 2,
            "FirstTimestamp": "2024-01-02T03:05:00Z",
            "LastTimestamp": "2024-01-02T03:06:00Z",
        }
    ],
}

INSTANCE = Instance(
    id="eci-1",
    words=WORDS,
    owner=Owner("c", "n", "default", "aliyun-web-0", "uid-1"),
    status=InstanceStatus.RUNNING,
    ip="192.168.0.12",
    zone="cn-hangzhou-j",
    cpu=2.0,
    memory_gib=4.0,
    created_at="2024-01-02T03:04:05Z",
    ended_at="2024-01-02T03:09:00Z",
    containers=(
        ContainerReport(
            "web",
            ContainerState(StateKind.RUNNING, started_at="2024-01-02T03:05:00Z"),
            ContainerState(
                StateKind.TERMINATED,
                reason="OOMKilled",
                exit_code=137,
                signal=9,
                started_at="2024-01-02T03:04:30Z",
                finished_at="2024-01-02T03:04:58Z",
            ),
            ready=True,
            restart_count=1,
            image="nginx:1.25",
        ),
        ContainerReport("side", ContainerState(StateKind.WAITING, reason="ImagePullBackOff")),
    ),
    init_containers=(
        ContainerReport("init", ContainerState(StateKind.TERMINATED, reason="Completed", exit_code=0), image="busybox"),
    ),
    events=(
        CloudEvent(
            "17a6f0c2d3e4b5a6",
            "Normal",
            "Started",
            "Started container web",
            2,
            "2024-01-02T03:05:00Z",
            "2024-01-02T03:06:00Z",
        ),
    ),
    sku="2.0-4.0Gi",
    owner_annotations={
        "k8s.aliyun.com/eci-instance-zone": "cn-hangzhou-j",
        "k8s.aliyun.com/eci-instance-cpu": "2.0",
        "k8s.aliyun.com/eci-instance-mem": "4.0",
    },
)


def camel(value):
    """The same JSON in lowerCamelCase."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel(item) for key, item in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("spelling", [pytest.param(GROUP, id="pascal"), pytest.param(camel(GROUP), id="camel")])
def test_a_described_group(spelling):
    assert response.instance(spelling) == INSTANCE


STATUS = {
    "containerGroupId": "eci-1",
    "status": "Running",
    "uuid": "made up by the cloud",
    "podStatus": {
        "phase": "Running",
        "podIP": "192.168.0.12",
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "ContainerInstanceCreated", "status": "False", "reason": "NoStock", "message": "none left"},
        ],
        "containerStatuses": [
            {
                "name": "web",
                "image": "nginx:1.25",
                "imageID": "nginx@sha256:1",
                "ready": True,
                "restartCount": 1,
                "state": {"running": {"startedAt": "2024-01-02T03:05:00Z"}},
                "lastState": {
                    "terminated": {"containerID": "containerd://1", "exitCode": 0, "finishedAt": "2024-01-02T03:04:58Z"}
                },
            }
        ],
    },
}
REPORT = InstanceReport(
    id="eci-1",
    status=InstanceStatus.RUNNING,
    ip="192.168.0.12",
    containers=(
        ContainerReport(
            "web",
            ContainerState(StateKind.RUNNING, started_at="2024-01-02T03:05:00Z"),
            ContainerState(StateKind.TERMINATED, exit_code=0, finished_at="2024-01-02T03:04:58Z"),
            ready=True,
            restart_count=1,
            image="nginx:1.25",
            image_id="nginx@sha256:1",
        ),
    ),
    conditions=(CloudCondition("ContainerInstanceCreated", "False", "NoStock", "none left"),),
)


def pascal(value):
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(item) for key, item in value.items()}
    return [pascal(item) for item in value] if isinstance(value, list) else value


def both(value):
    if isinstance(value, dict):
        twice = {}
        for key, item in value.items():
            twice[key] = twice[key[:1].upper() + key[1:]] = both(item)
        return twice
    return [both(item) for item in value] if isinstance(value, list) else value


def glued(value):
    """As one edition of the API reference spells the time in it."""
    return json.loads(json.dumps(pascal(value)).replace('"StartedAt"', '"StartedAtstartedAt"'))


@pytest.mark.parametrize(
    "spelling", [STATUS, pascal(STATUS), both(STATUS), glued(STATUS)], ids=["camel", "pascal", "both", "glued"]
)
def test_a_status_item(spelling):
    assert response.report(spelling) == REPORT


WAIT = {"reason": "CrashLoopBackOff", "message": "back-off"}
WAITING = ContainerState(StateKind.WAITING, reason="CrashLoopBackOff", message="back-off")
ENDED = {"exitCode": 1, "reason": "Error"}
NOTHING = {"exitCode": 0, "reason": "", "startedAt": None}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"waiting": WAIT}, WAITING, id="waiting"),
        pytest.param({"waiting": WAIT, "running": None, "terminated": None}, WAITING, id="others null"),
        pytest.param({"waiting": WAIT, "running": {}, "terminated": NOTHING}, WAITING, id="others empty"),
        pytest.param({"terminated": {"exitCode": 0}}, ContainerState(StateKind.TERMINATED, exit_code=0), id="exit 0"),
        pytest.param({"terminated": {}}, ContainerState(StateKind.TERMINATED), id="no exit code given"),
        pytest.param(
            {"running": {"startedAt": ""}, "waiting": {"reason": ""}, "terminated": ENDED},
            ContainerState(StateKind.TERMINATED, reason="Error", exit_code=1),
            id="terminated among empty ones",
        ),
        pytest.param({"running": {}}, ContainerState(StateKind.RUNNING), id="running without a time"),
        pytest.param({}, ContainerState(StateKind.WAITING), id="nothing said claims least"),
        pytest.param({"dancing": {"reason": "x"}}, ContainerState(StateKind.WAITING), id="unknown state"),
    ],
)
def test_a_state(state, expected):
    item = {"containerGroupId": "i", "podStatus": {"containerStatuses": [{"name": "c", "state": state}]}}
    (container,) = response.report(item).containers
    assert container.state == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[pytest.param(status.value, status, id=status.value) for status in InstanceStatus],
        pytest.param("running", InstanceStatus.RUNNING, id="case does not matter"),
        pytest.param("StartingFailed", InstanceStatus.FAILED, id="older word"),
        pytest.param("WatingForDel", InstanceStatus.SCHEDULE_FAILED, id="older word, misspelt"),
        pytest.param("Hibernating", InstanceStatus.UNKNOWN, id="a word of the future"),
        pytest.param("", None, id="nothing said"),
        pytest.param(None, None, id="null"),
        pytest.param(7, None, id="no word"),
    ],
)
def test_status(word, expected):
    assert response.status(word) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05.987654321Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02T11:04:05+08:00", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
        ("0001-01-01T00:00:00Z", ""),
        ("9999-12-31T23:59:59-23:59", ""),
        ("yesterday", ""),
        ("", ""),
        (None, ""),
        (1704164645, ""),
    ],
)
def test_instant(text, expected):
    assert values.instant(text) == expected


def test_an_event_has_the_same_id_in_both_answers():
    described = GROUP["Events"][0]
    listed = {
        "containerGroupId": "eci-1",
        "events": [
            {
                "reason": "Started",
                "message": "Started container web",
                "firstTimestamp": "2024-01-02T03:05:00Z",
                "metadata": {"name": "default-web-0.17a6f0c2d3e4b5a6"},
            }
        ],
    }
    (event,) = response.events_report(listed).events
    assert event.id == response.instance({"Events": [described]}).events[0].id


def test_an_event_without_a_usable_name_is_known_by_what_it_says():
    def id_of(**changed):
        item = {"reason": "Pulled", "message": "m", "firstTimestamp": "2024-01-02T03:05:00Z", "name": "", **changed}
        return response.events_report({"events": [item]}).events[0].id

    assert id_of() == id_of(count=4, lastTimestamp="2024-01-02T03:09:00Z")
    assert len({id_of(), id_of(message="n"), id_of(reason="r"), id_of(firstTimestamp="2024-01-02T03:05:01Z")}) == 4


def test_an_events_report_says_nothing_else():
    report = response.events_report({"containerGroupId": "eci-1", "events": []})
    assert report == InstanceReport("eci-1", events=())


def test_a_page():
    page = response.page({"NextToken": "t", "TotalCount": "41", "ContainerGroups": [{"A": 1}, "junk", None]})
    assert (page.items, page.next_token, page.total) == ([{"A": 1}], "t", 41)
    assert response.page({"data": [{"B": 2}]}).items == [{"B": 2}]
    assert response.page({}).total is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def names_of(value):
    """Every key of an example, so that arbitrary values land where a reader looks."""
    if isinstance(value, dict):
        return set(value) | {name for item in value.values() for name in names_of(item)}
    return {name for item in value for name in names_of(item)} if isinstance(value, list) else set()


NAMED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(names_of(GROUP) | names_of(STATUS))), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(deadline=None)  # the machine may be busy
@given(JSON | NAMED)
def test_no_answer_makes_the_parser_crash(answer):
    response.instance(answer)
    response.report(answer)
    response.events_report(answer)
    response.page(answer)
    response.tags_of(answer)
    response.group_id(answer)
    response.log_content(answer)


def test_volumes_of_a_group_leave_out_what_cannot_be_read():
    def volume(name, *items):
        return {"Name": name, "ConfigFileVolumeConfigFileToPaths": [{"Path": p, "Content": c} for p, c in items]}

    def flex(name, options):
        told = {"FlexVolumeDriver": "alicloud/oss", "FlexVolumeFsType": "", "FlexVolumeOptions": options}
        return {"Name": name, "Type": "FlexVolume", **told}

    nfs = {"NFSVolumeServer": "files.example.com", "NFSVolumePath": "/a", "NFSVolumeReadOnly": True}
    readable = [
        volume("a", ("x", "MQ=="), ("y/z", "")),
        {"Name": "n", "Type": "NFSVolume", **nfs},
        flex("f", '{"bucket":"b"}'),
    ]
    unreadable = [
        *(volume("b", ("x", "?")), {"Name": "c"}, volume("d"), {"Name": "e", "Type": "EmptyDirVolume"}),
        *(flex("g", ""), flex("h", "{"), flex("i", "[1]"), {"Name": "j", "NFSVolumePath": "/"}, volume("", ("x", ""))),
    ]
    assert response.volumes({"Volumes": [*readable, *unreadable]}) == {
        "a": Volume("a", files=(File("x", b"1"), File("y/z", b""))),
        "n": Volume("n", nfs=Nfs("files.example.com", "/a", read_only=True)),
        "f": Volume("f", flex=Flex("alicloud/oss", options={"bucket": "b"})),
    }
    assert response.volumes({}) == {}


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.dictionaries(st.sampled_from(["Name", "FlexVolumeDriver", "FlexVolumeOptions"]), JSON | st.text())))
def test_no_volume_makes_the_parser_crash(volumes):
    response.volumes({"Volumes": volumes})
