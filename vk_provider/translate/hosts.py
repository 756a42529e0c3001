"""What a pod's machine is called, and which names its /etc/hosts knows (S33, S34)."""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import HostAlias

MAX_LABEL = 63
MAX_HOSTNAME = 64  # bytes that a kernel takes


def hostname(pod: Json, namespace: str, domain: str) -> str:
    """The name for the kernel. domain: the cluster's.

    Without setHostnameAsFQDN a subdomain is the cluster's resolver's matter alone: /etc/hosts is written by the cloud,
    which knows no second name for the pod's address.
    Raises PodNotReady for a full name that no kernel takes, at which a kubelet never stops trying either.
    """
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    short = str(spec.get("hostname") or pod["metadata"]["name"])[:MAX_LABEL].rstrip("-.")
    if not (spec.get("setHostnameAsFQDN") and spec.get("subdomain")):
        return short
    full = f"{short}.{spec['subdomain']}.{namespace}.svc.{domain}"
    if len(full) > MAX_HOSTNAME:
        raise PodNotReady(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long ({MAX_HOSTNAME}"
            f" characters is the max, {len(full)} characters requested)",
            event_reason="FailedCreatePodSandBox",
            waiting_reason="ContainerCreating",
        )
    return full


def host_aliases(pod: Json) -> Sequence[HostAlias]:
    return tuple(
        HostAlias(item["ip"], tuple(item["hostnames"]))
        for item in pod["spec"].get("hostAliases") or ()
        if item.get("hostnames")  # an address without a name is no line of /etc/hosts
    )
