"""What deploy/ ships: every overlay renders, fits together, and gives the provider settings that it takes."""

import shutil
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import schemas
from tests.programs import NO_KUBECTL
from vk_provider import arguments, config

DEPLOY = Path(__file__).parents[1] / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
WITH_PROVIDER = [name for name in OVERLAYS if name != "policy-only"]
VALUES = {"vsw-…": "vsw-bp1xo7kzqf2jhs7pwdkyq", "sg-…": "sg-bp1a2b3c4d5e6f7g8h9i"}
Json = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Json]:
    if shutil.which("kubectl") is None:
        pytest.skip(NO_KUBECTL)
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(overlay: str, kind: str, name: str = "vk-provider") -> Json:
    return next(each for each in rendered(overlay) if (each["kind"], each["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_there_once(overlay: str) -> None:
    seen = Counter(
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in rendered(overlay)
    )
    assert [each for each, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_what_is_asked_in_the_container_has_the_settings_of_what_runs_there(overlay: str) -> None:
    """`kubectl exec deploy/vk-provider -- vk-provider doctor` gives no --config."""
    container = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["VK_CONFIG"] == arguments.read(container["args"]).values["config"]


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_the_deployment_finds_what_it_names(overlay: str) -> None:
    names = {(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)}
    spec = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]
    assert ("ServiceAccount", spec["serviceAccountName"]) in names
    for volume in spec["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in names
    for source in spec["containers"][0].get("envFrom", ()):
        assert ("Secret", source["secretRef"]["name"]) in names
    for each in rendered(overlay):
        if each["kind"].endswith("RoleBinding"):
            assert (each["roleRef"]["kind"], each["roleRef"]["name"]) in names


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_the_settings_are_taken_once_their_placeholders_are_filled(overlay: str) -> None:
    container = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    given = arguments.read(container["args"])
    assert given.faults == []
    text = of_kind(overlay, "ConfigMap")["data"]["vk-provider.toml"]
    for placeholder, value in VALUES.items():
        text = text.replace(placeholder, value)
    settings = config.parse(
        flags=given.settings(), env={"VK_NODE_IP": "192.0.2.1"}, toml=text, toml_name="the ConfigMap"
    )
    assert settings.leader_lease


@pytest.mark.parametrize("overlay", ["ack", "ack-webhook", "self-built", "webhook"])
def test_placeholders_are_refused_each_by_its_name(overlay: str) -> None:
    text = of_kind(overlay, "ConfigMap")["data"]["vk-provider.toml"]
    with pytest.raises(config.ConfigError) as found:
        config.parse(flags={}, env={}, toml=text, toml_name="the ConfigMap")
    faults = " ".join(found.value.faults)
    assert "vswitch" in faults
    assert "security" in faults


def test_either_the_policy_or_the_webhook_sends_pods() -> None:
    for overlay in OVERLAYS:
        kinds = {each["kind"] for each in rendered(overlay)}
        has_webhook = ("Service", "vk-provider-webhook") in {
            (each["kind"], each["metadata"]["name"]) for each in rendered(overlay)
        }
        assert has_webhook != ("MutatingAdmissionPolicy" in kinds)


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_every_container_is_confined(overlay: str) -> None:
    for each in rendered(overlay):
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_the_namespace_is_restricted_unless_the_network_is_the_hosts(overlay: str) -> None:
    pod = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]
    level = of_kind(overlay, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == ("privileged" if pod.get("hostNetwork") else "restricted")
    policies = [each for each in rendered(overlay) if each["kind"] == "NetworkPolicy"]
    assert bool(policies) != bool(pod.get("hostNetwork"))  # it acts on pods' own addresses only


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_probes_ask_the_port_that_needs_no_credentials(overlay: str) -> None:
    (container,) = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    settings = config.parse(flags=arguments.read(container["args"]).settings(), env={}, with_cloud=False)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert settings.health_address == f":{ports['health']}"
    assert settings.kubelet_port == ports["kubelet"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


@pytest.mark.parametrize("overlay", WITH_PROVIDER)
def test_the_limits_know_the_nodes_of_the_settings(overlay: str) -> None:
    """The policy looks for a node's name in the text of the ConfigMap: as it stands there, it is to be found."""
    text = of_kind(overlay, "ConfigMap")["data"]["vk-provider.toml"]
    assert f'name="{tomllib.loads(text)["node_name"]}"' in text.replace(" ", "")


def since(each: Json) -> tuple[int, int]:
    """The first Kubernetes, of those from 1.28 on, that knows an object."""
    if each["kind"].startswith("MutatingAdmissionPolicy"):
        return 1, 36
    if each["kind"].startswith("ValidatingAdmissionPolicy"):
        return 1, 30
    return (1, 29) if each["kind"] == "FlowSchema" else (1, 0)


@pytest.mark.parametrize("version", schemas.versions())
@pytest.mark.parametrize("overlay", [*OVERLAYS, "../hardening"])
def test_every_object_is_as_each_kubernetes_has_it(overlay: str, version: str) -> None:
    """And one that it does not know is one of the few of which the guide says so."""
    major, _, minor = version.partition(".")
    for each in rendered(overlay):
        if each["apiVersion"].endswith("crane.io/v1alpha1"):
            continue  # by definitions of our own: tests/contract/kube/test_preemptible_objects.py
        faults = schemas.faults(each, version)
        if since(each) <= (int(major), int(minor)):
            assert faults == []
        else:
            assert [" is not known to " in fault for fault in faults] == [True]


@pytest.mark.parametrize("overlay", [name for name in WITH_PROVIDER if name.endswith("webhook")])
def test_overlays_for_older_versions_hold_nothing_newer(overlay: str) -> None:
    assert [each["kind"] for each in rendered(overlay) if since(each) > (1, 0)] == []
    assert "policy/v1" not in {each["apiVersion"] for each in rendered(overlay)}  # 1.21


def test_the_schemas_find_what_is_wrong() -> None:
    thing = of_kind("self-built", "Deployment")
    for path, value in (("replicas", "2"), ("replica", 2)):
        wrong = {**thing, "spec": {**thing["spec"], path: value}}
        assert [fault.partition(":")[0].split(" ")[0] for fault in schemas.faults(wrong, "1.28")] == [
            f"Deployment.spec.{path}"
        ]
    assert schemas.faults({**thing, "apiVersion": "apps/v2"}, "1.37") == [
        "apps/v2/Deployment is not known to Kubernetes 1.37"
    ]
    without = {key: value for key, value in thing["spec"].items() if key != "selector"}
    assert schemas.faults({**thing, "spec": without}, "1.37") == ["Deployment.spec.selector is missing"]
