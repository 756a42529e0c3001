"""What becomes of a security context (S35): carried, told to be missing, waited for or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pod_cases import CONTEXT

from vk_provider.errors import PodNotReady, UnsupportedPod
from vk_provider.model.security import Security
from vk_provider.model.workload import Workload
from vk_provider.translate.refusals import refusals
from vk_provider.translate.workload import Objects, build

Json = dict[str, Any]
CONTAINER = "spec.containers[0].securityContext"


def pod_of(pod: Json | None = None, container: Json | None = None, *, init: Json | None = None, **spec: Any) -> Json:
    inits = [{"name": "i", "image": "x", "securityContext": init}] if init is not None else []
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "enableServiceLinks": False,
            "securityContext": pod,
            "initContainers": inits,
            "containers": [{"name": "c", "image": "x", "securityContext": container}],
            **spec,
        },
    }


def built(pod: Json) -> Workload:
    return build(pod, Objects(), CONTEXT)


@pytest.mark.parametrize(
    ("pod", "container", "expected"),
    [
        pytest.param(None, None, Security(), id="nothing said"),
        pytest.param({"runAsUser": 1, "runAsGroup": 2}, None, Security(1, 2), id="the pod's"),
        pytest.param(
            {"runAsUser": 1, "runAsGroup": 2}, {"runAsUser": 0}, Security(0, 2), id="the container's own first"
        ),
        pytest.param({"runAsUser": 0}, None, Security(0), id="root is said, not left out"),
        pytest.param({"runAsNonRoot": True}, None, Security(run_as_non_root=True), id="the cloud checks the image"),
        pytest.param({"runAsNonRoot": True}, {"runAsNonRoot": False, "runAsUser": 0}, Security(0), id="taken back"),
        pytest.param(None, {"readOnlyRootFilesystem": True}, Security(read_only_root=True), id="read-only"),
        pytest.param(
            None,
            {"capabilities": {"add": ["CHOWN", "NET_RAW", "cap_net_admin"]}},
            Security(added_capabilities=("NET_ADMIN", "NET_RAW")),
            id="capabilities beyond the usual",
        ),
    ],
)
def test_carried(pod: Json | None, container: Json | None, expected: Security) -> None:
    assert built(pod_of(pod, container)).containers[0].security == expected


@pytest.mark.parametrize(
    ("pod", "named"),
    [
        pytest.param(pod_of(), "", id="nothing said"),
        pytest.param(pod_of({"seccompProfile": {"type": "RuntimeDefault"}}), "seccompProfile", id="seccomp"),
        pytest.param(pod_of({"seccompProfile": {"type": "Unconfined"}}), "", id="as it is anyway"),
        pytest.param(
            pod_of({"seccompProfile": {"type": "RuntimeDefault"}}, {"seccompProfile": {"type": "Unconfined"}}),
            "",
            id="the container's own first",
        ),
        pytest.param(pod_of(None, {"appArmorProfile": {"type": "RuntimeDefault"}}), "appArmorProfile", id="AppArmor"),
        pytest.param(pod_of({"seLinuxOptions": {"level": "s0:c1,c2"}}), "seLinuxOptions", id="SELinux"),
        pytest.param(
            pod_of(None, {"allowPrivilegeEscalation": False}), "allowPrivilegeEscalation: false", id="escalation"
        ),
        pytest.param(pod_of(None, {"allowPrivilegeEscalation": True}), "", id="escalation allowed"),
        pytest.param(pod_of(None, {"capabilities": {"drop": ["ALL"]}}), "capabilities.drop", id="drop all"),
        pytest.param(pod_of(None, {"capabilities": {"drop": ["NET_RAW", "SYS_TIME"]}}), "", id="drop what none has"),
        pytest.param(
            pod_of(None, {"capabilities": {"add": ["SYS_PTRACE"]}}), "capabilities.add SYS_PTRACE", id="kubectl debug"
        ),
        pytest.param(
            pod_of(None, {"capabilities": {"add": ["CAP_IPC_LOCK", "sys_nice", "NET_ADMIN"]}}),
            "capabilities.add IPC_LOCK, capabilities.add SYS_NICE",
            id="better service",
        ),
        pytest.param(
            pod_of(None, {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}}),
            "capabilities.add SYS_PTRACE, capabilities.drop",
            id="added and dropped",
        ),
        pytest.param(pod_of({"fsGroup": 0, "supplementalGroups": [5]}), "fsGroup, supplementalGroups", id="groups"),
        pytest.param(pod_of(hostUsers=False), "hostUsers", id="user namespace"),
        pytest.param(pod_of({"runAsGroup": 5}), "", id="group of a container"),
        pytest.param(pod_of({"runAsGroup": 5}, init={}), "runAsGroup of init containers", id="group of an init one"),
        pytest.param(pod_of({"runAsNonRoot": True}, init={}), "runAsNonRoot of init containers", id="unchecked image"),
        pytest.param(pod_of({"runAsNonRoot": True, "runAsUser": 5}, init={}), "", id="a user is no root"),
        pytest.param(pod_of({"windowsOptions": {"hostProcess": True}}), "", id="of Windows only"),
        pytest.param(
            pod_of(
                None,
                {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False},
                init={"capabilities": {"drop": ["all"]}},
            ),
            "allowPrivilegeEscalation: false, capabilities.drop",
            id="each once",
        ),
    ],
)
def test_hardening_that_is_missing_is_told_once(pod: Json, named: str) -> None:
    assert refusals(pod) == ()
    told = [notice for notice in built(pod).notices if notice.reason == "SecurityNotApplied"]
    assert [notice.container for notice in told] == ([""] if named else [])
    if named:
        assert told[0].message.startswith(f"not applied on this node: {named}. ")


def test_the_old_annotation_of_apparmor() -> None:
    pod = pod_of()
    pod["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"}
    assert "appArmorProfile" in built(pod).notices[-1].message


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (pod_of(None, {"privileged": True}), f"{CONTAINER}.privileged"),
        (pod_of(None, {"procMount": "Unmasked"}), f"{CONTAINER}.procMount"),
        (pod_of(None, {"capabilities": {"add": ["SYS_ADMIN"]}}), f"{CONTAINER}.capabilities.add[0]"),
        (pod_of(None, {"capabilities": {"add": ["NET_ADMIN", "ALL"]}}), f"{CONTAINER}.capabilities.add[1]"),
        (pod_of(None, {"capabilities": {"add": ["SYS_PTRACE", "SYS_MODULE"]}}), f"{CONTAINER}.capabilities.add[1]"),
        (pod_of(None, {"seccompProfile": {"type": "Localhost"}}), f"{CONTAINER}.seccompProfile.type"),
        (pod_of(None, {"appArmorProfile": {"type": "Localhost"}}), f"{CONTAINER}.appArmorProfile.type"),
        (pod_of(None, {"runAsUser": -1}), f"{CONTAINER}.runAsUser"),
        (pod_of({"supplementalGroupsPolicy": "Strict"}), "spec.securityContext.supplementalGroupsPolicy"),
        (pod_of({"sysctls": [{"value": "1"}]}), "spec.securityContext.sysctls[0].name"),
        (pod_of({"ofTomorrow": {"x": 1}}), "spec.securityContext.ofTomorrow"),
        (pod_of(hostNetwork=True), "spec.hostNetwork"),
        (pod_of(hostPID=True), "spec.hostPID"),
        (pod_of(hostIPC=True), "spec.hostIPC"),
    ],
)
def test_what_cannot_be_had_is_refused(pod: Json, field: str) -> None:
    assert [refusal.field for refusal in refusals(pod)] == [field]


def test_root_that_must_not_be_root_waits_as_on_a_kubelet() -> None:
    with pytest.raises(PodNotReady) as raised:
        built(pod_of({"runAsNonRoot": True}, {"runAsUser": 0}))
    error = raised.value
    assert str(error) == 'container\'s runAsUser breaks non-root policy (pod: "p_ns(u)", container: c)'
    assert (error.event_reason, error.waiting_reason, error.container) == ("Failed", "CreateContainerConfigError", "c")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.core.somaxconn", "net.core.somaxconn"),
        ("net/core/somaxconn", "net.core.somaxconn"),
        ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net.ipv4.conf.eth0/1.forwarding"),
    ],
)
def test_kernel_settings(name: str, expected: str) -> None:
    assert built(pod_of({"sysctls": [{"name": name, "value": "1"}]})).sysctls == ((expected, "1"),)


@pytest.mark.parametrize(
    ("name", "allowed", "carried"),
    [
        pytest.param("net.core.somaxconn", ["*"], True, id="all that the cloud can set, as it ships"),
        pytest.param("net.core.somaxconn", [], False, id="none, as a kubelet's own default"),
        pytest.param("net/core/somaxconn", [], False, id="spelt otherwise"),
        pytest.param("net.core.somaxconn", ["kernel.msg*", "net.core.*"], True, id="by the beginning of its name"),
        pytest.param("net.core.somaxconn", ["net.core"], False, id="a beginning has an asterisk"),
        pytest.param("net.core.somaxconn", ["net.core.somaxconn"], True, id="by its name"),
        pytest.param("net.core.somaxconn", ["net/core/*"], True, id="the setting spelt otherwise"),
        pytest.param("net.ipv4.ping_group_range", [], True, id="Kubernetes calls it safe"),
        pytest.param("net.ipv4.tcp_keepalive_time", [], True, id="likewise, though the cloud sets it for the machine"),
    ],
)
def test_unsafe_kernel_settings_are_the_operators_to_allow(name: str, allowed: list[str], carried: bool) -> None:
    pod = pod_of({"sysctls": [{"name": name, "value": "1"}]})
    context = replace(CONTEXT, allowed_unsafe_sysctls=tuple(allowed))
    if carried:
        assert build(pod, Objects(), context).sysctls
        return
    with pytest.raises(UnsupportedPod) as raised:
        build(pod, Objects(), context)
    (refusal,) = raised.value.refusals
    assert refusal.field == "spec.securityContext.sysctls[0].name"
    assert raised.value.reason == "SysctlForbidden"
    assert 'forbidden sysctl: "net.core.somaxconn" not allowlisted' in refusal.reason
    assert "--allowed-unsafe-sysctls" in refusal.reason
