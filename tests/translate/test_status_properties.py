"""Whatever a cloud reports, in whatever order: what we send is lawful, final where it is final, and not sent twice."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from status_world import HOST, Server, instance, pod

from tests.thorough import examples
from vk_provider.model.instance import (
    CloudCondition,
    ContainerReport,
    ContainerState,
    InstanceReport,
    InstanceStatus,
    StateKind,
    merge,
)
from vk_provider.translate import status

TERMINAL = {"Succeeded", "Failed"}
OWNED = {"PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"}
FOREIGN = {"type": "corp/gate", "status": "False", "lastProbeTime": None, "lastTransitionTime": "2020-01-01T00:00:00Z"}

TCP = {"tcpSocket": {"port": 80}}
# What becomes of the pod between two looks, or what the look is for. `again` and `stale` are answers of the cloud that
# come twice, or late; `restart` is a provider that remembers nothing; `overwrite` is somebody else writing our fields.
KINDS = ["mirror"] * 8 + ["waiting", "vanished", "deadline", "stopped", "stopped", "delete", "edit"]
KINDS += ["again", "again", "stale", "stale", "restart", "overwrite", "gate", "resize", "debug"]
LOOKS = {"mirror", "delete", "edit", "again", "stale", "restart", "overwrite", "gate", "resize", "debug"}

times = st.sampled_from(["", "2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z"])
texts = st.sampled_from(["", "Completed", "Error", "OOMKilled", "CrashLoopBackOff", "ErrImagePull", "Pulling"])
ended = st.builds(
    ContainerState,
    kind=st.just(StateKind.TERMINATED),
    reason=texts,
    exit_code=st.sampled_from([None, 0, 0, 1, 137]),
    signal=st.sampled_from([0, 0, 9]),
    started_at=times,
    finished_at=times,
)
states = st.one_of(
    st.builds(ContainerState, kind=st.just(StateKind.WAITING), reason=texts, message=texts),
    st.builds(ContainerState, kind=st.just(StateKind.RUNNING), started_at=times),
    ended,
)


def reports(names):
    each = st.tuples(
        *(
            st.builds(
                ContainerReport,
                name=st.just(name),
                state=states,
                last_state=st.one_of(st.none(), ended),
                ready=st.booleans(),
                restart_count=st.integers(0, 3),
                started=st.sampled_from([None, True, False]),
                answers=st.sampled_from([None, True, False]),
                image=st.sampled_from(["", "reg/img"]),
                image_id=st.sampled_from(["", "sha256:1"]),
            )
            for name in names
        )
    )
    return st.one_of(st.none(), st.just(()), each)


looks = st.lists(
    st.tuples(
        st.builds(
            InstanceReport,
            id=st.just("eci-1"),
            status=st.one_of(st.none(), st.sampled_from(InstanceStatus)),
            ip=st.sampled_from([None, "192.168.0.9", "192.168.0.10"]),
            containers=reports(["a", "b", "s"]),
            init_containers=reports(["i"]),
            conditions=st.one_of(
                st.none(),
                st.lists(
                    st.builds(
                        CloudCondition,
                        type=st.sampled_from(["ContainerInstanceCreated", "Ready", "SandboxReady"]),
                        status=st.sampled_from(["True", "False"]),
                        reason=texts,
                    ),
                    max_size=2,
                    unique_by=lambda each: each.type,
                ),
            ),
        ),
        st.sampled_from(KINDS),
    ),
    min_size=1,
    max_size=10,
)
SIZE = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
pods = st.builds(
    pod,
    containers=st.tuples(
        st.sampled_from(
            [
                "a",
                {"name": "a", "startupProbe": TCP, "readinessProbe": TCP},
                {"name": "a", "readinessProbe": {"grpc": {"port": 80}}},
            ]
        ),
        st.sampled_from(
            [
                {"name": "b", "resources": SIZE},
                {"name": "b", "env": [{"name": "ECI_CONTAINER_TYPE", "value": "sidecar"}]},
            ]
        ),
    ),
    inits=st.sampled_from([(), ("i",), ("i", {"name": "s", "restartPolicy": "Always"})]),
    gates=st.sampled_from([(), ("corp/gate",)]),
    policy=st.sampled_from(["Never", "OnFailure", "Always"]),
    deleting=st.just(False),
    generation=st.sampled_from([None, 1]),
)


def desired(kind, target, seen, now):
    args = {"now": now, "host_ip": HOST}
    match kind:
        case "waiting":
            return status.waiting(target, reason="QuotaExceeded", message="later", **args)
        case "vanished":
            return status.vanished(target, seen, reason="NotFound", message="gone", disruption=True, **args)
        case "deadline":
            return status.deadline_exceeded(target, seen, **args)
        case "stopped":
            return status.stopped(target, seen, **args)
    return status.from_instance(target, seen, **args)


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(target=pods, life=looks, modern=st.booleans())
def test_any_life(target, life, modern):
    server = Server(modern=modern)
    target["status"]["conditions"].append(copy.deepcopy(FOREIGN))
    seen = instance("Scheduling", ip="")
    past = [seen]
    for minute, (report, kind) in enumerate(life):
        match kind:
            case "again":
                seen = merge(seen, report_of(seen))
            case "stale":  # a whole description, which replaces what is known
                seen = past[minute // 2]
            case "restart":
                seen = merge(instance("Scheduling", ip=""), report)
            case _:
                seen = merge(seen, report)
        past.append(seen)
        happen(kind, target, modern=modern)
        before = copy.deepcopy(target)
        wanted = desired(kind, target, seen, f"2026-01-02T05:{minute:02}:00Z")
        assert target == before
        body = status.patch(target, wanted)
        if before["status"]["phase"] in TERMINAL:
            assert body is None  # P18
            continue
        if body is not None:
            target = server.patch(target, body)  # raises on what P14 and P25 forbid
        check(before, target, modern=modern)
        check_health(target, seen, kind)
        later = f"2026-01-02T06:{minute:02}:00Z"
        if kind in LOOKS:
            again = desired(kind, target, seen, later)
            assert status.patch(target, again) is None
        assert status.patch(target, wanted) is None


def check_health(target, seen, kind):
    """P13, S37: nobody is ready whom nobody has found so, and nothing of a pod that ends is."""
    if kind != "mirror":
        return
    reports = {each.name: each for each in (*seen.containers, *seen.init_containers)}
    specs = {each["name"]: each for each in target["spec"]["containers"]}
    for entry in target["status"].get("containerStatuses", ()):
        spec, report = specs[entry["name"]], reports.get(entry["name"])
        if report is None:
            continue
        if "startupProbe" in spec and report.started is False:
            assert not entry["ready"]
        if "grpc" in spec.get("readinessProbe", {}) and report.answers is False:
            assert not entry["ready"]
        if "tcpSocket" in spec.get("readinessProbe", {}) and not report.ready:
            assert not entry["ready"]
        assert "running" in entry["state"] or not entry["ready"]


def report_of(seen):
    return InstanceReport(
        seen.id, status=seen.status, ip=seen.ip, containers=seen.containers, init_containers=seen.init_containers
    )


def happen(kind, target, *, modern):
    """What others do to the pod."""
    meta, spec, known = target["metadata"], target["spec"], target["status"]
    if kind == "delete":
        meta |= {"deletionTimestamp": "2026-01-02T05:00:00Z", "deletionGracePeriodSeconds": 30}
    if kind == "resize" and modern:
        spec["containers"][1]["resources"] = {"requests": {"cpu": str(meta.get("generation", 1) + 1)}}
    if kind == "debug" and "ephemeralContainers" not in spec:
        spec["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    if kind in ("delete", "edit", "resize", "debug") and "generation" in meta:
        meta["generation"] += 1
    for each in known["conditions"]:
        if kind == "gate" and each["type"] == "corp/gate":
            each["status"] = "False" if each["status"] == "True" else "True"
        if kind == "overwrite" and each["type"] in ("Ready", "ContainersReady"):
            each |= {"status": "False", "reason": "NodeLost", "lastTransitionTime": "2026-01-02T04:59:00Z"}


def check(before, after, *, modern):
    status_ = after["status"]
    entries = [*status_.get("initContainerStatuses", ()), *status_.get("containerStatuses", ())]
    if status_["phase"] in TERMINAL:
        assert not any("running" in each["state"] for each in entries)  # P18
    counts = {
        each["name"]: each["restartCount"]
        for field in ("initContainerStatuses", "containerStatuses")
        for each in before["status"].get(field, ())
    }
    assert all(each["restartCount"] >= counts.get(each["name"], 0) for each in entries)  # P14
    assert all(sum(kind in each["state"] for kind in StateKind) == 1 for each in entries)  # P9
    generation = after["metadata"].get("generation")
    known = {each["type"]: each for each in status_["conditions"]}
    was_begun = any(
        "waiting" not in each["state"] or each["lastState"] for each in before["status"].get("containerStatuses", ())
    )
    if was_begun and "Initialized" in known:
        assert known["Initialized"]["status"] == "True"  # P20: sticky
    if "PodResizePending" in known:
        assert modern
        assert known["PodResizePending"]["reason"] == "Infeasible"  # P47
    debug = [each["state"]["terminated"]["reason"] for each in status_.get("ephemeralContainerStatuses") or ()]
    assert set(debug) <= {"EphemeralContainersNotSupported"}  # P46
    if known.get("Ready", {}).get("status") == "True":
        assert known["ContainersReady"]["status"] == "True"
        gates = [each["conditionType"] for each in after["spec"].get("readinessGates", ())]
        assert all(known[gate]["status"] == "True" for gate in gates)  # P21
    for each in entries:
        words = [each[state].get("terminated", {}).get("message", "") for state in ("state", "lastState")]
        assert all(len(word.encode()) <= 4096 for word in words)  # P24
    if modern and generation:
        assert status_["observedGeneration"] == generation  # P22
        assert all(known[type_]["observedGeneration"] == generation for type_ in OWNED)
    foreign = next(each for each in before["status"]["conditions"] if each["type"] == "corp/gate")
    assert known["corp/gate"] == foreign  # P28
    old = {each["type"]: each for each in before["status"]["conditions"]}
    for type_, each in known.items():
        if type_ in old:
            moved = each["lastTransitionTime"] != old[type_]["lastTransitionTime"]
            assert moved == (each["status"] != old[type_]["status"])  # P22
    assert status_.get("startTime") == before["status"].get("startTime", status_.get("startTime"))  # P23
