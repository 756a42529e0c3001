"""A status that is final, and what others wrote over it (P18, P30)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from status_world import HOST, LATER, NOW, Server, condition, end, entry, instance, pod, run, wait

from vk_provider.model.instance import Instance
from vk_provider.translate import status, terminal_repair

Json = dict[str, Any]
DONE = instance("Succeeded", end())
FAILED = instance("Failed", end("a", 3), wait("b"))


def written(target: Json, body: Json | None) -> Json:
    assert body is not None
    return Server().patch(target, body)


def final(target: Json, seen: Instance) -> Json:
    desired = status.from_instance(target, seen, now=NOW, host_ip=HOST, settled=True)
    return written(target, status.patch(target, desired))


def spoilt(target: Json, spoil: Callable[[Json], object]) -> Json:
    changed = copy.deepcopy(target)
    spoil(changed["status"])
    return changed


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(final(pod(), DONE), id="succeeded"),
        pytest.param(final(pod(), instance("Failed", end(code=2))), id="failed"),
        pytest.param(final(pod(gates=["g"], containers=["a", "b"]), FAILED), id="some never located"),
        pytest.param(
            final(
                pod(inits=["i"]),
                instance("Failed", wait(), init_containers=(end("i", 1),)),
            ),
            id="init failed",
        ),
        pytest.param(
            written(
                pod(inits=["i"]),
                status.patch(
                    pod(inits=["i"]), status.refused(pod(inits=["i"]), reason="R", message="m", now=NOW, host_ip=HOST)
                ),
            ),
            id="refused",
        ),
        pytest.param(pod(status={"phase": "Failed"}), id="ended by others before it was ours"),
    ],
)
def test_what_we_wrote_needs_no_second_word(target: Json) -> None:
    assert terminal_repair.reasserted(target, None, now=LATER) is None
    assert terminal_repair.reasserted(target, instance("Failed", wait()), now=LATER) is None


def ready(of: Json) -> None:
    for each in of["conditions"]:
        if each["type"] in ("Ready", "ContainersReady"):
            each.update(status="True", lastTransitionTime=NOW)
            each.pop("reason")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(ready, id="Ready"),
        pytest.param(lambda of: of["conditions"].pop(), id="a condition taken away"),
        pytest.param(lambda of: of["conditions"].clear(), id="all conditions taken away"),
    ],
)
@pytest.mark.parametrize("seen", [None, DONE], ids=["no instance", "instance kept"])
def test_our_conditions_come_back(spoil: Callable[[Json], object], seen: Instance | None) -> None:
    first = final(pod(), DONE)
    target = spoilt(first, spoil)
    body = terminal_repair.reasserted(target, seen, now=LATER)
    target = written(target, body)
    for each in first["status"]["conditions"]:
        back = condition(target, each["type"])
        assert {name: back.get(name) for name in ("status", "reason")} == {
            name: each.get(name) for name in ("status", "reason")
        }
    assert body is not None
    assert body["status"].keys() == {"conditions"}
    assert terminal_repair.reasserted(target, seen, now=LATER) is None


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(
            lambda of: of["containerStatuses"][0].update(state={"running": {"startedAt": NOW}}, ready=True),
            id="running",
        ),
        pytest.param(lambda of: of["containerStatuses"][0].update(state={"waiting": {"reason": "X"}}), id="waiting"),
        pytest.param(lambda of: of.pop("containerStatuses"), id="taken away"),
    ],
)
def test_an_end_that_the_instance_still_shows_comes_back(spoil: Callable[[Json], object]) -> None:
    first = final(pod(), DONE)
    target = spoilt(first, spoil)
    target = written(target, terminal_repair.reasserted(target, DONE, now=LATER))
    assert entry(target["status"])["state"] == entry(first["status"])["state"]
    assert entry(target["status"])["ready"] is False
    assert target["status"]["phase"] == "Succeeded"
    assert terminal_repair.reasserted(target, DONE, now=LATER) is None


def test_an_init_containers_end_comes_back_among_the_init_containers() -> None:
    ran = instance("Succeeded", end(), init_containers=(end("i"),))
    first = final(pod(inits=["i"]), ran)
    target = spoilt(first, lambda of: of.pop("initContainerStatuses"))
    target = written(target, terminal_repair.reasserted(target, ran, now=LATER))
    assert target["status"]["initContainerStatuses"] == first["status"]["initContainerStatuses"]


def test_an_end_that_stands_there_is_not_told_anew() -> None:
    """P18: which of two ends was written first, nobody can say."""
    target = final(pod(), instance("Failed", run()))
    assert entry(target["status"])["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert terminal_repair.reasserted(target, instance("Failed", end(code=4)), now=LATER) is None


def test_a_pod_that_others_ended_gets_its_containers_ends() -> None:
    target = pod()
    target = written(
        target, status.patch(target, status.from_instance(target, instance("Running", run()), now=NOW, host_ip=HOST))
    )
    target["status"] |= {"phase": "Failed", "reason": "Evicted"}
    target = written(target, terminal_repair.reasserted(target, instance("Terminating", end(code=143)), now=LATER))
    assert entry(target["status"])["state"]["terminated"]["exitCode"] == 143
    assert (target["status"]["phase"], target["status"]["reason"]) == ("Failed", "Evicted")
    assert condition(target, "Ready")["reason"] == "PodFailed"
