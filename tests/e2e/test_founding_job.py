"""The Job that two small workers cannot carry, on the virtual node of a real cluster: what its user sees of it."""

import hashlib
from collections.abc import Iterator

import pytest

from fakes import perl
from fakes.demo import DIGITS_SHA256, PYTHON_PROGRAM
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import TOLERATION, Json, job

EVENTS = ["Scheduled", "SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started"]


def founding_pod(able_perl: perl.Perl | None) -> Json:
    """The article's pod; where no perl can compute the digits, a Python program does."""
    image, command = ("perl", ["perl", *perl.PROGRAM]) if able_perl else ("python", ["python3", "-c", PYTHON_PROGRAM])
    resources = {"requests": {"cpu": "16", "memory": "32Gi"}}
    container = {"name": "pi", "image": image, "command": command, "resources": resources}
    return {"containers": [container], "restartPolicy": "Never"}


@pytest.fixture(scope="module")
def pi(able_perl: perl.Perl | None) -> Json:
    return founding_pod(able_perl)


@pytest.fixture(scope="module")
def done(cluster: Cluster, node: str, pi: Json) -> Iterator[Space]:
    """A namespace in which the Job has run to its end."""
    with make_space(cluster) as space:
        space.create(job("pi", {**pi, "nodeSelector": {"type": "virtual-kubelet"}, "tolerations": [TOLERATION]}))
        space.when("Job", "pi", lambda found: condition(found, "Complete") == "True", within_s=120)
        yield space


@pytest.fixture
def its_pod(done: Space) -> Json:
    (pod,) = done.pods("job-name=pi")
    return pod


def test_it_stays_pending_on_workers_too_small(space: Space, node: str, pi: Json) -> None:
    space.create(job("pi", pi, backoffLimit=4))

    def refused() -> str:
        for pod in space.pods("job-name=pi"):
            for each in pod["status"].get("conditions") or ():
                if each["type"] == "PodScheduled" and each["status"] == "False":
                    return str(each["message"])
        return ""

    message = within(20, refused)
    assert "2 Insufficient cpu" in message
    assert "1 node(s) had" in message  # the virtual node takes only those who ask for it
    assert "taint" in message


def test_it_succeeds_on_the_virtual_node(done: Space, its_pod: Json, node: str) -> None:
    status = done.get("Job", "pi")["status"]
    assert (status["succeeded"], status.get("failed", 0), status.get("active", 0)) == (1, 0, 0)
    assert its_pod["spec"]["nodeName"] == node
    assert its_pod["status"]["phase"] == "Succeeded"


def test_its_six_events_come_in_order_with_their_sources(done: Space, its_pod: Json) -> None:
    events = done.events(its_pod["metadata"]["name"])
    assert [event["reason"] for event in events][:6] == EVENTS  # what it cost may come a moment later
    assert {event["type"] for event in events} == {"Normal"}
    assert {(each["source"].get("component"), each["source"].get("host")) for each in events[1:6]} == {
        ("kubelet", "eci")
    }
    (token,) = (each["name"] for each in its_pod["spec"]["volumes"])
    assert f'"{token}"' in events[1]["message"]


def test_describe_shows_them_all(done: Space, its_pod: Json, kubectl: str) -> None:
    told = done.kubectl("describe", "pod", its_pod["metadata"]["name"], program=kubectl)
    lines = [line.split() for line in told.partition("Events:")[2].splitlines()]
    shown = [words for words in lines if words and words[0] == "Normal"]
    assert [words[1] for words in shown][:6] == EVENTS
    assert all(words[3].startswith("kubelet") for words in shown[1:6]), told  # older ones show the host beside it


def test_its_output_comes_back_through_kubectl(done: Space, its_pod: Json, kubectl: str) -> None:
    for target in (its_pod["metadata"]["name"], "job/pi"):
        digits = done.kubectl("logs", target, program=kubectl).strip()
        assert hashlib.sha256(digits.encode()).hexdigest() == DIGITS_SHA256, digits[:100]


def test_the_pod_stays_listed_as_completed(done: Space, kubectl: str) -> None:
    header, row = (line.split() for line in done.kubectl("get", "pods", program=kubectl).splitlines())
    shown = dict(zip(header, row, strict=False))
    assert (shown["READY"], shown["STATUS"], shown["RESTARTS"]) == ("0/1", "Completed", "0")


def test_its_size_is_what_it_asked_for_and_it_is_billed_no_more(its_pod: Json, cloud: Cloud) -> None:
    instance = cloud.of_pod(its_pod)
    assert (instance["cpu"], instance["memory_gib"], instance["billing"]) == (16, 32, False)
    assert instance["billed_seconds"] > 0


def test_its_status_is_what_a_kubelet_writes(its_pod: Json, cluster: Cluster) -> None:
    status = its_pod["status"]
    assert status["hostIP"] == cluster.address
    assert [each["ip"] for each in status["podIPs"]] == [status["podIP"]]
    assert {each["type"]: (each["status"], each.get("reason")) for each in status["conditions"]} == {
        "PodScheduled": ("True", None),
        "PodReadyToStartContainers": ("False", None),
        "Initialized": ("True", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainerInstanceCreated": ("True", None),  # our own: whether the cloud had room
    }
    (container,) = status["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (container["name"], container["ready"], container["started"]) == ("pi", False, False)
    assert (container["restartCount"], container["lastState"]) == (0, {})
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert status["startTime"] <= ended["startedAt"] <= ended["finishedAt"]
    assert ended["containerID"] == container["containerID"]
