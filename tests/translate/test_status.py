"""The rules of kubelet.md b, one row per case."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from status_world import (
    BOUND,
    HOST,
    ID,
    LATER,
    NOW,
    Server,
    condition,
    end,
    ended,
    entry,
    instance,
    pod,
    run,
    wait,
)

from vk_provider.model.instance import (
    CloudCondition,
    CloudEvent,
    ContainerReport,
    ContainerState,
    InstanceStatus,
    StateKind,
)
from vk_provider.translate import container_status, status

SIDECAR = {"name": "s", "restartPolicy": "Always"}


def mirror(target, seen, **more):
    return status.from_instance(target, seen, now=LATER, host_ip=HOST, **more)


def after(target, *seen):
    """The pod as the API server has it after these looks."""
    for each in seen:
        body = status.patch(target, mirror(target, each))
        target = Server().patch(target, body) if body else target
    return target


# --- phase ---


def crash(name="c", code=1, restarts=1):
    return wait(name, "CrashLoopBackOff", last_state=ended(code), restart_count=restarts)


@pytest.mark.parametrize(
    ("policy", "inits", "seen", "expected"),
    [
        pytest.param("Never", (), instance("Scheduling"), "Pending", id="P16.3 nothing yet"),
        pytest.param("Never", (), instance("Running", run()), "Running", id="P16.4 runs"),
        pytest.param("Never", (), instance("Running", end()), "Succeeded", id="P17 Never, 0"),
        pytest.param("Never", (), instance("Running", end(code=3)), "Failed", id="P17 Never, not 0"),
        pytest.param("OnFailure", (), instance("Running", end()), "Succeeded", id="P17 OnFailure, 0"),
        pytest.param("OnFailure", (), instance("Running", end(code=3)), "Running", id="P17 OnFailure, not 0"),
        pytest.param("Always", (), instance("Running", end()), "Running", id="P17 Always, 0"),
        pytest.param("Always", (), instance("Running", crash()), "Running", id="P12 crash loop counts as stopped"),
        pytest.param("Always", (), instance("Terminating", end()), "Succeeded", id="P16.5 stopping, 0"),
        pytest.param("Always", (), instance("Terminating", end(code=137)), "Failed", id="P16.5 stopping, killed"),
        pytest.param(
            "Always", (), instance("Terminating", crash(code=2)), "Failed", id="P16.5 stopping in a crash loop"
        ),
        pytest.param("Always", (), instance("Terminating", run()), "Running", id="P18 still runs while stopping"),
        pytest.param(
            "Never", ("i",), instance("Pending", wait(), init_containers=[run("i")]), "Pending", id="P16.2 init runs"
        ),
        pytest.param(
            "Never",
            ("i",),
            instance("Pending", wait(), init_containers=[end("i", code=1)]),
            "Failed",
            id="P16.1 init failed for good",
        ),
        pytest.param(
            "OnFailure",
            ("i",),
            instance("Pending", wait(), init_containers=[end("i", code=1)]),
            "Pending",
            id="P16.1 init will be tried again",
        ),
        pytest.param(
            "Never",
            (SIDECAR,),
            instance("Running", wait(), init_containers=[wait("s")]),
            "Pending",
            id="P16.2 sidecar not up",
        ),
        pytest.param(
            "Never",
            (SIDECAR,),
            instance("Running", end(), init_containers=[run("s")]),
            "Running",
            id="P16 a sidecar that runs holds the pod",
        ),
        pytest.param(
            "Never",
            (SIDECAR,),
            instance("Running", end(), init_containers=[end("s", code=143)]),
            "Succeeded",
            id="P16 a sidecar's end does not count",
        ),
        pytest.param(
            "Never",
            ("i", SIDECAR),
            instance("Running", wait(), init_containers=[end("i", code=1), run("s")]),
            "Pending",
            id="P18 not terminal while a sidecar runs",
        ),
        pytest.param("Always", (), instance("Succeeded", end()), "Succeeded", id="ended well"),
        pytest.param("Always", (), instance("Failed", end(code=1)), "Failed", id="ended badly"),
        pytest.param(
            "Always",
            ("i",),
            instance("Failed", wait(), init_containers=[end("i", code=1)]),
            "Failed",
            id="P16.1 the group has ended with its init",
        ),
        pytest.param("Never", (), instance("Succeeded", run()), "Running", id="containers not reported as ended yet"),
        pytest.param("Never", (), instance("Failed", wait()), "Pending", id="ended, containers still waiting"),
        pytest.param("Never", (), instance("Failed", end(code=0)), "Succeeded", id="the exit codes decide"),
        pytest.param("Never", (), instance("Expired", run()), "Failed", id="reclaimed"),
        pytest.param("Never", (), instance("Unknown", end()), "Pending", id="an unknown word keeps the phase"),
        pytest.param("Never", (), instance("ScheduleFailed"), "Pending", id="not placed, another try follows"),
    ],
)
def test_phase(policy, inits, seen, expected):
    assert mirror(pod(policy=policy, inits=inits), seen)["phase"] == expected


@pytest.mark.parametrize(("pods", "own", "expected"), [("Never", "Always", "Running"), ("Always", "Never", "Failed")])
def test_the_only_containers_own_policy_says_whether_it_is_begun_again(pods, own, expected):
    target = pod(policy=pods)
    target["spec"]["containers"][0]["restartPolicy"] = own
    ended, again = (
        instance("Running", end(code=1)),
        instance("Running", run(at="2026-01-02T03:09:00Z", restart_count=1)),
    )
    assert mirror(target, ended)["phase"] == expected
    if own == "Always":
        (entry,) = after(target, ended, again)["status"]["containerStatuses"]
        assert "running" in entry["state"]


def test_two_containers_one_waiting_is_pending_one_ended_is_running():
    two = pod(containers=("a", "b"))
    assert mirror(two, instance("Running", run("a"), wait("b")))["phase"] == "Pending"
    assert mirror(two, instance("Running", run("a"), end("b", code=1)))["phase"] == "Running"


def test_a_pod_that_ran_is_never_pending_again_by_an_answer_that_is_out_of_date():
    ran = mirror(pod(), instance("Running", run()))
    assert mirror(pod(status=ran), instance("Scheduling", wait()))["phase"] == "Running"


def test_deleting_a_pod_does_not_end_it_before_the_cloud_stops_it():
    """P18: with restartPolicy Always the container may start again until the instance is Terminating."""
    assert mirror(pod(policy="Always", deleting=True), instance("Running", end(code=1)))["phase"] == "Running"


@pytest.mark.parametrize(
    ("group", "code", "reason", "phase"),
    [("Succeeded", 0, "Completed", "Succeeded"), ("Failed", 137, "ContainerStatusUnknown", "Failed")],
)
def test_an_ended_group_whose_containers_never_report_their_end(group, code, reason, phase):
    seen = instance(group, run(), ended_at=NOW)
    got = mirror(pod(), seen, settled=True)
    assert got["phase"] == phase
    assert entry(got)["state"]["terminated"]["exitCode"] == code
    assert entry(got)["state"]["terminated"]["reason"] == reason


def test_no_clock_makes_an_end_believed_whose_exit_codes_are_not_in_yet():
    """The cloud's and ours may differ by any amount, and what is guessed then stays for good."""
    long_ago = instance("Failed", run(), ended_at="2026-01-01T00:00:00Z")
    assert mirror(after(pod(), instance("Running", run())), long_ago)["phase"] == "Running"


def test_reclaimed_spot_instance():
    """P42: Failed/BidFailed and a disruption that Jobs may ignore."""
    got = mirror(after(pod(), instance("Running", run())), instance("Expired", run(), ended_at=NOW))
    assert (got["phase"], got["reason"]) == ("Failed", "BidFailed")
    assert NOW in got["message"]
    assert condition(got, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert entry(got)["state"]["terminated"]["exitCode"] == 137


NO_STOCK = CloudCondition("ContainerInstanceCreated", "False", "NoStock", "out of stock in zone b")


def test_an_instance_that_could_not_be_placed():
    seen = instance("ScheduleFailed", ip="", conditions=[NO_STOCK])
    got = mirror(pod(), seen)
    assert (got["phase"], got["reason"]) == ("Pending", "ContainerInstanceScheduleFailed")
    assert entry(got)["state"]["waiting"] == {"reason": "ProviderFailed", "message": "out of stock in zone b"}
    assert condition(got, "ContainerInstanceCreated")["reason"] == "NoStock"
    final = mirror(pod(), seen, give_up=True)
    assert (final["phase"], final["containerStatuses"]) == ("Failed", [])
    target = after(pod(), seen)
    placed = after(target, instance("Running", run()))
    assert "reason" not in placed["status"]
    assert condition(placed, "ContainerInstanceCreated")["status"] == "True"


def test_a_group_that_failed_before_anything_ran_says_why():
    seen = instance(
        "Failed", wait(reason="ErrImagePull"), events=[CloudEvent("1", "Warning", "Failed", "pending for 4 h")]
    )
    got = mirror(pod(), seen, settled=True)
    assert (got["phase"], got["reason"], got["message"]) == ("Failed", "ProviderFailed", "pending for 4 h")


# --- containers ---


@pytest.mark.parametrize("reason", ["", "ContainerCreating", "PodInitializing", "Pulling"])
def test_the_ordinary_wait(reason):
    """P10"""
    got = mirror(pod(), instance("Pending", wait(reason=reason, message="step 3 of 7")))
    assert entry(got)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    got = mirror(pod(inits=["i"]), instance("Pending", wait(reason=reason), init_containers=[wait("i")]))
    assert entry(got)["state"] == entry(got, "i")["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert "containerID" not in entry(got)


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "CreateContainerError", "SomethingNew"])
def test_other_waits_pass_through(reason):
    """P11"""
    got = mirror(pod(), instance("Pending", wait(reason=reason, message="m")))
    assert entry(got)["state"] == {"waiting": {"reason": reason, "message": "m"}}


@pytest.mark.parametrize(("restarts", "delay"), [(0, "10s"), (1, "10s"), (2, "20s"), (4, "1m20s"), (50, "5m0s")])
def test_crash_loop(restarts, delay):
    """P12"""
    got = entry(mirror(pod(policy="Always"), instance("Running", crash(code=7, restarts=restarts))))
    message = f"back-off {delay} restarting failed container=c pod=p_ns(u-1)"
    assert got["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    assert got["lastState"]["terminated"]["exitCode"] == 7
    assert (got["restartCount"], got["ready"], got["started"]) == (restarts, False, False)


def test_a_crash_loop_that_is_being_stopped_shows_its_last_end():
    """A kubelet shows no back-off once nothing will be started again."""
    got = entry(mirror(pod(policy="Always", deleting=True), instance("Terminating", crash(code=7))))
    assert got["state"]["terminated"]["exitCode"] == 7
    assert got["lastState"] == {}


def test_times_of_a_last_end_that_the_cloud_left_out_are_made_up_once_while_stopping():
    last = ContainerState(StateKind.TERMINATED, exit_code=1)
    seen = instance("Terminating", wait(reason="CrashLoopBackOff", last_state=last), run("d"))
    for group in (seen, replace(seen, status=InstanceStatus.FAILED)):
        target = after(pod(containers=["c", "d"], policy="Always"), group)
        assert (
            status.patch(target, status.from_instance(target, group, now="2026-01-02T03:09:30Z", host_ip=HOST)) is None
        )


def test_a_restart_whose_end_nobody_saw():
    """P15"""
    target = after(pod(policy="Always"), instance("Running", run()))
    got = entry(mirror(target, instance("Running", run(at=NOW, restart_count=1))))
    assert got["lastState"]["terminated"]["exitCode"] == 137
    assert got["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_restart_keeps_the_end_that_was_seen():
    target = after(pod(policy="Always"), instance("Running", end(code=5)))
    got = entry(mirror(target, instance("Running", run(at=NOW, restart_count=1))))
    assert got["lastState"]["terminated"]["exitCode"] == 5


@pytest.mark.parametrize(
    ("state", "group", "code", "reason"),
    [
        pytest.param(ended(0), "Running", 0, "Completed", id="P11 0"),
        pytest.param(ended(2), "Running", 2, "Error", id="P11 not 0"),
        pytest.param(ended(137, reason="OOMKilled"), "Running", 137, "OOMKilled", id="reason as given"),
        pytest.param(ended(None, signal=15), "Running", 143, "Error", id="from the signal"),
        pytest.param(ended(None, reason="OOMKilled"), "Running", 137, "OOMKilled", id="from the reason"),
        pytest.param(ended(None, reason="Completed"), "Running", 0, "Completed", id="from the reason, well"),
        pytest.param(ended(None), "Succeeded", 0, "Completed", id="from the group"),
        pytest.param(ended(None), "Failed", 137, "ContainerStatusUnknown", id="nobody knows"),
    ],
)
def test_how_a_container_ended(state, group, code, reason):
    got = entry(mirror(pod(), instance(group, ContainerReport("c", state))))["state"]["terminated"]
    assert (got["exitCode"], got["reason"]) == (code, reason)
    assert (got["startedAt"], got["finishedAt"]) == (state.started_at, state.finished_at)


def test_missing_times_are_made_up_once():
    bare = instance("Running", ContainerReport("c", ContainerState(StateKind.RUNNING)))
    done = instance("Running", ContainerReport("c", ContainerState(StateKind.TERMINATED, exit_code=0)))
    target = after(pod(), bare)
    assert entry(target)["state"]["running"]["startedAt"] == LATER
    target = after(pod(policy="Always"), bare, done)
    assert entry(target)["state"]["terminated"]["startedAt"] == LATER
    again = status.from_instance(target, done, now="2027-01-01T00:00:00Z", host_ip=HOST)
    assert status.patch(target, again) is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("", "eci://" + hashlib.sha256(f"{ID}/c/0".encode()).hexdigest()),
        ("abc", "eci://abc"),
        ("containerd://abc", "containerd://abc"),
    ],
)
def test_container_id(given, shown):
    """P9"""
    assert entry(mirror(pod(), instance("Running", run(container_id=given))))["containerID"] == shown


def test_image_is_the_specs_until_the_cloud_resolves_it():
    assert entry(mirror(pod(), instance("Pending", wait(image="reg/img:1"))))["image"] == "img"
    got = entry(mirror(pod(), instance("Running", run(image="reg/img:1", image_id="img@sha256:1"))))
    assert (got["image"], got["imageID"]) == ("reg/img:1", "img@sha256:1")


@pytest.mark.parametrize(
    ("probes", "said", "ready", "started"),
    [
        pytest.param([], {"ready": False}, True, True, id="no probe: runs = ready"),
        pytest.param(["readinessProbe"], {"ready": False}, False, True, id="readiness not yet"),
        pytest.param(["readinessProbe"], {"ready": True}, True, True, id="readiness"),
        pytest.param(["startupProbe"], {"ready": True}, False, False, id="startup not asked yet"),
        pytest.param(["startupProbe"], {"ready": True, "started": False}, False, False, id="startup not yet"),
        pytest.param(["startupProbe"], {"started": True}, True, True, id="startup"),
        pytest.param(["startupProbe", "readinessProbe"], {"started": True}, False, True, id="startup, not readiness"),
        pytest.param(["startupProbe", "readinessProbe"], {"ready": True}, False, False, id="readiness before startup"),
        pytest.param(["grpc"], {"ready": True}, False, True, id="the cloud cannot know: not asked yet"),
        pytest.param(["grpc"], {"answers": False}, False, True, id="our own readiness, not yet"),
        pytest.param(["grpc"], {"answers": True}, True, True, id="our own readiness"),
    ],
)
def test_ready(probes, said, ready, started):
    """P13, S37"""
    asked = {probe: {"exec": {"command": ["true"]}} for probe in probes if probe != "grpc"}
    asked |= {"readinessProbe": {"grpc": {"port": 80}}} if "grpc" in probes else {}
    target = pod(containers=[{"name": "c", **asked}])
    got = mirror(target, instance("Running", run(**said)))
    assert (entry(got)["ready"], entry(got)["started"]) == (ready, started)
    assert condition(got, "Ready")["status"] == str(ready)


def test_ready_of_init_containers():
    """P13: ended well = ready; a sidecar follows the app's rules."""
    target = pod(inits=["a", "b", SIDECAR])
    got = mirror(target, instance("Pending", wait(), init_containers=[end("a"), end("b", code=1), run("s")]))
    assert [each["ready"] for each in got["initContainerStatuses"]] == [True, False, True]
    assert [each["name"] for each in got["initContainerStatuses"]] == ["a", "b", "s"]


def test_entries_are_sorted_and_complete():
    """P9"""
    got = mirror(pod(containers=["z", "a"]), instance("Running", run("z"), run("stranger")))
    assert [each["name"] for each in got["containerStatuses"]] == ["a", "z"]


def test_one_answer_that_leaves_a_container_out_proves_nothing():
    target = after(pod(containers=["a", "b"]), instance("Running", run("a"), run("b")))
    assert after(target, instance("Running", run("a"))) == target


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_an_end_is_not_taken_back(policy):
    """P14"""
    two = pod(containers=["a", "b"], policy=policy)
    target = after(two, instance("Running", end("a"), run("b")))
    assert after(target, instance("Running", run("a"), run("b"))) == target


def test_a_report_older_than_the_known_end_of_the_same_run():
    target = after(pod(policy="Always"), instance("Running", end(code=1)))
    assert entry(mirror(target, instance("Running", run())))["state"]["terminated"]["exitCode"] == 1


@pytest.mark.parametrize("earlier", [run(), end(code=1), crash(code=1, restarts=1)])
def test_a_report_of_an_earlier_run_is_no_news(earlier):
    """As a provider gets it that starts on a list of some seconds ago: it remembers nothing, but the pod does."""
    target = after(pod(policy="Always"), instance("Running", run(at="2026-01-02T03:08:30Z", restart_count=2)))
    assert entry(mirror(target, instance("Running", earlier))) == entry(target["status"])


def test_after_a_restart_of_the_whole_instance_counts_begin_anew():
    later = "2027-01-02T03:04:05Z"
    target = after(pod(policy="Always"), instance("Running", run(at="2026-01-02T03:08:30Z", restart_count=2)))
    got = entry(mirror(target, instance("Running", run(at=later))))
    assert got["state"] == {"running": {"startedAt": later}}
    assert got["restartCount"] == 2


def test_the_same_run_is_news_though_its_time_was_taken_for_later():
    """Times may be our own where the cloud gave none."""
    target = after(pod(policy="Always"), instance("Running", run(at="2026-01-02T03:08:30Z", restart_count=2)))
    got = entry(mirror(target, instance("Running", end(code=3, restart_count=2))))
    assert got["state"]["terminated"]["exitCode"] == 3


def test_an_entry_without_a_state_knows_no_later_run():
    target = after(pod(policy="Always"), instance("Running", run(restart_count=2)))
    entry(target["status"]).update(state={}, lastState={})
    assert entry(mirror(target, instance("Running", run(restart_count=1))))["state"] == {
        "running": {"startedAt": "2026-01-02T03:05:00Z"}
    }


def test_restart_count_never_shrinks():
    target = after(pod(policy="Always"), instance("Running", run(restart_count=4)))
    assert entry(mirror(target, instance("Running", run(restart_count=1))))["restartCount"] == 4


def test_messages_share_twelve_kib():
    """P24"""

    def longest(count):
        names = [f"c{number}" for number in range(count)]
        long = [replace(end(name), state=replace(ended(), message="é" * 9000)) for name in names]
        got = mirror(pod(containers=names), instance("Running", *long))
        return {len(each["state"]["terminated"]["message"].encode()) for each in got["containerStatuses"]}

    assert longest(1) == {4096}
    assert longest(4) == {3072}
    spec = {"containers": [{}] * 2, "initContainers": [{}], "ephemeralContainers": [{}]}
    assert len(container_status.share("x" * 9000, {"spec": spec})) == 3072


def test_foreign_keys_of_an_entry_stay():
    """P31"""
    target = after(pod(), instance("Running", run()))
    target["status"]["containerStatuses"][0]["allocatedResources"] = {"cpu": "1"}
    assert after(target, instance("Running", run())) == target
    assert entry(mirror(target, instance("Running", end())))["allocatedResources"] == {"cpu": "1"}


def test_ephemeral_containers_are_refused_aloud():
    """P46"""
    got = mirror(pod(ephemeral=["debug"]), instance("Running", run()))
    assert got["ephemeralContainerStatuses"][0]["state"]["terminated"]["reason"] == "EphemeralContainersNotSupported"
    assert (got["phase"], condition(got, "Ready")["status"]) == ("Running", "True")


# --- conditions and other fields ---


@pytest.mark.parametrize(
    ("seen", "type_", "expected"),
    [
        (instance("Scheduling", ip=""), "PodScheduled", ("True", None, None)),
        (instance("Scheduling", ip=""), "PodReadyToStartContainers", ("False", None, None)),
        (instance("Running", run(), init_containers=[end("i")]), "PodReadyToStartContainers", ("True", None, None)),
        (
            instance("Pending", wait(), init_containers=[run("i")]),
            "Initialized",
            ("False", "ContainersNotInitialized", "containers with incomplete status: [i]"),
        ),
        (instance("Pending", wait(), init_containers=[end("i")]), "Initialized", ("True", None, None)),
        (instance("Running", run()), "Initialized", ("True", None, None)),
        (
            instance("Pending", wait(), init_containers=[run("i")]),
            "ContainersReady",
            ("False", "ContainersNotReady", "containers with unready status: [c]"),
        ),
        (
            instance("Pending", wait(), init_containers=[run("i")]),
            "Ready",
            ("False", "ContainersNotReady", "containers with unready status: [c]"),
        ),
        (instance("Succeeded", end(), init_containers=[end("i")]), "Initialized", ("True", "PodCompleted", None)),
        (instance("Succeeded", end(), init_containers=[end("i")]), "Ready", ("False", "PodCompleted", None)),
        (instance("Failed", end(code=1), init_containers=[end("i")]), "Ready", ("False", "PodFailed", None)),
        (
            instance("Failed", end(code=1), init_containers=[end("i")]),
            "PodReadyToStartContainers",
            ("False", None, None),
        ),
    ],
)
def test_conditions(seen, type_, expected):
    """P20"""
    got = condition(mirror(pod(inits=["i"]), seen), type_)
    assert (got["status"], got.get("reason"), got.get("message")) == expected


def test_readiness_gates():
    """P21"""
    gated = pod(gates=["a/1", "b/2"])
    gated["status"]["conditions"].append({"type": "b/2", "status": "False", "lastTransitionTime": NOW})
    got = condition(mirror(gated, instance("Running", run())), "Ready")
    assert got["reason"] == "ReadinessGatesNotReady"
    assert got["message"] == (
        'corresponding condition of pod readiness gate "a/1" does not exist.,'
        ' the status of pod readiness gate "b/2" is not "True", but False'
    )
    for type_ in ("a/1", "b/2"):
        gated["status"]["conditions"].append({"type": type_, "status": "True", "lastTransitionTime": NOW})
    del gated["status"]["conditions"][1]
    assert condition(mirror(gated, instance("Running", run())), "Ready")["status"] == "True"


def test_who_waited_for_an_init_container_that_was_told_to_end_keeps_waiting():
    """Though it ended well. tests/oracle: init-deleted, deadline-init; the container of a pod without one: P15."""
    target = pod(inits=["init"], deleting=True)
    seen = instance("Terminating", wait(), init_containers=(end("init", 0),))
    for got in (
        status.stopped(target, seen, now=NOW, host_ip=""),
        status.deadline_exceeded(target, replace(seen, status=InstanceStatus.FAILED), now=NOW, host_ip=""),
    ):
        assert got["phase"] == "Failed"
        assert got["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        assert entry(got)["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_pod_that_is_deleted_before_it_ran_is_not_ready_for_the_reason_it_had():
    """tests/oracle: deleted-pending. It ends as Failed all the same."""
    got = status.stopped(pod(deleting=True), instance("Terminating", wait()), now=NOW, host_ip="")
    assert (got["phase"], condition(got, "Ready")["reason"]) == ("Failed", "ContainersNotReady")
    assert entry(got)["state"]["terminated"]["reason"] == "ContainerStatusUnknown"


@pytest.mark.parametrize(
    ("target", "status", "is_ready"),
    [(pod(deleting=True), "Running", True), (pod(deleting=True), "Terminating", True), (pod(), "Terminating", False)],
    ids=["deleted by a user", "deleted, and stopping", "stopped by the cloud"],
)
def test_a_deleted_pod_stays_ready_while_it_runs_and_one_that_is_taken_away_does_not(target, status, is_ready):
    """P32, and tests/oracle: pre-stop-sleep"""
    got = mirror(target, instance(status, run()))
    assert got["phase"] == "Running"
    assert (condition(got, "Ready")["status"], entry(got)["ready"]) == (str(is_ready), is_ready)
    assert "running" in entry(got)["state"]


def test_cloud_conditions_pass_through_but_ours_are_ours():
    told = [
        CloudCondition("ContainerHasSufficientDisk", "True"),
        CloudCondition("Ready", "False", "CloudSaysNo"),
        CloudCondition("Strange", "perhaps"),
    ]
    got = mirror(pod(), instance("Running", run(), conditions=told))
    assert condition(got, "ContainerHasSufficientDisk")["status"] == "True"
    assert condition(got, "Ready")["status"] == "True"
    assert not condition(got, "Strange")


def test_addresses_start_time_and_generation():
    """P22, P23"""
    target = after(pod(generation=3), instance("Running", run()))
    got = target["status"]
    assert (got["podIP"], got["podIPs"]) == ("192.168.0.9", [{"ip": "192.168.0.9"}])
    assert (got["hostIP"], got["hostIPs"]) == (HOST, [{"ip": HOST}])
    assert (got["startTime"], got["observedGeneration"]) == (LATER, 3)
    assert {each["observedGeneration"] for each in got["conditions"]} == {3}
    over = after(target, instance("Succeeded", end(), ip=""))["status"]
    assert (over["podIP"], over["startTime"]) == ("192.168.0.9", LATER)


@pytest.mark.parametrize("host", ["", "not-an-address", "10.0.0.300"])
def test_an_address_the_server_would_refuse_is_left_out(host):
    """P25"""
    assert "hostIP" not in status.from_instance(pod(), instance("Running", run()), now=NOW, host_ip=host)


def test_transition_time_moves_only_with_the_status():
    """N14, P22: PodScheduled keeps the scheduler's."""
    target = after(pod(), instance("Running", run()))
    assert condition(target, "PodScheduled")["lastTransitionTime"] == BOUND["lastTransitionTime"]
    much_later = status.from_instance(target, instance("Succeeded", end()), now="2027-01-01T00:00:00Z", host_ip=HOST)
    assert condition(much_later, "Initialized")["lastTransitionTime"] == LATER
    assert condition(much_later, "Ready")["lastTransitionTime"] == "2027-01-01T00:00:00Z"


def test_foreign_reason_stays_with_the_phase():
    """P18"""
    target = pod(status={"phase": "Running", "reason": "NodeLost", "message": "m"})
    assert mirror(target, instance("Running", run()))["reason"] == "NodeLost"
    assert "reason" not in mirror(target, instance("Succeeded", end()))


# --- statuses that are not a mirror ---


def test_waiting():
    target = pod(containers=["a", "b"])
    got = status.waiting(target, now=NOW, host_ip=HOST)
    assert got["phase"] == "Pending"
    assert got["startTime"] == NOW
    assert {each["state"]["waiting"]["reason"] for each in got["containerStatuses"]} == {"ContainerCreating"}
    got = status.waiting(
        target, now=NOW, host_ip=HOST, reason="CreateContainerConfigError", message="no such key", container="b"
    )
    assert entry(got, "a")["state"]["waiting"] == {"reason": "ContainerCreating"}
    assert entry(got, "b")["state"]["waiting"] == {"reason": "CreateContainerConfigError", "message": "no such key"}
    got = status.waiting(target, now=NOW, host_ip=HOST, message="out of stock in zone b", condition=NO_STOCK)
    assert condition(got, "ContainerInstanceCreated")["message"] == "out of stock in zone b"
    assert entry(got, "a")["state"]["waiting"]["message"] == "out of stock in zone b"


def test_refused():
    """P6, P8"""
    got = status.refused(pod(), reason="UnsupportedPod", message="spec.hostNetwork: no", now=NOW, host_ip=HOST)
    assert (got["phase"], got["reason"]) == ("Failed", "UnsupportedPod")
    assert got["message"] == "Pod was rejected: spec.hostNetwork: no"
    created = condition(got, "ContainerInstanceCreated")
    assert (created["status"], created["reason"], created["message"]) == (
        "False",
        "UnsupportedPod",
        "spec.hostNetwork: no",
    )
    shown = status.patch(pod(), status.waiting(pod(), now=NOW, host_ip=HOST))
    waiting = Server().patch(pod(), shown)
    body = status.patch(waiting, status.refused(waiting, reason="R", message="m", now=LATER, host_ip=HOST))
    assert body["status"]["containerStatuses"] is None  # else kubectl shows ContainerCreating


def test_vanished():
    """P15, P19"""
    target = after(pod(containers=["a", "b"]), instance("Running", run("a"), end("b", code=4)))
    got = status.vanished(target, reason="NotFound", message="gone", now=LATER, host_ip=HOST, disruption=True)
    assert (got["phase"], got["reason"], got["message"]) == ("Failed", "NotFound", "gone")
    lost = entry(got, "a")["state"]["terminated"]
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
    assert lost["message"] == "The container could not be located when the pod was terminated"
    assert lost["startedAt"] == "2026-01-02T03:05:00Z"
    assert entry(got, "b")["state"]["terminated"]["exitCode"] == 4
    assert condition(got, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    plain = status.vanished(target, reason="NotFound", message="gone", now=LATER, host_ip=HOST)
    assert not condition(plain, "DisruptionTarget")


def test_vanished_after_all_work_was_done():
    """P45: the sidecar was all that still ran."""
    target = after(pod(inits=[SIDECAR]), instance("Running", end(), init_containers=[run("s")]))
    assert target["status"]["phase"] == "Running"
    got = status.vanished(target, reason="NotFound", message="gone", now=LATER, host_ip=HOST)
    assert got["phase"] == "Succeeded"


def test_deadline():
    """P41"""
    running = instance("Terminating", run())
    assert status.deadline_exceeded(pod(), running, now=NOW, host_ip=HOST)["phase"] == "Running"
    for gone in (instance("Terminating", end(code=143)), None):
        got = status.deadline_exceeded(after(pod(), instance("Running", run())), gone, now=NOW, host_ip=HOST)
        assert (got["phase"], got["reason"]) == ("Failed", "DeadlineExceeded")
        assert got["message"] == "Pod was active on the node longer than the specified deadline"
    never = status.deadline_exceeded(pod(), None, now=NOW, host_ip=HOST)
    assert (never["phase"], never["containerStatuses"]) == ("Failed", [])


@pytest.mark.parametrize(
    ("policy", "seen", "phase", "code"),
    [
        pytest.param("Never", instance("Terminating", end(code=143)), "Failed", 143, id="real exit code"),
        pytest.param("Always", instance("Terminating", end(code=0)), "Succeeded", 0, id="all 0"),
        pytest.param("Always", instance("Running", run()), "Failed", 137, id="last seen running"),
        pytest.param("Always", instance("Running", crash(code=9)), "Failed", 9, id="in a crash loop"),
        pytest.param("Never", instance("Pending", wait()), "Failed", 137, id="never started"),
        pytest.param("Never", instance("Succeeded", run()), "Succeeded", 0, id="the cloud vouches"),
        pytest.param("Never", None, "Failed", 137, id="never seen"),
    ],
)
def test_stopped(policy, seen, phase, code):
    """P32, P43"""
    got = status.stopped(pod(policy=policy, deleting=True), seen, now=NOW, host_ip=HOST)
    assert got["phase"] == phase
    assert entry(got)["state"]["terminated"]["exitCode"] == code


def test_stopped_keeps_what_the_api_server_knows():
    target = after(pod(containers=["a", "b"]), instance("Running", run("a"), end("b", code=4)))
    got = status.stopped(target, None, now=NOW, host_ip=HOST)
    assert entry(got, "b")["state"]["terminated"]["exitCode"] == 4
    assert (entry(got, "a")["state"]["terminated"]["exitCode"], got["phase"]) == (137, "Failed")


def test_stopped_during_init():
    """Containers whose turn had not come are not said to have ended."""
    target = pod(inits=["i", "j"], deleting=True)
    seen = instance("Terminating", wait(), init_containers=[end("i", code=143), wait("j")])
    got = status.stopped(target, seen, now=NOW, host_ip=HOST)
    assert (got["phase"], entry(got, "i")["state"]["terminated"]["exitCode"]) == ("Failed", 143)
    assert "waiting" in entry(got, "j")["state"]
    assert "waiting" in entry(got)["state"]


# --- what a plan asks ---


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (instance("Running", end()), False),
        (instance("Terminating", run()), False),
        (instance("Terminating"), False),
        (instance("Terminating", end()), True),
        (instance("Terminating", wait()), True),
        (instance("Terminating", end(), init_containers=[run("s")]), False),
        (instance("Failed", run()), True),
    ],
)
def test_all_stopped(seen, expected):
    assert status.all_stopped(seen) is expected


def test_had_run():
    assert not status.had_run(pod())
    assert not status.had_run(after(pod(), instance("Pending", wait())))
    assert status.had_run(after(pod(), instance("Running", run())))
    assert status.had_run(after(pod(inits=["i"]), instance("Pending", wait(), init_containers=[run("i")])))


@pytest.mark.parametrize(
    ("app", "sidecar", "expected"),
    [(end(), run("s"), True), (end(code=1), run("s"), True), (run(), run("s"), False), (end(), end("s"), False)],
)
def test_only_sidecars_left(app, sidecar, expected):
    """P45"""
    seen = instance("Running", app, init_containers=[sidecar])
    assert status.only_sidecars_left(pod(inits=[SIDECAR]), seen) is expected
    assert status.only_sidecars_left(pod(inits=[SIDECAR], policy="Always"), seen) is False


@pytest.mark.parametrize("given", ["", "abc", "containerd://abc"])
@pytest.mark.parametrize("at_the_end", ["", "abc", "containerd://late"])
def test_one_id_for_each_run_from_its_first_report_to_its_last(given, at_the_end):
    """W9: whether the cloud tells of it never, late, or the same for each run."""
    target, ids = pod(policy="Always"), []
    for count in range(3):
        more = {"restart_count": count, "at": f"2026-01-02T03:0{count}:00Z"}
        if count:
            more["last_state"] = ended(1, at=f"2026-01-02T03:0{count - 1}:00Z")
        target = after(target, instance("Running", run(container_id=given, **more)))
        ids.append(entry(target)["containerID"])
        last = entry(target)["lastState"].get("terminated") or {}
        assert last.get("containerID") == (ids[-2] if count else None)
        target = after(target, instance("Running", end(code=1, container_id=at_the_end, **more)))
        assert entry(target)["containerID"] == entry(target)["state"]["terminated"]["containerID"] == ids[-1]
    assert len(set(ids)) == 3
    assert all("://" in each for each in ids)


def test_an_unseen_end_keeps_the_id_of_its_run():
    """W9"""
    first = after(pod(policy="Always"), instance("Running", run()))
    second = after(first, instance("Running", run(restart_count=1)))
    assert entry(second)["lastState"]["terminated"]["containerID"] == entry(first)["containerID"]
    assert entry(second)["containerID"] != entry(first)["containerID"]


def test_what_has_ended_names_its_image_even_where_the_cloud_never_did():
    """W9"""
    assert entry(mirror(pod(), instance("Running", end())))["imageID"] == "img"
    assert entry(mirror(pod(), instance("Running", end(image_id="sha256:1"))))["imageID"] == "sha256:1"
