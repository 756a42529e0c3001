"""Security settings of a pod and its containers, resolved as a kubelet does (S35), and what of them is not applied.

`security_fields` has let pass what can be carried or only hardens; here the first becomes a `Security` and the second a
notice. Files: an instance knows no group that owns a volume, so what `fsGroup` would let the group read is readable to
all of the pod's own users; an emptyDir is writable to all of them, as on every node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.model.pod import Json, containers_of, init_containers_of
from vk_provider.model.security import Security
from vk_provider.model.workload import Notice, Volume
from vk_provider.translate.security_fields import (
    ADDABLE_CAPABILITIES,
    GIVEN_CAPABILITIES,
    OPTIONAL_CAPABILITIES,
    capability,
)

NOT_APPLIED = "SecurityNotApplied"
_ALL_MAY_READ = 0o444
_UNCONFINED = ("", "Unconfined")
# Of Kubernetes 1.37; a cloud may know fewer as safe, and set the others for its machine as a whole.
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"  # until Kubernetes 1.30


def of_container(pod: Json, container: Json) -> Security:
    """The container's own settings, the pod's where it has none.

    Raises PodNotReady when it must not run as root and is told to, which a kubelet too would ask again and again.
    """
    own, capabilities = _own(container), _own(container).get("capabilities") or {}
    user, non_root = _effective(pod, container, "runAsUser"), bool(_effective(pod, container, "runAsNonRoot"))
    if non_root and user == 0:
        meta = pod["metadata"]
        who = f'pod: "{meta["name"]}_{meta.get("namespace") or "default"}({meta.get("uid") or ""})"'
        raise PodNotReady(
            f"container's runAsUser breaks non-root policy ({who}, container: {container['name']})",
            event_reason="Failed",
            waiting_reason="CreateContainerConfigError",
            container=container["name"],
        )
    added = {capability(name) for name in capabilities.get("add") or ()}
    return Security(
        run_as_user=user,
        run_as_group=_effective(pod, container, "runAsGroup"),
        run_as_non_root=non_root,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        added_capabilities=tuple(sorted(added & ADDABLE_CAPABILITIES)),
    )


def sysctls(pod: Json, allowed_unsafe: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Name (with dots, however it was spelt) and value, in the pod's order.

    allowed_unsafe: as in `NodeContext`. Raises UnsupportedPod with those that are neither safe nor allowed.
    """
    found = [(_dotted(item["name"]), str(item.get("value") or "")) for item in _pod_settings(pod).get("sysctls") or ()]
    patterns = [_dotted(pattern) for pattern in allowed_unsafe]
    if forbidden := [
        Refusal(
            f"spec.securityContext.sysctls[{index}].name",
            f'forbidden sysctl: "{name}" not allowlisted; leave it out, or let the operator add it to'
            " --allowed-unsafe-sysctls",
        )
        for index, (name, _) in enumerate(found)
        if name not in _SAFE_SYSCTLS and not any(_fits(name, pattern) for pattern in patterns)
    ]:
        raise UnsupportedPod(forbidden)
    return tuple(found)


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def readable(volume: Volume, pod: Json) -> Volume:
    """The volume with its files readable to all users of the pod, if the pod has an fsGroup that would read them."""
    if volume.files is None or _pod_settings(pod).get("fsGroup") is None:
        return volume
    return replace(volume, files=tuple(replace(file, mode=file.mode | _ALL_MAY_READ) for file in volume.files))


def notices(pod: Json) -> Sequence[Notice]:
    """One warning that names everything that is not applied inside the instance, or none."""
    fields = tuple(dict.fromkeys(_not_applied(pod)))
    if not fields:
        return ()
    message = (
        f"not applied on this node: {', '.join(fields)}. The pod runs without, alone in a virtual machine of its own"
    )
    if "fsGroup" in fields:
        message += (
            "; files of ConfigMaps, Secrets and tokens are readable to all its users instead,"
            " files of other volumes keep their owners"
        )
    return (Notice(NOT_APPLIED, message),)


def _not_applied(pod: Json) -> Iterator[str]:
    settings = _pod_settings(pod)
    yield from (name for name in ("fsGroup", "supplementalGroups") if settings.get(name) not in (None, []))
    if pod["spec"].get("hostUsers") is False:
        yield "hostUsers"
    keys = pod["metadata"].get("annotations") or {}
    if any(key.startswith(_APPARMOR_ANNOTATION) and text == "runtime/default" for key, text in keys.items()):
        yield "appArmorProfile"
    for container in containers_of(pod):
        yield from _hardening(pod, container)
    for container in init_containers_of(pod):
        yield from _hardening(pod, container)
        yield from _init_only(pod, container)


def _hardening(pod: Json, container: Json) -> Iterator[str]:
    for field in ("seccompProfile", "appArmorProfile"):
        if (_effective(pod, container, field) or {}).get("type", "") not in _UNCONFINED:
            yield field
    if any((_effective(pod, container, "seLinuxOptions") or {}).values()):
        yield "seLinuxOptions"
    own = _own(container)
    if own.get("allowPrivilegeEscalation") is False:
        yield "allowPrivilegeEscalation: false"
    for name in (own.get("capabilities") or {}).get("add") or ():
        if capability(name) in OPTIONAL_CAPABILITIES:
            yield f"capabilities.add {capability(name)}"
    dropped = {capability(name) for name in (own.get("capabilities") or {}).get("drop") or ()}
    if dropped & {"ALL", *GIVEN_CAPABILITIES}:
        yield "capabilities.drop"


def _init_only(pod: Json, container: Json) -> Iterator[str]:
    """The cloud's init containers have no parameter for these."""
    if _effective(pod, container, "runAsGroup"):
        yield "runAsGroup of init containers"
    if _effective(pod, container, "runAsNonRoot") and _effective(pod, container, "runAsUser") is None:
        yield "runAsNonRoot of init containers"


def _pod_settings(pod: Json) -> Mapping[str, Any]:
    return pod["spec"].get("securityContext") or {}


def _own(container: Json) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _effective(pod: Json, container: Json, field: str) -> Any:
    own = _own(container).get(field)
    return _pod_settings(pod).get(field) if own is None else own


def _dotted(name: str) -> str:
    """`net/ipv4/conf/eth0.1/forwarding` is another spelling, in which a dot belongs to the name of an interface."""
    slash, dot = name.find("/"), name.find(".")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.translate(str.maketrans("./", "/."))
