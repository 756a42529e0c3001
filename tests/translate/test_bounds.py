"""What a pod decides the size of is bounded before anything is built from it: refused at its field, in milliseconds."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import hostile
from tests.fuzz.cost import within_the_goal
from tests.fuzz.parsers import REFUSALS, _hostile_pod
from tests.thorough import examples
from vk_provider import bounds
from vk_provider.cloud.eci import annotations
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.kube.packing import Packer, unpack
from vk_provider.model.quantity import parse
from vk_provider.model.vocabulary import NEUTRAL
from vk_provider.redaction import SecretText
from vk_provider.translate import events, file_sources, images, registries, status
from vk_provider.translate.expansion import Allowance, TooLong, expand, names_in
from vk_provider.translate.judging import judged, wanted
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Objects, References
from vk_provider.translate.services import service_variables
from vk_provider.translate.workload import build, references

Json = dict[str, Any]
CONTEXT = NodeContext(cluster="c", node_name="vk", node_ip="10.0.0.1")
NOW = "2026-01-02T03:04:05Z"
MOST_MEMORY = 24 * bounds.MIB  # beside the pod itself


def pod_of(container: Json | None = None, **spec: Any) -> Json:
    made = hostile.plain()
    made["spec"]["containers"] = [{"name": "c", "image": "busybox", **(container or {})}]
    made["spec"] |= spec
    return made


def chain(length: int, width: int = 10, letters: int = 30) -> list[Json]:
    first = {"name": "X0", "value": "a" * letters}
    return [first, *({"name": f"X{n}", "value": f"$(X{n - 1})" * width} for n in range(1, length))]


def config_map(data: Json, name: str = "map") -> Objects:
    key = (hostile.NAMESPACE, name)
    return Objects(config_maps={key: hostile.object_of("ConfigMap", name, data)})


def refused(pod: Json, objects: Objects | None = None) -> tuple[Refusal, ...]:
    """How it is refused, within the time and the memory that one pod may take."""

    def step() -> None:
        references(pod, capabilities=CAPABILITIES)
        build(pod, objects or Objects(), CONTEXT)

    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedPod) as raised:
            step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY, f"{peak:,} bytes"
    with pytest.raises(UnsupportedPod):
        within_the_goal("refused", step)
    assert len(str(raised.value)) <= bounds.MOST_MESSAGE
    return raised.value.refusals


# --- what a few words become ------------------------------------------------------------------------------------------

LARGE = {"env": chain(4), "args": ["$(X3)"] * 30}
EXPR = {"name": "v", "mountPath": "/v"}
SCRATCH = [{"name": "v", "emptyDir": {}}]
HUGE = {"huge": "x" * 1_000_000}


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        pytest.param(pod_of({"env": chain(9)}), "spec.containers[0].env[4].value", id="a chain"),
        pytest.param(pod_of({"env": chain(60, width=2)}), "spec.containers[0].env[13].value", id="a long chain"),
        pytest.param(
            pod_of({"env": chain(4), "args": ["-c", "$(X3)" * 9]}), "spec.containers[0].args[1]", id="an argument"
        ),
        pytest.param(
            pod_of({"env": chain(4), "command": ["$(X3)" * 9]}), "spec.containers[0].command[0]", id="a command"
        ),
        pytest.param(
            pod_of({"env": chain(3), "volumeMounts": [{**EXPR, "subPathExpr": "$(X2)" * 9}]}, volumes=SCRATCH),
            "spec.containers[0].volumeMounts[0].subPathExpr",
            id="a path",
        ),
        pytest.param(
            pod_of(initContainers=[{"name": "i", "image": "x", "env": chain(9)}]),
            "spec.initContainers[0].env[4].value",
            id="an init container",
        ),
        pytest.param(
            pod_of({"env": chain(4), "args": ["$(X3)"] * 900}), "spec.containers[0].args[42]", id="the sum of words"
        ),
        pytest.param(
            pod_of({"env": [*chain(4), *({"name": f"Y{n}", "value": "$(X3)"} for n in range(900))]}),
            "spec.containers[0].env[46].value",
            id="the sum of variables",
        ),
        pytest.param(
            pod_of(LARGE, initContainers=[{"name": "i", "image": "x", **LARGE}]),
            "spec.containers[0].args[11]",
            id="the sum of containers",
        ),
        pytest.param(
            pod_of({"env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "huge"}}}]}),
            "spec.containers[0].env[0].valueFrom",
            id="a key",
        ),
        pytest.param(
            pod_of({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}]}),
            "spec.containers[0].envFrom[0]",
            id="all keys",
        ),
        pytest.param(
            pod_of({"volumeMounts": [EXPR]}, volumes=[{"name": "v", "configMap": {"name": "map"}}]),
            "spec.volumes[0]",
            id="files",
        ),
    ],
)
def test_s1_what_grows_too_long_is_refused_at_its_field(pod: Json, field: str) -> None:
    assert [each.field for each in refused(pod, config_map(HUGE))] == [field]


def test_s1_what_is_just_long_enough_is_carried() -> None:
    pod = pod_of({"env": [{"name": "A", "value": "a" * 65_536}, {"name": "B", "value": "$(A)$(A)"}]})
    (container,) = build(pod, Objects(), CONTEXT).containers
    assert [len(str(value)) for _, value in container.env] == [65_536, 131_072]
    assert expand("$(A)$(A)", {"A": "xy"}, most=4) == "xyxy"
    with pytest.raises(TooLong):
        expand("$(A)$(A)", {"A": "xy"}, most=3)


def test_s1_a_word_that_does_not_grow_may_be_as_long_as_it_is() -> None:
    pod = pod_of({"args": ["a" * 200_000 + "$(X)"], "env": [{"name": "X", "value": "1"}]})
    assert len(build(pod, Objects(), CONTEXT).containers[0].args[0]) == 200_001


def test_s1_bytes_count_and_not_characters() -> None:
    assert Allowance().expanded("$(A)", {"A": "éé"}, "f", most=4) == "éé"
    with pytest.raises(UnsupportedPod):
        Allowance().expanded("$(A)", {"A": "ééé"}, "f", most=4)


def test_s1_what_the_cloud_is_to_expand_is_bounded_too() -> None:
    context = dataclasses.replace(CONTEXT, expands_pod_ip=True)
    address = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    pod = pod_of({"env": [address, *chain(9), {"name": "U", "value": "$(IP)$(X3)"}], "args": ["$(IP)$(X3)" * 9]})
    with pytest.raises(UnsupportedPod) as raised:
        within_the_goal("build", lambda: build(pod, Objects(), context))
    assert [each.field for each in raised.value.refusals] == ["spec.containers[0].env[5].value"]
    few = pod_of({"env": [address, *chain(4)], "args": ["$(IP)$(X3)" * 9]})
    with pytest.raises(UnsupportedPod) as raised:
        within_the_goal("build", lambda: build(few, Objects(), context))
    assert [each.field for each in raised.value.refusals] == ["spec.containers[0].args[0]"]


def test_all_that_speaks_against_a_hostile_pod_is_found_in_time() -> None:
    """Whatever else is wrong with it, a pod that is too large is not gone through a second time."""
    cards = dict.fromkeys((f"example.com/card-{n}" for n in range(900)), "1")
    pod = pod_of(containers=many(40, image="x", resources={"limits": cards}), hostNetwork=True)
    found = within_the_goal("judged", lambda: judged(pod, Objects(), CONTEXT, lambda _: ()), goal_s=0.1)
    assert 0 < len(found) <= 3 * bounds.MOST_REFUSALS
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    for large in (pod_of({"command": ["x"] * 300_000}), pod_of(affinity=deep), pod_of({"args": ["a" * 1_400_000]})):
        assert len(within_the_goal("judged", lambda large=large: judged(large, Objects(), CONTEXT, lambda _: ()))) == 1
        assert wanted(large) == References()


@pytest.mark.parametrize("piece", ["$(", "$", "(", ")", "$$", "$$(", "$(A", "$(A)", "$()", "$(B)", "$()$(", "\ud800$("])
def test_s2_a_megabyte_of_anything_is_gone_through_once(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    within_the_goal("expand", lambda: expand(text, {"A": "1"}))
    within_the_goal("names_in", lambda: sum(1 for _ in names_in(text)))


@given(st.text(alphabet="$()AB\n", max_size=60))
def test_s2_the_linear_scan_reads_what_the_grammar_says(text: str) -> None:
    """The grammar of Kubernetes' own expansion, character by character."""
    known, out, at = {"A": "1", "AB": "22"}, "", 0
    while at < len(text):
        two = text[at : at + 2]
        close = text.find(")", at) if two == "$(" else -1
        if two == "$$":
            out, at = out + "$", at + 2
        elif close >= 0:
            name = text[at + 2 : close]
            out, at = out + known.get(name, f"$({name})"), close + 1
        else:
            out, at = out + text[at], at + 1
    assert expand(text, known) == out


@pytest.mark.parametrize("text", ["1" * 100_000, "1" * 100_000 + "x", "." * 100_000, "1." * 50_000, "9" * 39 + "x"])
def test_s2_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        within_the_goal("parse", lambda: parse(text))


@pytest.mark.parametrize("piece", ["a", "a-", "a_", "a__", "a.", "a/", "A", "0", "-", ":", "@", "é", "\n"])
@pytest.mark.parametrize("length", [300, 30_000, 1_000_000])
def test_s2_image_names(piece: str, length: int) -> None:
    image = piece * (length // len(piece)) + "!"
    with pytest.raises(PodNotReady) as raised:
        within_the_goal("image", lambda: images.check({"name": "c", "image": image}))
    assert len(str(raised.value)) <= 1_000


# --- counts -----------------------------------------------------------------------------------------------------------


def many(count: int, **members: Any) -> list[Json]:
    return [{**members, "name": f"x{number}"} for number in range(count)]


COUNTS = [
    ({"env": many(20_000, value="1")}, {}, "spec.containers[0].env"),
    ({"envFrom": [{"configMapRef": {"name": "map"}}] * 20_000}, {}, "spec.containers[0].envFrom"),
    ({"command": ["x"] * 300_000}, {}, "spec.containers[0].command"),
    ({"args": ["x"] * 300_000}, {}, "spec.containers[0].args"),
    ({"ports": [{"containerPort": 1}] * 50_000}, {}, "spec.containers[0].ports"),
    ({"volumeMounts": many(20_000, mountPath="/x")}, {}, "spec.containers[0].volumeMounts"),
    ({"livenessProbe": {"exec": {"command": ["x"] * 99_999}}}, {}, "spec.containers[0].livenessProbe.exec.command"),
    ({"resources": {"limits": dict.fromkeys(map(str, range(30_000)))}}, {}, "spec.containers[0].resources.limits"),
    ({}, {"containers": many(40_000, image="x")}, "spec.containers"),
    ({}, {"initContainers": many(40_000, image="x")}, "spec.initContainers"),
    ({}, {"ephemeralContainers": many(40_000, image="x")}, "spec.ephemeralContainers"),
    ({}, {"volumes": many(16_000, emptyDir={})}, "spec.volumes"),
    ({}, {"imagePullSecrets": many(40_000)}, "spec.imagePullSecrets"),
    ({}, {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}] * 20_000}, "spec.hostAliases"),
    ({}, {"dnsConfig": {"searches": ["a"] * 200_000}}, "spec.dnsConfig.searches"),
    ({}, {"tolerations": [{"operator": "Exists"}] * 40_000}, "spec.tolerations"),
    ({}, {"readinessGates": [{"conditionType": "a/b"}] * 40_000}, "spec.readinessGates"),
    ({}, {"volumes": [{"name": "v", "projected": {"sources": [{}] * 20_000}}]}, "spec.volumes.projected.sources"),
    ({}, {"affinity": {"nodeAffinity": {"x": [[["a"] * 900] * 90]}}}, "spec.affinity"),
]


@pytest.mark.parametrize(("container", "spec", "field"), COUNTS, ids=[field for _, _, field in COUNTS])
def test_s7_counts_come_first(container: Json, spec: Json, field: str) -> None:
    found = refused(pod_of(container, **spec))
    assert [each.field for each in found] == [field], found


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_s7_of_labels_and_annotations_too(place: str) -> None:
    pod = pod_of()
    pod["metadata"][place] = {f"k{number}": "v" for number in range(50_000)}
    assert [each.field for each in refused(pod)] == [f"metadata.{place}"]


def test_s7_many_lawful_lists_are_too_much_together_and_the_largest_is_named() -> None:
    small, large = many(10, value="1"), many(900, value="1")
    pod = pod_of(containers=[{"name": f"c{n}", "image": "x", "env": large if n else small} for n in range(20)])
    assert [each.field for each in refused(pod)] == ["spec.containers[1].env"]


def test_s7_words_that_are_too_much_together() -> None:
    pod = pod_of({"args": ["a" * 100_000] * 13, "workingDir": "b" * 100_000})
    assert [each.field for each in refused(pod)] == ["spec.containers[0].args"]


def test_s7_as_deep_as_nobody_nests() -> None:
    value: Any = "x"
    for _ in range(100_000):
        value = {"a": value}
    assert [each.field for each in refused(pod_of(affinity=value))] == ["spec.affinity"]


def test_s7_what_a_server_keeps_for_itself_does_not_count() -> None:
    pod = pod_of()
    pod["metadata"]["managedFields"] = [{"fieldsV1": {f"f:{n}": {} for n in range(5_000)}}] * 20
    pod["status"] = {"conditions": [{}] * 50_000}
    references(pod, capabilities=CAPABILITIES)


def test_s7_the_largest_pod_that_is_carried_is_carried_in_time() -> None:
    address = {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    env = [*many(239, value="$(x1)" + "a" * 20), address]
    containers = [{"name": f"c{n}", "image": "busybox", "env": env} for n in range(20)]
    pod = pod_of(containers=containers)
    within_the_goal("references", lambda: references(pod, capabilities=CAPABILITIES))
    objects = Objects()
    assert len(within_the_goal("build", lambda: build(pod, objects, CONTEXT)).containers) == 20


def test_s7_one_object_named_a_thousand_times_is_decoded_once() -> None:
    big = base64.b64encode(b"x" * 900_000).decode()
    secret = hostile.object_of("Secret", "s", {"big": big, "small": base64.b64encode(b"y").decode()})
    refs = [{"name": f"E{n}", "valueFrom": {"secretKeyRef": {"name": "s", "key": "small"}}} for n in range(900)]
    pod = pod_of({"env": refs})
    objects = Objects(secrets={(hostile.NAMESPACE, "s"): secret})
    (container,) = within_the_goal("build", lambda: build(pod, objects, CONTEXT)).containers
    assert container.env[899] == ("E899", "y")


def test_s7_an_object_of_very_many_keys() -> None:
    objects = config_map({f"k{number}": "" for number in range(200_000)})
    pod = pod_of({"envFrom": [{"configMapRef": {"name": "map"}}]})
    assert [each.field for each in refused(pod, objects)] == ["spec.containers[0].envFrom[0]"]
    picked = pod_of({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "k7"}}}]})
    assert build(picked, objects, CONTEXT).containers[0].env == (("A", ""),)


def key_of(name: str) -> Json:
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}}


TOKENS = [{"serviceAccountToken": {"path": f"t{n}", "audience": f"a{n}"}} for n in range(21)]


@pytest.mark.parametrize(
    ("container", "spec", "field"),
    [
        ({"env": [key_of(f"m{n}") for n in range(129)]}, {}, "spec.containers[0].env"),
        (
            {},
            {
                "imagePullSecrets": many(100),
                "volumes": [{"name": f"v{n}", "secret": {"secretName": f"s{n}"}} for n in range(40)],
            },
            "spec.imagePullSecrets",
        ),
        ({}, {"volumes": [{"name": "v", "projected": {"sources": TOKENS}}]}, "spec.volumes"),
    ],
    ids=["objects", "pull secrets", "tokens"],
)
def test_s7_what_has_to_be_fetched_is_bounded(container: Json, spec: Json, field: str) -> None:
    mounted = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in spec.get("volumes") or ()]
    pod = pod_of({**container, **({"volumeMounts": mounted} if mounted else {})}, **spec)
    with pytest.raises(UnsupportedPod) as raised:
        within_the_goal("references", lambda: references(pod, capabilities=CAPABILITIES))
    assert [each.field for each in raised.value.refusals] == [field]


def test_s7_unknown_annotations_are_told_together() -> None:
    given = {f"k8s.aliyun.com/eci-spot-strategie{n}": "1" for n in range(900)}
    told = within_the_goal("notices", lambda: list(annotations.notices(given)))
    assert len(told) == bounds.MOST_UNKNOWN_KEYS + 1
    assert "did you mean k8s.aliyun.com/eci-spot-strategy?" in told[0].message
    assert told[-1].message.startswith("890 more are not known here")


def test_an_annotation_of_spaces_asks_for_nothing() -> None:
    assert annotations.ANNOTATIONS.requests(
        {"k8s.aliyun.com/eci-gpu-type": "  ", "k8s.aliyun.com/eci-with-eip": "true"}
    ) == {"k8s.aliyun.com/eci-with-eip": "true"}


def test_s7_downward_files_of_large_annotations() -> None:
    keys = [f"a{number}" for number in range(900)]
    refs = [{"path": key, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for key in keys]
    whole = [{"path": f"w{n}", "fieldRef": {"fieldPath": "metadata.annotations"}} for n in range(90)]
    for items in (refs, whole):
        pod = pod_of({"volumeMounts": [EXPR]}, volumes=[{"name": "v", "downwardAPI": {"items": items}}])
        pod["metadata"]["annotations"] = dict.fromkeys(keys, "é\n" * 20)
        objects = Objects()
        try:
            within_the_goal("build", lambda pod=pod, objects=objects: build(pod, objects, CONTEXT))
        except UnsupportedPod as error:
            assert [each.field for each in error.refusals] == ["spec.volumes[0]"]  # noqa: PT017
        sources = file_sources.live_sources(pod)
        within_the_goal(
            "fingerprint", lambda pod=pod, sources=sources: file_sources.fingerprint(pod, sources, {}, NEUTRAL)
        )


def test_s7_logins_are_bounded() -> None:
    servers = {f"*a{n}.*.example.com": {"username": "u", "password": "p"} for n in range(5_000)}
    servers |= {"*" * 5_000: {"username": "u", "password": "p"}, "r.example.com": {"username": "late", "password": "p"}}
    encoded = base64.b64encode(json.dumps({"auths": servers}).encode()).decode()
    kind = "kubernetes.io/dockerconfigjson"
    secret = hostile.object_of("Secret", "pull", {".dockerconfigjson": encoded}, type_=kind)
    pod = pod_of(imagePullSecrets=[{"name": "pull"}], containers=many(100, image="r.example.com/a"))
    objects = Objects(secrets={(hostile.NAMESPACE, "pull"): secret})
    found, told = within_the_goal("logins", lambda: registries.credentials(pod, hostile.NAMESPACE, objects))
    assert found == ()
    assert any("5,002 entries; those after the first 200 are left out" in each.message for each in told)


def test_s7_services_that_anybody_makes() -> None:
    ports = [{"port": number, "name": f"p{number}"} for number in range(100)]
    services = [
        {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": "10.0.0.1", "ports": ports[:count]}}
        for namespace, name, count in (
            *((hostile.NAMESPACE, f"a{n}", 100) for n in range(3_000)),
            ("default", "kubernetes", 1),
        )
    ]
    found = within_the_goal(
        "services", lambda: service_variables(services, namespace=hostile.NAMESPACE, links=True, context=CONTEXT)
    )
    assert len(found) < 3_000
    assert "KUBERNETES_SERVICE_HOST" in found


# --- what is told of it -----------------------------------------------------------------------------------------------


def test_s7_a_refused_pod_has_a_status_of_ordinary_length() -> None:
    pod = pod_of(containers=many(40_000, image="x"), ephemeralContainers=many(40_000, image="x"))
    (error,) = refused(pod)[:1]
    for desired in (
        within_the_goal("waiting", lambda: status.waiting(pod, message=str(error), now=NOW, host_ip="10.0.0.1")),
        within_the_goal("refused", lambda: status.refused(pod, reason="R", message=str(error), now=NOW, host_ip="")),
    ):
        assert len(json.dumps(desired)) < 100_000


def test_s12_a_message_on_many_containers_is_shared_by_them() -> None:
    pod = pod_of(containers=many(60, image="x"))
    desired = status.waiting(pod, reason="Failed", message="m" * 4_000, now=NOW, host_ip="")
    assert len(json.dumps(desired)) < 60_000


def test_s12_an_event_has_at_most_a_kibibyte() -> None:
    pod = pod_of()
    for message in ("m" * 5_000, "é" * 5_000, "💥" * 400, "\ud800" * 2_000, "m" * 1_024):
        event = events.own_event(
            events.involved(pod), type="Warning", reason="R" * 400, message=message, now=NOW, node="n"
        )
        assert 1_000 < len(event["message"].encode()) <= 1_024
        assert len(event["reason"]) <= 128
    assert event["message"] == "m" * 1_024


def test_s12_refusals_are_all_there_and_their_message_is_short() -> None:
    error = UnsupportedPod([Refusal(f"spec.volumes[{n}]", "v" * 5_000) for n in range(5_000)])
    assert len(error.refusals) == 5_000
    assert len(str(error)) <= bounds.MOST_MESSAGE
    assert str(error).endswith("; and 4,994 more")
    assert all(len(each.reason) <= bounds.MOST_REASON for each in error.refusals)


def test_large_objects_are_packed_without_an_example() -> None:
    packer = Packer()
    for number in range(3):
        packed = packer.pack({"x": f"{number}" * 1_000_000})
        assert packed is not None
        assert packed.example == b""
        assert unpack(packed) == {"x": f"{number}" * 1_000_000}


# --- S10 --------------------------------------------------------------------------------------------------------------

SECRETS = Objects(
    secrets={
        (hostile.NAMESPACE, "secret"): hostile.object_of(
            "Secret", "secret", {"password": base64.b64encode(hostile.SECRET.encode()).decode()}
        )
    }
)


@pytest.mark.parametrize("expression", ["../$(S)", "/$(S)", "$(S)/../..", "$(T)/..", "$(S)" * 500])
def test_s10_a_secret_in_a_path_is_in_no_message(expression: str) -> None:
    env = [hostile._secret_variable("S"), {"name": "T", "value": "pre-$(S)-post"}]
    pod = pod_of({"env": env, "volumeMounts": [{**EXPR, "subPathExpr": expression}]}, volumes=SCRATCH)
    with pytest.raises(REFUSALS) as raised:
        build(pod, SECRETS, CONTEXT)
    assert hostile.SECRET not in str(raised.value)
    assert "spec.containers[0].volumeMounts[0].subPathExpr" in str(raised.value)


def test_s10_what_a_secret_is_put_into_says_so() -> None:
    env = [hostile._secret_variable("S"), {"name": "T", "value": "a-$(S)-$(U)"}, {"name": "U", "value": "u"}]
    pod = pod_of({"env": env, "args": ["--p=$(T)", "$(U)"]})
    (container,) = build(pod, SECRETS, CONTEXT).containers
    first, second = container.args
    assert (first, second) == (f"--p=a-{hostile.SECRET}-$(U)", "u")
    assert isinstance(first, SecretText)
    assert not isinstance(second, SecretText)
    assert first.shown == "--p=a-(secret)-$(U)"
    assert hostile.SECRET not in repr(container)


def test_s10_nor_is_a_file_or_a_login_in_a_representation() -> None:
    pod = pod_of({"volumeMounts": [EXPR]}, volumes=[{"name": "v", "secret": {"secretName": "secret"}}])
    workload = build(pod, SECRETS, CONTEXT)
    assert hostile.SECRET not in repr(workload)
    assert workload.volumes[0].files is not None
    assert workload.volumes[0].files[0].content == hostile.SECRET.encode()


# --- all of it --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(150))
@given(st.sampled_from(sorted(hostile.SHAPES)), st.integers(0, 10**9))
def test_a_hostile_pod_is_refused_or_carried_in_time(shape: str, seed: int) -> None:
    """Ends in its time, raises nothing else, and tells no Secret: see `_hostile_pod`."""
    dice, pod = random.Random(seed), hostile.plain()
    hostile.SHAPES[shape](pod, dice, hostile.size_of(dice))
    with contextlib.suppress(*REFUSALS):
        _hostile_pod(pod)


@pytest.mark.parametrize("shape", sorted(hostile.SHAPES))
def test_a_hostile_pod_takes_little_memory(shape: str) -> None:
    dice, pod = random.Random(shape), hostile.plain()
    hostile.SHAPES[shape](pod, dice, hostile.MOST_BYTES)
    objects = Objects(
        config_maps={(hostile.NAMESPACE, "big"): hostile.object_of("ConfigMap", "big", hostile.big())},
        secrets=SECRETS.secrets,
    )
    tracemalloc.start()
    try:
        with contextlib.suppress(*REFUSALS):
            build(pod, objects, CONTEXT)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY, f"{peak:,} bytes"
