"""Last words out of the log: for whom, from which run, how much, and asked for once (S40)."""

from __future__ import annotations

from typing import Any

import pytest

from vk_provider.cloud.base import LogOptions
from vk_provider.control.actions import ReadTerminationMessages
from vk_provider.control.memory import PodMemory
from vk_provider.control.perform.messages import LogEndReader
from vk_provider.control.termination_message import with_fallback_messages
from vk_provider.errors import CloudUnavailable
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind

Json = dict[str, Any]
RUNNING = ContainerState(StateKind.RUNNING, started_at="2026-01-02T03:05:00Z")


class Logs:
    """A cloud of which only the logs are asked."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.asked: list[tuple[str, LogOptions]] = []

    async def logs(self, instance_id: str, container: str, options: LogOptions) -> Any:
        assert instance_id == "eci-1"
        self.asked.append((container, options))
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def ended(code: int | None = 1, message: str = "", at: str = "2026-01-02T03:04:00Z") -> ContainerState:
    return ContainerState(StateKind.TERMINATED, exit_code=code, message=message, started_at=at, finished_at=at)


def pod(policy: str = "FallbackToLogsOnError", **entry: Json) -> Json:
    entries = [{"name": "c", **entry}] if entry else []
    container = {"name": "c", "image": "i", "terminationMessagePolicy": policy}
    return {"spec": {"containers": [container]}, "status": {"containerStatuses": entries}}


def instance(state: ContainerState, last: ContainerState | None = None, *, init: bool = False) -> Instance:
    reports = (ContainerReport("c", state, last),)
    lists = {"init_containers": reports} if init else {"containers": reports}
    return Instance("eci-1", Owner(), InstanceStatus.RUNNING, **lists)


async def words(cloud: Any, pod: Json, seen: Instance, memory: PodMemory | None = None) -> tuple[str, str, PodMemory]:
    """Of the container's state and of its last state; and what is remembered."""
    memory = memory or PodMemory()
    filled, unread = with_fallback_messages(pod, seen, memory.messages)
    if unread:
        observation: Any = None
        outcome = await LogEndReader(cloud).read(observation, ReadTerminationMessages(seen.id, unread), memory)
        memory = outcome.memory
        filled, left = with_fallback_messages(pod, seen, memory.messages)
        assert not left, "each run is read once"
    (report,) = (*filled.containers, *filled.init_containers)
    return report.state.message, report.last_state.message if report.last_state else "", memory


@pytest.mark.parametrize(
    ("target", "seen", "expected", "previous"),
    [
        pytest.param(pod(), instance(ended()), ("bye", ""), [False], id="failed without a word"),
        pytest.param(pod(), instance(ended(), init=True), ("bye", ""), [False], id="an init container"),
        pytest.param(pod(), instance(RUNNING, ended()), ("", "bye"), [True], id="the run before"),
        pytest.param(
            pod(), instance(ContainerState(StateKind.WAITING), ended()), ("", "bye"), [True], id="between two runs"
        ),
        pytest.param(pod(), instance(ended(message="own")), ("own", ""), [], id="its own words"),
        pytest.param(pod(), instance(ended(0)), ("", ""), [], id="a good end"),
        pytest.param(pod(), instance(ended(None)), ("", ""), [], id="an end nobody knows"),
        pytest.param(pod(), instance(RUNNING), ("", ""), [], id="runs"),
        pytest.param(pod("File"), instance(ended()), ("", ""), [], id="another policy"),
        pytest.param(
            pod(
                state={
                    "terminated": {
                        "exitCode": 1,
                        "message": "known",
                        "startedAt": "2026-01-02T03:04:00Z",
                        "finishedAt": "2026-01-02T03:04:00Z",
                    }
                }
            ),
            instance(ended()),
            ("known", ""),
            [],
            id="what the pod has already",
        ),
    ],
)
async def test_whose_words_are_looked_for(
    target: Json, seen: Instance, expected: tuple[str, str], previous: list[bool]
) -> None:
    cloud = Logs(b"b", b"ye")
    assert (await words(cloud, target, seen))[:2] == expected
    assert cloud.asked == [("c", LogOptions(tail=80, previous=each)) for each in previous]


async def test_each_run_is_asked_about_once() -> None:
    cloud, memory = Logs(b"bye"), PodMemory()
    for _ in range(3):
        *found, memory = await words(cloud, pod(), instance(ended()), memory)
        assert found == ["bye", ""]
    assert len(cloud.asked) == 1
    *_, memory = await words(cloud, pod(), instance(ended(at="2026-01-02T03:06:00Z")), memory)
    assert len(cloud.asked) == 2
    assert len(memory.messages) == 1


async def test_the_last_2048_bytes_count() -> None:
    told, *_ = await words(Logs(b"x" * 5000, b"end"), pod(), instance(ended()))
    assert (len(told), told[-4:]) == (2048, "xend")


async def test_a_cloud_that_does_not_answer_leaves_it_without_words() -> None:
    cloud, memory = Logs(CloudUnavailable("later")), PodMemory()
    for _ in range(2):
        *found, memory = await words(cloud, pod(), instance(ended()), memory)
        assert found == ["", ""]
    assert len(cloud.asked) == 1
