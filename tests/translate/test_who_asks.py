"""Who asks which probe, by the table of `translate/probes`; and what stands in the way."""

import pytest

from tests.translate.pod_cases import CONTEXT
from tests.translate.test_pod_refusals import fields
from vk_provider.model.pod import named_port, restart_policy
from vk_provider.model.probe import Duties, Exec, Grpc, Probe, ProbeSupport, TcpSocket
from vk_provider.translate.objects import Objects
from vk_provider.translate.probes import health, provider_probes, restarts_alone, stop_delay_s
from vk_provider.translate.workload import build

TCP = {"tcpSocket": {"port": 80}}
GRPC = {"grpc": {"port": 80}}
GET = {"httpGet": {"port": 80}}
HEADERS = {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b"}]}}
SIDE = {"name": "side", "image": "i", "restartPolicy": "Always"}
SCRATCH = [{"name": "scratch", "emptyDir": {}}]


def made(*, others=(), policy="Always", volumes=(), inits=(), **probes):
    stated = {f"{kind}Probe": probe for kind, probe in probes.items()}
    main = {"name": "main", "image": "i", **stated}
    names = [main, *({"name": name, "image": "i"} for name in others)]
    spec = {"restartPolicy": policy, "containers": names, "initContainers": list(inits), "volumes": list(volumes)}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}


def who(pod):
    """`cloud` or `us` for each probe of the first container."""
    found = health(pod, pod["spec"]["containers"][0], ProbeSupport())
    answer = {kind: "us" for kind in ("startup", "readiness", "liveness") if getattr(found.duties, kind)}
    return answer | {kind: "cloud" for kind in ("readiness", "liveness") if getattr(found, kind)}


@pytest.mark.parametrize(
    ("pod", "asked_by"),
    [
        pytest.param(made(), {}, id="none"),
        pytest.param(made(readiness=TCP, liveness=GET), {"readiness": "cloud", "liveness": "cloud"}, id="plain"),
        pytest.param(made(readiness=GRPC), {"readiness": "us"}, id="readiness by gRPC"),
        pytest.param(made(readiness=HEADERS, others=("b",)), {"readiness": "us"}, id="readiness with headers"),
        pytest.param(made(liveness=GRPC), {"liveness": "us"}, id="liveness by gRPC, alone"),
        pytest.param(made(liveness=HEADERS, policy="Never", volumes=SCRATCH), {"liveness": "us"}, id="liveness, Never"),
        pytest.param(
            made(startup=TCP, readiness=TCP), {"startup": "us", "readiness": "cloud"}, id="startup before readiness"
        ),
        pytest.param(made(startup=TCP, liveness=TCP), {"startup": "us", "liveness": "us"}, id="startup, alone"),
        pytest.param(
            made(startup=TCP, liveness=TCP, others=("b",)), {"startup": "us", "liveness": "cloud"}, id="startup, two"
        ),
        pytest.param(
            made(startup=TCP, liveness=TCP, volumes=SCRATCH),
            {"startup": "us", "liveness": "cloud"},
            id="startup, with files that a restart would lose",
        ),
    ],
)
def test_who_asks(pod, asked_by):
    assert fields(pod) == []
    assert who(pod) == asked_by


def test_liveness_begins_after_the_startup_window_where_the_cloud_asks_it():
    startup = {**TCP, "initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 6, "timeoutSeconds": 2}
    pod = made(startup=startup, liveness={**TCP, "initialDelaySeconds": 3}, others=("b",))
    found = health(pod, pod["spec"]["containers"][0], ProbeSupport())
    assert found.delayed
    assert found.liveness == Probe(TcpSocket(80), initial_delay_s=10 + 5 * 6 + 2)
    later = made(startup=startup, liveness={**TCP, "initialDelaySeconds": 99}, others=("b",))
    seen = health(later, later["spec"]["containers"][0], ProbeSupport())
    assert seen.liveness == Probe(TcpSocket(80), initial_delay_s=99)


@pytest.mark.parametrize(
    ("pod", "refused"),
    [
        (made(liveness=GRPC, others=("b",)), []),
        (made(liveness=HEADERS, volumes=SCRATCH), []),
        (made(liveness=GRPC, inits=[SIDE]), []),
        (made(startup=TCP, policy="Never", others=("b",)), []),
        (made(startup=TCP, policy="Never"), []),
        (made(startup=TCP, others=("b",)), []),
        (made(inits=[{**SIDE, "startupProbe": TCP}]), []),
        (made(inits=[{**SIDE, "startupProbe": TCP}], policy="Never"), []),
        (
            made(inits=[{**SIDE, "startupProbe": TCP}, {"name": "late", "image": "i"}]),
            ["spec.initContainers[0].restartPolicy"],
        ),
        (made(inits=[{**SIDE, "livenessProbe": TCP, "readinessProbe": GRPC}]), []),
        (made(inits=[SIDE, {"name": "late", "image": "i"}]), ["spec.initContainers[0].restartPolicy"]),
        (made(inits=[{"name": "first", "image": "i"}, SIDE]), []),
        (made(liveness={}), ["spec.containers[0].livenessProbe"]),
        (made(readiness={**TCP, **GET}), ["spec.containers[0].readinessProbe"]),
        (made(readiness={"tcpSocket": {"port": "web"}}), ["spec.containers[0].readinessProbe.tcpSocket.port"]),
        (made(readiness={"httpGet": {"port": 80, "host": "h"}}), ["spec.containers[0].readinessProbe.httpGet.host"]),
        (made(liveness={**TCP, "terminationGracePeriodSeconds": 1}), []),
        (made(liveness={**TCP, "terminationGracePeriodSeconds": 30}), []),
    ],
)
def test_refusals(pod, refused):
    assert fields(pod) == refused


def told(pod):
    return [(each.reason, each.container) for each in build(pod, Objects(), CONTEXT).notices]


@pytest.mark.parametrize("kind", ["startup", "liveness"])
@pytest.mark.parametrize("probe", [GRPC, HEADERS])
@pytest.mark.parametrize(
    ("policy", "what"), [("Always", "RestartsAll"), ("OnFailure", "RestartsAll"), ("Never", "EndsAll")]
)
@pytest.mark.parametrize("place", ["app", "sidecar"])
def test_one_rule_for_every_probe_that_only_the_provider_can_ask_beside_other_containers(
    kind, probe, policy, what, place
):
    name = f"{kind.capitalize()}Probe{what}"
    if place == "app":
        pod = made(policy=policy, others=("b",), **{kind: probe})
        assert told(pod) == [(name, "main")]
    else:
        pod = made(policy=policy, inits=[{**SIDE, f"{kind}Probe": probe}])
        assert (name, "side") in told(pod)
    assert any(getattr(each, kind) for each in provider_probes(pod, ProbeSupport()).values())
    assert fields(pod) == []


def test_a_restart_that_loses_files_is_told_too_and_one_that_hits_nothing_else_is_not():
    assert told(made(liveness=GRPC, volumes=SCRATCH)) == [("LivenessProbeRestartsAll", "main")]
    assert told(made(liveness=GRPC)) == []
    assert told(made(startup=TCP, policy="Never")) == []


@pytest.mark.parametrize("kind", ["startup", "liveness"])
def test_a_probes_own_grace_period_is_told_and_not_applied(kind):
    pod = made(**{kind: {**TCP, "terminationGracePeriodSeconds": 1}})
    assert told(pod) == [("ProbeGraceNotApplied", "main")]
    pod["spec"]["terminationGracePeriodSeconds"] = 1
    assert told(pod) == []


RULES = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]


@pytest.mark.parametrize(
    ("pods", "own", "given"),
    [
        pytest.param("Never", ["Always"], "Always", id="the only container's own"),
        pytest.param("Always", ["Never"], "Never", id="likewise if that is less"),
        pytest.param("OnFailure", ["Never", "Never"], "Never", id="all of them agree"),
        pytest.param("Never", ["OnFailure", None], "Never", id="they differ"),
        pytest.param("Never", [None, None], "Never", id="none has one"),
    ],
)
def test_what_all_containers_state_for_themselves_is_the_instances_policy(pods, own, given):
    pod = made(policy=pods)
    pod["spec"]["containers"] = [
        {"name": f"c{number}", "image": "i", **({"restartPolicy": policy} if policy else {})}
        for number, policy in enumerate(own)
    ]
    assert restart_policy(pod) == given
    assert build(pod, Objects(), CONTEXT).restart_policy == given
    carried = all((policy or pods) == given for policy in own)
    assert (fields(pod) == [] and told(pod) == []) is carried


@pytest.mark.parametrize(
    ("pods", "own", "given"),
    [("Never", "Always", "Never"), ("Always", "Never", "Always"), ("OnFailure", "Always", "Always")],
)
def test_an_init_container_is_begun_again_by_the_pods_policy(pods, own, given):
    pod = made(policy=pods, inits=[{"name": "first", "image": "i"}])
    pod["spec"]["containers"][0]["restartPolicy"] = own
    assert restart_policy(pod) == given


@pytest.mark.parametrize(
    ("pods", "own", "refused", "tells"),
    [
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RULES}, False, True),
        ("Never", {"restartPolicy": "OnFailure"}, False, True),
        ("OnFailure", {"restartPolicy": "Always"}, False, True),
        ("Always", {"restartPolicy": "Always"}, False, False),
        ("Always", {"restartPolicy": "Never"}, True, False),
        ("Always", {"restartPolicy": "Never", "restartPolicyRules": RULES}, True, False),
        ("OnFailure", {"restartPolicy": "Never"}, True, False),
    ],
)
def test_a_containers_own_restarts_beside_the_one_policy_of_an_instance(pods, own, refused, tells):
    pod = made(policy=pods)
    pod["spec"]["containers"][0] |= own
    pod["spec"]["containers"].append({"name": "other", "image": "i"})
    assert fields(pod) == (["spec.containers[0].restartPolicy"] if refused else [])
    if not refused:
        assert told(pod) == ([("RestartRulesNotApplied", "main")] if tells else [])
        assert not build(pod, Objects(), CONTEXT).containers[0].sidecar


@pytest.mark.parametrize(
    ("pods", "own", "refused", "tells"),
    [
        ("Always", {"restartPolicy": "OnFailure"}, False, False),
        ("Always", {"restartPolicy": "Never"}, True, False),
        ("Never", {"restartPolicy": "OnFailure"}, False, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": RULES}, False, True),
    ],
)
def test_the_same_of_init_containers(pods, own, refused, tells):
    pod = made(policy=pods, inits=[{"name": "first", "image": "i", **own}])
    assert fields(pod) == (["spec.initContainers[0].restartPolicy"] if refused else [])
    if not refused:
        assert told(pod) == ([("RestartRulesNotApplied", "first")] if tells else [])


def test_sidecars_in_front_of_an_init_container_start_late_where_the_pod_says_so():
    pod = made(inits=[SIDE, {"name": "late", "image": "i"}])
    pod["metadata"]["annotations"] = {"virtual-kubelet.io/sidecar-order": "relaxed"}
    assert fields(pod) == []
    assert told(pod) == [("SidecarsStartLate", "")]
    made_of = build(pod, Objects(), CONTEXT)
    assert [each.name for each in made_of.init_containers] == ["late"]
    assert [each.name for each in made_of.containers] == ["side", "main"]


def test_defaults_and_all_that_can_be_said():
    command = {"exec": {"command": ["a", "b"]}, "initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 3}
    pod = made(readiness={**command, "successThreshold": 4, "failureThreshold": 5}, liveness=TCP)
    found = health(pod, pod["spec"]["containers"][0], ProbeSupport())
    assert found.readiness == Probe(Exec(("a", "b")), 1, 2, 3, 4, 5)
    assert found.liveness == Probe(TcpSocket(80), 0, 10, 1, 1, 3)


@pytest.mark.parametrize(("policy", "then"), [("Always", "StartupProbeRestartsAll"), ("Never", "StartupProbeEndsAll")])
def test_a_sidecars_startup_probe_is_ours_to_ask_and_its_user_is_told_that_nobody_waits(policy, then):
    pod = made(policy=policy, inits=[{**SIDE, "startupProbe": TCP, "livenessProbe": TCP}])
    assert provider_probes(pod, ProbeSupport()) == {"side": Duties(startup=Probe(TcpSocket(80)))}
    notices = build(pod, Objects(), CONTEXT).notices
    assert [(each.reason, each.container) for each in notices] == [
        ("LivenessProbeDelayed", "side"),
        ("SidecarNotAwaited", "side"),
        (then, "side"),
    ]


def test_duties_are_of_containers_that_keep_running():
    pod = made(readiness=GRPC, others=("b",), inits=[{**SIDE, "readinessProbe": GRPC}])
    grpc = Duties(readiness=Probe(Grpc(80)))
    assert provider_probes(pod, ProbeSupport()) == {"side": grpc, "main": grpc}


@pytest.mark.parametrize(
    ("port", "number"), [(80, 80), ("web", 8080), ("80", 80), ("other", None), (0, None), (65536, None), ("", None)]
)
def test_ports_by_number_and_name(port, number):
    assert named_port({"ports": [{"containerPort": 1}, {"name": "web", "containerPort": 8080}]}, port) == number


def test_who_restarts_alone():
    assert restarts_alone(made())
    assert restarts_alone(made(inits=[{"name": "first", "image": "i"}]))
    assert not restarts_alone(made(inits=[SIDE]))
    assert not restarts_alone(made(others=("b",)))
    assert not restarts_alone(made(volumes=SCRATCH))
    assert restarts_alone(made(volumes=SCRATCH, policy="Never"))


def test_the_longest_sleep_counts():
    pod = made(others=("b",), inits=[SIDE])
    pod["spec"]["containers"][1]["lifecycle"] = {"preStop": {"sleep": {"seconds": 7}}}
    pod["spec"]["initContainers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 3}}}
    assert stop_delay_s(pod) == 7
    assert stop_delay_s(made()) == 0
