"""What a pod's machine is called, and which names its /etc/hosts knows (S33, S34).

One line of a kubelet's /etc/hosts is missing: the pod's address with its full name, for a pod with a subdomain. The
cloud writes the address with the hostname alone, takes further lines only with the request that creates the instance,
and the address is not known before. To give the full name to 127.0.0.1 instead would be worse
than nothing: what binds to its own full name, as many members of a StatefulSet do, would be reached by nobody. The
cluster's resolver knows the name as soon as the headless Service does, and a notice on the pod says so. Only with an
address of the pod's own choice (`AnnotationTable.own_address`) is the line known before, and then written.
"""

from __future__ import annotations

from collections.abc import Sequence

from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json
from vk_provider.model.workload import HostAlias, Notice

MAX_LABEL = 63
MAX_HOSTNAME = 64  # bytes that a kernel takes


def hostname(pod: Json, namespace: str, domain: str) -> str:
    """The name for the kernel. domain: the cluster's.

    Without setHostnameAsFQDN a subdomain is the cluster's resolver's matter alone.
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


def full_name(pod: Json, namespace: str, domain: str) -> str:
    """What a kubelet's /etc/hosts calls the pod's address beside its short name; empty without a subdomain."""
    spec = pod["spec"]
    if not spec.get("subdomain") or spec.get("hostnameOverride"):
        return ""
    short = str(spec.get("hostname") or pod["metadata"]["name"])[:MAX_LABEL].rstrip("-.")
    return f"{short}.{spec['subdomain']}.{namespace}.svc.{domain}"


def notices(pod: Json, namespace: str, domain: str, own_address: str = "") -> Sequence[Notice]:
    """own_address: the annotation by which a pod names its address; empty = there is none."""
    full = full_name(pod, namespace, domain)
    if not full or pod["spec"].get("setHostnameAsFQDN") or _own_address(pod, own_address):
        return ()
    message = (
        f"/etc/hosts of the instance does not have {full}: the cloud writes the short name alone, and the address is"
        f" not known before. The cluster's resolver knows it by the headless Service {pod['spec']['subdomain']}"
    )
    return (Notice("FullNameNotInHosts", message),)


def own_alias(pod: Json, namespace: str, domain: str, own_address: str = "") -> Sequence[HostAlias]:
    """The line with the pod's full name, where its address is known before."""
    full, address = full_name(pod, namespace, domain), _own_address(pod, own_address)
    return (HostAlias(address, (full, full.partition(".")[0]), added=True),) if full and address else ()


def _own_address(pod: Json, annotation: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(annotation) or "").strip()


def host_aliases(pod: Json) -> Sequence[HostAlias]:
    return tuple(
        HostAlias(item["ip"], tuple(item["hostnames"]))
        for item in pod["spec"].get("hostAliases") or ()
        if item.get("hostnames")  # an address without a name is no line of /etc/hosts
    )
