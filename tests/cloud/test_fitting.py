"""What the cluster adds to a pod never makes it fail: it is cut to the room that the pod's own leaves (W1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.cloud.eci import request, update
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.fitting import LEFT_OUT, MAX_ENV, MAX_FILE_BYTES, MAX_VOLUMES
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.errors import UnsupportedPod
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Objects, TokenRequest
from vk_provider.translate.workload import build, content, references

Json = dict[str, Any]

SETTINGS = EciSettings(region="cn-hangzhou", cluster="c", node="vk", vswitch_ids=("vsw-a",), security_group_id="sg-a")
CONTEXT = NodeContext(cluster="c", node_name="vk", node_ip="10.0.0.1", cluster_dns=("10.96.0.10",))
TOKEN = "kube-api-access-abcde"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
MASTER = {
    "metadata": {"namespace": "default", "name": "kubernetes"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
}


def service(name: str, *ports: Json) -> Json:
    spec = {"clusterIP": "10.96.1.1", "ports": list(ports) or [{"port": 80}]}
    return {"metadata": {"namespace": "ns", "name": name}, "spec": spec}


def pod_of(*containers: Json, own_volumes: int = 0, token: bool = False, **spec: Any) -> Json:
    volumes: list[Json] = [{"name": f"v{n}", "emptyDir": {}} for n in range(own_volumes)]
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
    if token:
        sources = [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        ]
        volumes.append({"name": TOKEN, "projected": {"sources": sources}})
        mounts.append({"name": TOKEN, "mountPath": TOKEN_PATH, "readOnly": True})
    made = [
        {"name": f"c{n}", "image": "i", "volumeMounts": mounts, **each} for n, each in enumerate(containers or ({},))
    ]
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": made, "volumes": volumes, **spec},
    }


def objects_of(pod: Json, services: list[Json], ca: str = "CA") -> Objects:
    tokens: dict[TokenRequest, str] = dict.fromkeys(references(pod, capabilities=CAPABILITIES).tokens, "token")
    roots = {("ns", "kube-root-ca.crt"): {"metadata": {}, "data": {"ca.crt": ca}}}
    return Objects(services=services, tokens=tokens, config_maps=roots)


def draft(pod: Json, services: list[Json] | None = None, ca: str = "CA") -> request.RequestPreview:
    return request.draft(build(pod, objects_of(pod, [MASTER, *(services or [])], ca), CONTEXT), SETTINGS)


def names_of(found: request.RequestPreview, place: str = "Container.1") -> list[str]:
    prefix = f"{place}.EnvironmentVar."
    return [text for name, text in found.request.items() if name.startswith(prefix) and name.endswith(".Key")]


def many(count: int) -> list[Json]:
    return [{"name": f"OWN_{n}", "value": "x"} for n in range(count)]


def test_34_services_fill_what_is_free_and_one_notice_names_the_rest() -> None:
    found = draft(pod_of({}, {}), [service(f"s{n}") for n in range(34)])
    for place in ("Container.1", "Container.2"):
        names = names_of(found, place)
        assert len(names) == MAX_ENV
        assert {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} <= set(names)
        assert {f"S{n}_SERVICE_HOST" for n in range(34)} <= set(names), "hosts before what only Docker's links had"
    (notice,) = found.notices
    assert (notice.reason, notice.container) == (LEFT_OUT, "")
    assert "S9_PORT_80_TCP_ADDR" in notice.message
    assert "enableServiceLinks" in notice.message


def test_what_fits_is_left_alone() -> None:
    found = draft(pod_of({"env": many(3)}, own_volumes=3, token=True), [service("s")])
    assert not found.notices
    assert "S_PORT_80_TCP_ADDR" in names_of(found)


@pytest.mark.parametrize("own", [238, 239, 240])
def test_the_pods_own_come_first(own: int) -> None:
    names = names_of(draft(pod_of({"env": many(own)}), [service("s")]))
    assert len(names) == MAX_ENV
    assert {f"OWN_{n}" for n in range(own)} <= set(names)
    first = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"][: MAX_ENV - own]
    assert set(names) - {f"OWN_{n}" for n in range(own)} == set(first)


def test_too_many_of_the_pods_own_are_refused_by_their_own_number() -> None:
    with pytest.raises(UnsupportedPod, match=r"spec\.containers\[0\]\.env: 241 variables"):
        draft(pod_of({"env": many(241)}), [service("s")])


@pytest.mark.parametrize(
    "container",
    [
        {"args": ["$(ZZ_PORT_80_TCP_ADDR)"]},
        {"command": ["sh", "-c", "exec curl http://$ZZ_PORT_80_TCP_ADDR/"]},
        {"args": ['curl "${ZZ_PORT_80_TCP_ADDR}"']},
        {"livenessProbe": {"exec": {"command": ["sh", "-c", "nc $ZZ_PORT_80_TCP_ADDR 80"]}}},
        {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "nc $ZZ_PORT_80_TCP_ADDR 80"]}}}},
    ],
)
def test_what_the_containers_text_names_goes_before_the_others(container: Json) -> None:
    services = [service(f"s{n}") for n in range(50)] + [service("zz")]
    pod = pod_of({"env": many(230), **container}, {})
    assert "ZZ_PORT_80_TCP_ADDR" in names_of(draft(pod, services))
    assert "ZZ_PORT_80_TCP_ADDR" not in names_of(draft(pod, services), "Container.2")


def test_names_that_the_cloud_does_not_take_are_left_out() -> None:
    port = "p" * 63
    services = [service("s" * 63, {"name": port, "port": 1}), service("3scale"), service("fine")]
    found = draft(pod_of(), services)
    names = names_of(found)
    assert "FINE_SERVICE_HOST" in names
    assert all(len(name) <= 128 and not name[0].isdigit() for name in names)
    assert "3SCALE_SERVICE_HOST" in found.notices[0].message


def test_links_never_bring_a_program_near_what_the_kernel_takes() -> None:
    found = draft(pod_of({"env": [{"name": "BIG", "value": "x" * (1 << 20)}]}), [service("s")])
    assert names_of(found) == ["BIG"]
    assert len(found.notices) == 1


def test_a_sidecar_with_as_many_variables_as_the_cloud_takes_goes_without_its_mark() -> None:
    sidecar = {"name": "proxy", "image": "i", "restartPolicy": "Always", "env": many(MAX_ENV)}
    found = draft(pod_of(initContainers=[sidecar]))
    assert len(names_of(found)) == MAX_ENV
    assert "proxy" in found.notices[0].message
    fewer = draft(pod_of(initContainers=[{**sidecar, "env": many(MAX_ENV - 1)}]))
    assert "ECI_CONTAINER_TYPE" in names_of(fewer)


def test_the_token_goes_where_there_is_no_room_for_its_volume() -> None:
    pod = pod_of({}, {}, own_volumes=MAX_VOLUMES, token=True)
    found = draft(pod)
    assert sum(name.endswith(".Type") and name.startswith("Volume.") for name in found.request) == MAX_VOLUMES
    assert TOKEN not in found.request.values()
    assert TOKEN_PATH not in found.request.values()
    assert [TOKEN in notice.message for notice in found.notices] == [True]
    with pytest.raises(UnsupportedPod, match="21 volumes"):
        draft(pod_of(own_volumes=MAX_VOLUMES + 1, token=True))


def test_an_update_of_files_has_the_volumes_that_the_instance_has() -> None:
    pod = pod_of(own_volumes=MAX_VOLUMES, token=True)
    asked = update.update_volumes("eci-1", content(pod, objects_of(pod, []), CONTEXT))
    assert TOKEN not in asked.body.values()


def test_the_legacy_token_is_the_clusters_too() -> None:
    pod = pod_of(own_volumes=MAX_VOLUMES)
    pod["spec"]["volumes"].append({"name": "default-token-abcde", "secret": {"secretName": "default-token-abcde"}})
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "default-token-abcde", "mountPath": TOKEN_PATH})
    found = Objects(services=[], secrets={("ns", "default-token-abcde"): {"data": {"token": "dG9rZW4="}}})
    made = request.draft(build(pod, found, CONTEXT), SETTINGS)
    assert len(made.notices) == 1


def test_a_volume_of_that_name_that_stands_elsewhere_is_the_pods_own() -> None:
    pod = pod_of(own_volumes=MAX_VOLUMES, token=True)
    pod["spec"]["containers"][0]["volumeMounts"][-1] = {"name": TOKEN, "mountPath": "/mine"}
    with pytest.raises(UnsupportedPod, match="21 volumes"):
        draft(pod)


def test_a_bundle_of_the_cluster_that_is_too_big_leaves_the_token() -> None:
    found = draft(pod_of(token=True), ca="x" * (MAX_FILE_BYTES + 1))
    paths = [text for name, text in found.request.items() if name.startswith("Volume.1.") and name.endswith(".Path")]
    assert paths == ["token"]
    assert "ca.crt" in found.notices[0].message


def test_the_clusters_search_domains_make_room_for_the_pods_own() -> None:
    own = [f"d{n}.example" for n in range(18)]
    found = draft(pod_of(dnsConfig={"searches": own}))
    searches = [text for name, text in found.request.items() if name.startswith("DnsConfig.Search.")]
    assert sorted(searches) == sorted(["ns.svc.cluster.local", "svc.cluster.local", *own])
    assert "cluster.local" in found.notices[0].message
    with pytest.raises(UnsupportedPod, match="searches"):
        draft(pod_of(dnsConfig={"searches": [f"d{n}.example" for n in range(21)]}))


def test_the_clusters_resolver_options_make_room_for_the_pods_own() -> None:
    found = draft(pod_of(dnsConfig={"options": [{"name": f"o{n}"} for n in range(20)]}))
    options = [text for name, text in found.request.items() if name.startswith("DnsConfig.Option.")]
    assert len(options) == 20
    assert "ndots" not in options
    assert len(found.notices) == 1


NAMES = st.text("abz019-", min_size=1, max_size=63)
SERVICES = st.lists(
    st.builds(
        lambda name, ports: service(name, *({"name": each, "port": n + 1} for n, each in enumerate(ports))),
        NAMES,
        st.lists(NAMES, max_size=40),
    ),
    max_size=60,
)


@given(services=SERVICES, own=st.integers(0, MAX_ENV), volumes=st.integers(0, MAX_VOLUMES), searches=st.integers(0, 20))
def test_no_service_and_no_addition_ever_makes_a_pod_fail(
    services: list[Json], own: int, volumes: int, searches: int
) -> None:
    dns = {"searches": [f"d{n}" for n in range(searches)]}
    pod = pod_of({"env": many(own)}, {}, own_volumes=volumes, token=True, dnsConfig=dns)
    found = draft(pod, services)
    assert len(names_of(found)) <= MAX_ENV
    assert {f"OWN_{n}" for n in range(own)} <= set(names_of(found))
    assert len(found.notices) <= 1
    assert all(len(notice.message) <= 1024 for notice in found.notices)
    assert found.request == draft(pod, services).request
