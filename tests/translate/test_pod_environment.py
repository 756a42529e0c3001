"""The environment of a container, rule by rule (S1, S2, S5 to S9, S11)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pod_cases import CONTEXT

from vk_provider.errors import PodNotReady
from vk_provider.model.workload import FromPodIP, Workload
from vk_provider.translate.objects import Kind
from vk_provider.translate.workload import NodeContext, Objects, build

Json = dict[str, Any]


def pod_of(*env: Json, env_from: tuple[Json, ...] = (), **container: Any) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1"}},
        "spec": {
            "enableServiceLinks": False,
            "containers": [
                {"name": "c", "image": "i", "env": list(env), "envFrom": list(env_from), **container},
                {"name": "other", "image": "i", "resources": {"limits": {"memory": "3Mi"}}},
            ],
        },
    }


def config_map(**data: str) -> Json:
    return {"metadata": {"namespace": "ns", "name": "m"}, "data": data}


def secret(**data: bytes) -> Json:
    return {"metadata": {}, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def translated(pod: Json, objects: Objects | None = None, context: NodeContext = CONTEXT) -> Workload:
    return build(pod, objects or Objects(), context)


def variables(pod: Json, objects: Objects | None = None, context: NodeContext = CONTEXT) -> Json:
    return dict(translated(pod, objects, context).containers[0].env)


def from_key(kind: str, key: str = "k", **more: Any) -> Json:
    return {"name": "X", "valueFrom": {kind: {"name": "m", "key": key, **more}}}


MAP = Objects(config_maps={("ns", "m"): config_map(k="from map", X="all of it")})
SECRET = Objects(secrets={("ns", "m"): secret(k=b"hush")})


@pytest.mark.parametrize(
    ("pod", "objects", "expected"),
    [
        pytest.param(pod_of({"name": "X", "value": "1"}, {"name": "X", "value": "2"}), MAP, "2", id="S1 later wins"),
        pytest.param(
            pod_of({"name": "X", "value": "own"}, env_from=({"configMapRef": {"name": "m"}},)),
            MAP,
            "own",
            id="S1 env over envFrom",
        ),
        pytest.param(pod_of(env_from=({"configMapRef": {"name": "m"}},)), MAP, "all of it", id="S1 envFrom"),
        pytest.param(
            pod_of(
                {"name": "X", "value": "$(p_k)"},
                env_from=({"prefix": "p_", "configMapRef": {"name": "m"}},),
            ),
            MAP,
            "from map",
            id="S2 sees envFrom",
        ),
        pytest.param(
            pod_of({"name": "X", "value": "$(Y)"}, {"name": "Y", "value": "1"}),
            MAP,
            "$(Y)",
            id="S2 not what comes later",
        ),
        pytest.param(pod_of({"name": "X", "value": "$(X)!"}), MAP, "$(X)!", id="S2 not itself"),
        pytest.param(
            pod_of({"name": "X", "value": "$(X)!"}, env_from=({"configMapRef": {"name": "m"}},)),
            MAP,
            "all of it!",
            id="S2 its own earlier value",
        ),
        pytest.param(pod_of({"name": "X", "value": ""}), MAP, "", id="S2 empty stays empty"),
        pytest.param(pod_of({"name": "X"}), MAP, "", id="S2 nothing is empty"),
        pytest.param(pod_of(from_key("configMapKeyRef")), MAP, "from map", id="S6 config map"),
        pytest.param(pod_of(from_key("secretKeyRef")), SECRET, "hush", id="S6 secret"),
        pytest.param(
            pod_of(from_key("configMapKeyRef", "none", optional=True), env_from=({"configMapRef": {"name": "m"}},)),
            MAP,
            "all of it",
            id="S5 earlier value survives a missing key",
        ),
        pytest.param(
            pod_of({"name": "X", "value": "first"}, from_key("secretKeyRef", optional=True)),
            Objects(),
            "first",
            id="S5 earlier value survives a missing object",
        ),
    ],
)
def test_value(pod: Json, objects: Objects, expected: str) -> None:
    assert variables(pod, objects)["X"] == expected


def test_s5_optional_sources_that_are_missing_leave_nothing() -> None:
    pod = pod_of(
        from_key("secretKeyRef", optional=True),
        env_from=({"secretRef": {"name": "m", "optional": True}}, {"configMapRef": {"name": "m", "optional": True}}),
    )
    assert variables(pod) == {}


@pytest.mark.parametrize(
    ("pod", "objects", "message"),
    [
        pytest.param(pod_of(from_key("secretKeyRef")), Objects(), 'secret "m" not found', id="secret"),
        pytest.param(
            pod_of(from_key("configMapKeyRef")),
            Objects(config_maps={("ns", "m"): None}),
            'configmap "m" not found',
            id="config map",
        ),
        pytest.param(pod_of(from_key("secretKeyRef", "z")), SECRET, "couldn't find key z in Secret ns/m", id="key"),
        pytest.param(
            pod_of(from_key("configMapKeyRef", "z")), MAP, "couldn't find key z in ConfigMap ns/m", id="config key"
        ),
        pytest.param(
            pod_of(env_from=({"secretRef": {"name": "m"}},)), Objects(), 'secret "m" not found', id="whole secret"
        ),
        pytest.param(
            pod_of(env_from=({"configMapRef": {"name": "m"}},)), Objects(), 'configmap "m" not found', id="whole map"
        ),
        pytest.param(
            pod_of(from_key("secretKeyRef")),
            Objects(secrets={("ns", "m"): secret(k=b"\xff")}),
            "key k in Secret ns/m is not text, so no variable can hold it; mount it as a volume",
            id="bytes",
        ),
    ],
)
def test_s12_missing_things_keep_the_pod_waiting(pod: Json, objects: Objects, message: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        translated(pod, objects)
    assert str(raised.value) == message
    assert raised.value.retryable
    assert (raised.value.event_reason, raised.value.waiting_reason, raised.value.container) == (
        "Failed",
        "CreateContainerConfigError",
        "c",
    )


def test_s6_binary_data_is_for_volumes_only() -> None:
    objects = Objects(config_maps={("ns", "m"): {"metadata": {}, "binaryData": {"k": "AA=="}}})
    assert variables(pod_of(env_from=({"configMapRef": {"name": "m"}},)), objects) == {}
    with pytest.raises(PodNotReady, match="couldn't find key k in ConfigMap ns/m"):
        translated(pod_of(from_key("configMapKeyRef")), objects)


def test_s7_keys_that_are_no_names_are_left_out_and_told() -> None:
    keys = {"b c": b"1", "9": b"1", "app.ini": b"1", "log-out": b"1", "_good1": b"1", "x" * 129: b"1"}
    objects = Objects(secrets={("ns", "m"): secret(**keys)})
    workload = translated(pod_of(env_from=({"secretRef": {"name": "m"}},)), objects)
    assert dict(workload.containers[0].env) == {"_good1": "1", "app.ini": "1", "log-out": "1"}
    (notice,) = workload.notices
    assert (notice.reason, notice.container) == ("InvalidEnvironmentVariableNames", "c")
    assert notice.message == (
        f"Keys [9, b c, {'x' * 129}] from the EnvFrom secret ns/m were skipped since they are considered invalid "
        "environment variable names."
    )


def test_s7_a_prefix_can_make_a_name_of_a_key() -> None:
    objects = Objects(config_maps={("ns", "m"): config_map(**{"9": "nine"})})
    assert variables(pod_of(env_from=({"prefix": "N", "configMapRef": {"name": "m"}},)), objects) == {"N9": "nine"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['b']", ""),
        ("metadata.annotations['a']", ""),
        ("spec.nodeName", "virtual-kubelet"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "192.168.0.10"),
        ("status.hostIPs", "192.168.0.10"),
        ("status.podIP", FromPodIP()),
        ("status.podIPs", FromPodIP()),
    ],
)
def test_s8_field_reference(path: str, expected: str | FromPodIP) -> None:
    assert variables(pod_of({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}))["X"] == expected


@pytest.mark.parametrize(
    ("stated", "resource", "divisor", "expected"),
    [
        ({"limits": {"cpu": "1500m"}}, "limits.cpu", "0", "2"),
        ({"limits": {"cpu": "1500m"}}, "limits.cpu", "1m", "1500"),
        ({"limits": {"memory": "1Gi"}}, "limits.memory", "1Mi", "1024"),
        ({"limits": {"memory": "1000001"}}, "limits.memory", "1M", "2"),
        ({"limits": {"memory": "1Gi"}}, "limits.memory", None, "1073741824"),
        ({"limits": {"cpu": "2"}}, "requests.cpu", None, "2"),
        ({"requests": {"cpu": "2"}}, "limits.cpu", None, "5000"),
        ({}, "limits.memory", "1Gi", "20480"),
        ({}, "requests.memory", None, "0"),
        ({}, "limits.hugepages-2Mi", None, "0"),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "requests.ephemeral-storage", "1Gi", "1"),
    ],
)
def test_s9_resource_reference(stated: Json, resource: str, divisor: str | None, expected: str) -> None:
    reference = {"resource": resource, "divisor": divisor}
    pod = pod_of({"name": "X", "valueFrom": {"resourceFieldRef": reference}}, resources=stated)
    assert variables(pod)["X"] == expected


def test_s9_resource_of_another_container() -> None:
    reference = {"containerName": "other", "resource": "limits.memory", "divisor": "1Mi"}
    assert variables(pod_of({"name": "X", "valueFrom": {"resourceFieldRef": reference}}))["X"] == "3"


def test_s4_words_see_the_final_environment() -> None:
    pod = pod_of(
        {"name": "X", "value": "early"}, {"name": "X", "value": "late"}, command=["$(X)"], args=["$$(X)", "$(N)"]
    )
    container = translated(pod).containers[0]
    assert (container.command, container.args) == (("late",), ("$(X)", "$(N)"))


def service(name: str, namespace: str = "ns", address: str | None = "10.0.0.1", **port: Any) -> Json:
    ports = [{"port": 80, **port}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": ports}}


def hosts(pod: Json, services: list[Json], context: NodeContext = CONTEXT) -> Json:
    found = variables(pod, Objects(services=services), context)
    return {name.removesuffix("_SERVICE_HOST"): text for name, text in found.items() if name.endswith("_SERVICE_HOST")}


MASTER = service("kubernetes", "default", "10.96.0.1")


def linked() -> Json:
    pod = pod_of()
    pod["spec"]["enableServiceLinks"] = None  # as the API server leaves an unset one: true
    return pod


@pytest.mark.parametrize(
    ("pod", "services", "expected"),
    [
        pytest.param(pod_of(), [MASTER, service("own")], {"KUBERNETES": "10.96.0.1"}, id="no links, but the master"),
        pytest.param(linked(), [MASTER, service("own")], {"KUBERNETES": "10.96.0.1", "OWN": "10.0.0.1"}, id="links"),
        pytest.param(linked(), [service("other", "elsewhere"), service("more", "default")], {}, id="other namespaces"),
        pytest.param(linked(), [service("a", address="None"), service("b", address="")], {}, id="no address"),
        pytest.param(linked(), [service("a", address=None)], {}, id="external"),
        pytest.param(linked(), [service("my-own-api")], {"MY_OWN_API": "10.0.0.1"}, id="name"),
        pytest.param(
            linked(), [MASTER, service("kubernetes")], {"KUBERNETES": "10.0.0.1"}, id="a namesake comes first"
        ),
    ],
)
def test_s11_which_services(pod: Json, services: list[Json], expected: Json) -> None:
    assert hosts(pod, services) == expected
    assert hosts(pod, services[::-1]) == expected


def test_s11_services_without_ports_say_nothing() -> None:
    bare = {"metadata": {"name": "a", "namespace": "ns"}, "spec": {"clusterIP": "10.0.0.1"}}
    assert variables(linked(), Objects(services=[bare])) == {}


@pytest.mark.parametrize("services", [[MASTER], []], ids=["known", "unknown"])
def test_s11_the_masters_address_can_be_set(services: list[Json]) -> None:
    context = NodeContext(
        cluster="c", node_name="n", node_ip="1.2.3.4", service_host="api.example.com", service_port="6443"
    )
    found = variables(pod_of({"name": "X", "value": "$(KUBERNETES_SERVICE_PORT)"}), Objects(services=services), context)
    assert found["KUBERNETES_SERVICE_HOST"] == "api.example.com"
    assert found["KUBERNETES_SERVICE_PORT"] == found["X"] == "6443"
    assert found["KUBERNETES_PORT_6443_TCP"] == "tcp://api.example.com:6443"


def test_s11_the_masters_address_is_set_for_its_own_namespace_too() -> None:
    context = NodeContext(cluster="c", node_name="n", node_ip="1.2.3.4", service_host="1.1.1.1", service_port="6443")
    pod = linked()
    pod["metadata"]["namespace"] = "default"
    two_ports = service("kubernetes", "default", "10.96.0.1")
    two_ports["spec"]["ports"] = [{"port": 443, "name": "https"}, {"port": 81, "name": "more"}]
    found = variables(pod, Objects(services=[two_ports]), context)
    assert found["KUBERNETES_SERVICE_HOST"] == "1.1.1.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "6443"
    assert found["KUBERNETES_SERVICE_PORT_MORE"] == "81"
    assert two_ports["spec"]["clusterIP"] == "10.96.0.1"


def test_s11_own_variables_go_before_those_of_services() -> None:
    pod = pod_of(
        {"name": "KUBERNETES_SERVICE_HOST", "value": "mine"}, {"name": "X", "value": "$(KUBERNETES_SERVICE_HOST)"}
    )
    found = variables(pod, Objects(services=[MASTER]))
    assert found["KUBERNETES_SERVICE_HOST"] == found["X"] == "mine"


USES = {"exec": {"command": ["sh", "-c", "curl $OWN_PORT"]}}


@pytest.mark.parametrize(
    "container",
    [
        {"command": ["echo", "$(OWN_PORT)"]},
        {"args": ["$(OWN_PORT)"]},
        {"env": [{"name": "X", "value": "$(OWN_PORT)"}]},
        {"startupProbe": USES},
        {"livenessProbe": USES},
        {"readinessProbe": USES},
        {"lifecycle": {"postStart": USES}},
        {"lifecycle": {"preStop": USES}},
    ],
    ids=lambda each: "-".join([*each, *each.get("lifecycle", ())]),
)
def test_a_variable_that_a_container_names_is_left_out_last(container: Json) -> None:
    pod = linked()
    pod["spec"]["containers"][0] |= container
    made = translated(pod, Objects(services=[service("own"), MASTER])).containers[0]
    named = made.added_env.index("OWN_PORT")
    assert named < made.added_env.index("OWN_SERVICE_HOST"), "which nobody names"


def test_what_no_variable_can_hold_names_its_container() -> None:
    objects = Objects(secrets={("ns", "m"): secret(k=b"\xff")})
    with pytest.raises(PodNotReady) as raised:
        translated(pod_of(env_from=({"secretRef": {"name": "m"}},)), objects)
    assert raised.value.container == "c"


@pytest.mark.parametrize("objects", [MAP, SECRET])
def test_an_entry_that_is_not_there_is_missed_as_in_any_mapping(objects: Objects) -> None:
    kind = Kind.SECRET if objects is SECRET else Kind.CONFIG_MAP
    data = objects.data(kind, ("ns", "m"))
    assert data is not None
    with pytest.raises(KeyError):
        data["nobody"]
