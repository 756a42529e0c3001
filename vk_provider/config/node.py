"""Settings of a virtual node; sections [[nodes]] of the file repeat some of them (`node_sections.OF_NODE`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vk_provider.settings import (
    EFFECTS,
    address,
    dns_name,
    flag,
    integer,
    labels,
    object_name,
    one_of,
    quantity_value,
    setting,
    taints,
    text_value,
)


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What the Node object says, and which replica serves it."""

    node_name: str = setting(
        "virtual-kubelet",
        dns_name,
        "name of the virtual node; must stay the same over restarts",
        section="The node",
    )
    node_ip: str = setting(
        "",
        address,
        "address at which the API server reaches our kubelet API; empty = the one this host uses toward it",
        env=("VKUBELET_POD_IP",),
    )
    node_labels: Mapping[str, str] = setting({}, labels, "further node labels, key=value,key=value")
    taint_key: str = setting(
        "virtual-kubelet.io/provider",
        text_value,
        "key of the node's taint; empty = no taint",
        env=("VKUBELET_TAINT_KEY",),
    )
    taint_value: str = setting("alibabacloud", text_value, "value of the node's taint", env=("VKUBELET_TAINT_VALUE",))
    taint_effect: str = setting(
        "NoSchedule",
        one_of(*EFFECTS),
        "effect of the node's taint",
        env=("VKUBELET_TAINT_EFFECT",),
    )
    node_taints: tuple[Mapping[str, str], ...] = setting(
        (), taints, "further taints of the node, as key=value:NoSchedule,key:NoExecute"
    )
    quota_cpu: str = setting(
        "5000",
        quantity_value,
        "CPU that the node offers: your account's quota",
        env=("ECI_QUOTA_CPU",),
    )
    quota_memory: str = setting("20Ti", quantity_value, "memory that the node offers", env=("ECI_QUOTA_MEMORY",))
    quota_pods: int = setting(5000, integer(1, 100_000), "pods that the node offers", env=("ECI_QUOTA_POD",))
    quota_gpus: int = setting(0, integer(0, 100_000), "nvidia.com/gpu that the node offers; 0 = none")
    adopt_node: bool = setting(
        False, flag, "take over an existing Node of our name that we did not make; never true for a real machine"
    )
    leader_lease: str = setting(
        "",
        object_name,
        "Lease, namespace/name, that decides which of several replicas serves the node. Each section [[nodes]] has its "
        "own, named name-NODE, and replicas that live share the nodes evenly. Empty = there is one replica only",
        short="Lease by which one of several replicas serves the node",
    )
    leader_identity: str = setting(
        "",
        text_value,
        "what this replica is called in the Lease; no two that live at one time may share it. One that restarts under "
        "the same name, as a container of a pod does with the pod's uid, serves again at once; empty = made up anew",
        short="this replica's name in it; empty = made up",
        metavar="NAME",
    )
    daemon_set_pods: str = setting(
        "pending",
        one_of("pending", "fail"),
        "DaemonSet pods that land here: stay pending with an event (quiet), or fail (their controller makes new ones)",
        short="what becomes of DaemonSet pods that land here",
    )
