"""What is sent of a status: only news, in a form that merges, few times in a pod's life (kubelet.md b.7)."""

from __future__ import annotations

import pytest
from status_world import HOST, LATER, NOW, Rejected, Server, condition, end, instance, pod, run, wait

from vk_provider.model.instance import CloudCondition
from vk_provider.translate import status
from vk_provider.translate.status_patch import is_in

SERVERS = pytest.mark.parametrize("server", [Server(), Server(modern=False)], ids=["modern", "1.20"])


def look(target, seen, **more):
    return status.patch(target, status.from_instance(target, seen, now=LATER, host_ip=HOST), **more)


@SERVERS
def test_a_plain_job_pod_costs_three_patches(server):
    target = pod()
    created = CloudCondition("ContainerInstanceCreated", "True")
    creating = CloudCondition("ContainerInstanceCreated", "False", "Creating")
    life = [
        instance("Scheduling", ip=""),
        instance("Scheduling", ip="", conditions=[creating]),
        instance("Pending", wait(), conditions=[created]),
        instance("Pending", wait(reason="Pulling", message="layer 3"), conditions=[created]),
        instance("Pending", wait(reason="ContainerCreating"), conditions=[created]),
        instance("Running", run(), conditions=[created]),
        instance("Running", run(ready=True), conditions=[created]),
        instance("Succeeded", run(ready=True), conditions=[created], ended_at=LATER),
        instance("Succeeded", end(), conditions=[created], ended_at=LATER),
        instance("Succeeded", end(), conditions=[created], ended_at=LATER),
    ]
    phases = []
    for seen in life:
        body = look(target, seen, annotations={"virtual-kubelet.io/instance-id": seen.id})
        if body is not None:
            target = server.patch(target, body)
            phases.append(target["status"]["phase"])
    assert phases == ["Pending", "Running", "Succeeded"]
    assert target["metadata"]["annotations"] == {"virtual-kubelet.io/instance-id": "eci-1"}
    assert target["status"]["podIP"] == "192.168.0.9"
    assert condition(target, "ContainerInstanceCreated")["status"] == "True"


def test_a_condition_of_the_cloud_that_says_no_is_news():
    target = Server().patch(pod(), look(pod(), instance("Scheduling", ip="")))
    no = CloudCondition("ContainerInstanceCreated", "False", "NoStock", "none left")
    body = look(target, instance("Scheduling", ip="", conditions=[no]))
    assert [each["type"] for each in body["status"]["conditions"]] == ["ContainerInstanceCreated"]


@SERVERS
def test_twice_the_same_is_once(server):
    """P27"""
    target = server.patch(pod(), look(pod(), instance("Running", run())))
    assert look(target, instance("Running", run())) is None


def test_an_old_server_without_generations_and_host_ips():
    target = pod(generation=None)
    target = Server(modern=False).patch(target, look(target, instance("Running", run())))
    assert "hostIPs" not in target["status"]
    assert look(target, instance("Running", run())) is None


def test_the_body_names_the_uid_and_only_what_differs():
    """P26"""
    target = Server().patch(pod(), look(pod(), instance("Running", run())))
    body = look(target, instance("Succeeded", end()))
    assert body["metadata"] == {"uid": "u-1"}
    assert set(body["status"]) == {"phase", "conditions", "containerStatuses"}
    assert {each["type"] for each in body["status"]["conditions"]} == {
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
    }


def test_annotations_alone_are_enough():
    target = Server().patch(pod(), look(pod(), instance("Running", run())))
    body = look(target, instance("Running", run()), annotations={"a": "1"})
    assert body == {"metadata": {"uid": "u-1", "annotations": {"a": "1"}}}
    target = Server().patch(target, body)
    assert look(target, instance("Running", run()), annotations={"a": "1"}) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_terminal_is_final(phase):
    """P18"""
    target = pod(status={"phase": phase})
    assert look(target, instance("Running", run()), annotations={"a": "1"}) is None
    assert status.patch(target, status.stopped(target, None, now=NOW, host_ip=HOST)) is None


def test_what_a_condition_no_longer_says_is_taken_back():
    target = Server().patch(pod(), look(pod(), instance("Pending", wait())))
    assert condition(target, "Ready")["reason"] == "ContainersNotReady"
    target = Server().patch(target, look(target, instance("Running", run())))
    assert condition(target, "Ready").keys() & {"reason", "message"} == set()


def test_ready_that_a_controller_set_to_false_is_put_right():
    """N25"""
    target = Server().patch(pod(), look(pod(), instance("Running", run())))
    condition(target, "Ready").update(status="False", lastTransitionTime=NOW)
    body = look(target, instance("Running", run()))
    assert [(each["type"], each["status"]) for each in body["status"]["conditions"]] == [("Ready", "True")]
    assert body["status"]["conditions"][0]["lastTransitionTime"] == LATER


def test_foreign_conditions_and_fields_are_never_sent():
    """P28, P31"""
    target = pod()
    target["status"] |= {"nominatedNodeName": "n", "resize": "Proposed"}
    target["status"]["conditions"].append({"type": "corp/gate", "status": "True", "lastTransitionTime": NOW})
    body = look(target, instance("Running", run()))
    assert not {"nominatedNodeName", "resize", "qosClass"} & set(body["status"])
    assert "corp/gate" not in {each["type"] for each in body["status"]["conditions"]}
    merged = Server().patch(target, body)
    assert merged["status"]["resize"] == "Proposed"
    assert condition(merged, "corp/gate") == {
        "type": "corp/gate",
        "status": "True",
        "lastTransitionTime": NOW,
        "lastProbeTime": None,
    }


def test_a_changed_address_replaces_the_old_one():
    """P27"""
    target = Server().patch(pod(), look(pod(), instance("Running", run())))
    body = look(target, instance("Running", run(), ip="192.168.0.10"))
    assert body["status"]["podIPs"] == [{"ip": "192.168.0.10"}, {"$patch": "replace"}]
    assert Server().patch(target, body)["status"]["podIPs"] == [{"ip": "192.168.0.10"}]


def test_a_newer_generation_is_acknowledged():
    """P22"""
    target = Server().patch(pod(), look(pod(), instance("Running", run())))
    target["metadata"]["generation"] = 2
    body = look(target, instance("Running", run()))
    assert body["status"]["observedGeneration"] == 2
    assert {each["observedGeneration"] for each in body["status"]["conditions"]} == {2}


def test_a_status_worked_out_from_an_older_copy_stays_lawful():
    """P14: meanwhile the API server learned how the container ended."""
    old = Server().patch(pod(containers=["a", "b"]), look(pod(containers=["a", "b"]), instance("Running", run("a"))))
    stale = status.from_instance(old, instance("Running", run("a"), run("b")), now=LATER, host_ip=HOST)
    newer = Server().patch(old, look(old, instance("Running", end("a", code=3), run("b"))))
    body = status.patch(newer, stale)
    assert body is None or Server().patch(newer, body)["status"]["containerStatuses"][0]["state"] == {
        "terminated": newer["status"]["containerStatuses"][0]["state"]["terminated"]
    }


def test_a_transition_that_the_api_server_saw_first_keeps_its_time():
    """P22: the copy the status was worked out from was older."""
    old = Server().patch(pod(), look(pod(), instance("Pending", wait())))
    stale = status.from_instance(old, instance("Running", run()), now="2027-01-01T00:00:00Z", host_ip=HOST)
    newer = Server().patch(old, look(old, instance("Running", run())))
    newer["metadata"]["generation"] = 2
    merged = Server().patch(
        newer,
        status.patch(
            newer, {**stale, "conditions": [{**each, "observedGeneration": 2} for each in stale["conditions"]]}
        ),
    )
    assert condition(merged, "Ready")["lastTransitionTime"] == LATER


def test_the_stand_in_server_refuses_what_the_real_one_does():
    ended = Server().patch(pod(), look(pod(), instance("Running", end())))
    unlawful = {"metadata": {"uid": "u-1"}, "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}}
    with pytest.raises(Rejected, match="422"):
        Server().patch(ended, unlawful)
    with pytest.raises(Rejected, match="409"):
        Server().patch(ended, {"metadata": {"uid": "u-2"}})


@SERVERS
def test_an_answer_that_has_all_of_a_patch_is_known(server):
    target = pod()
    no = CloudCondition("ContainerInstanceCreated", "False", "NoStock", "none left")
    for seen in (
        instance("Scheduling", ip="", conditions=[no]),
        instance("Pending", wait(reason="ImagePullBackOff", message="gone")),
        instance("Running", run(ready=True)),
        instance("Succeeded", end(), ended_at=LATER),
    ):
        body = look(target, seen, annotations={"virtual-kubelet.io/instance-id": seen.id})
        before, target = target, server.patch(target, body)
        assert is_in(target, body)
        assert not is_in(before, body)


@pytest.mark.parametrize(
    "harm",
    [
        lambda meta, status: meta["annotations"].clear(),
        lambda meta, status: status.update(phase="Pending"),
        lambda meta, status: status.update(reason="Evicted"),
        lambda meta, status: status.update(podIPs=[{"ip": "10.0.0.9"}]),
        lambda meta, status: status["conditions"].clear(),
        lambda meta, status: [each.update(status="Unknown") for each in status["conditions"]],
        lambda meta, status: status["containerStatuses"][0].update(restartCount=7),
    ],
    ids=["annotations", "phase", "reason", "addresses", "no conditions", "conditions", "containers"],
)
def test_an_answer_in_which_others_had_a_hand_is_known(harm):
    waiting = instance("Pending", wait(reason="ImagePullBackOff"), ip="")
    target = Server().patch(pod(), look(pod(), waiting))
    target["status"] |= {"reason": "Slow", "message": "it pulls"}
    body = look(target, instance("Running", run(ready=True)), annotations={"virtual-kubelet.io/instance-id": "eci-1"})
    answer = Server().patch(target, body)
    assert is_in(answer, body)
    harm(answer["metadata"], answer["status"])
    assert not is_in(answer, body)
