"""Named reads of a pod as the API server sends it (a plain dict), so that its spelling stands in one place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vk_provider.model.vocabulary import Vocabulary

Json = dict[str, Any]

INSTANCE_ID_ANNOTATION = "virtual-kubelet.io/instance-id"  # our memory; a cloud may have one of its own for people
CREATE_ATTEMPT_ANNOTATION = "virtual-kubelet.io/create-attempt"
# What the files in its instance were made of: our memory of it across restarts, and nobody else's business.
LIVE_CONTENT_ANNOTATION = "virtual-kubelet.io/live-content"
LIVE_SWITCH_ANNOTATION = "virtual-kubelet.io/live-configuration"  # "false": leave this pod's files as they are
SIDECAR_ORDER_ANNOTATION = "virtual-kubelet.io/sidecar-order"  # "relaxed": sidecars may start after init containers
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
OWN_NOTES = frozenset({INSTANCE_ID_ANNOTATION, CREATE_ATTEMPT_ANNOTATION})  # written by the node on any cloud
TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, order=True)
class PodKey:
    """One life of one pod. The uid alone tells lives apart; namespace and name are there to be read by people."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(pod: Mapping[str, Any]) -> PodKey:
    meta = pod["metadata"]
    return PodKey(meta["namespace"], meta["name"], meta["uid"])


def uid_of(pod: Mapping[str, Any]) -> str:
    uid: str = pod["metadata"]["uid"]
    return uid


def phase_of(pod: Mapping[str, Any]) -> str:
    return str(pod.get("status", {}).get("phase") or "Pending")


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in TERMINAL_PHASES


def is_deleting(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_mirror(pod: Mapping[str, Any]) -> bool:
    return MIRROR_ANNOTATION in pod["metadata"].get("annotations", {})


def controller_of(pod: Mapping[str, Any]) -> Json | None:
    """The owner reference that controls the pod, if there is one."""
    owners: Sequence[Json] = pod["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def family_of(pod: Mapping[str, Any]) -> str:
    """Those of one are much alike: the controller's uid, or the namespace where nobody controls it."""
    owner = controller_of(pod)
    return str(owner.get("uid") if owner is not None else pod["metadata"].get("namespace"))


def is_daemon(pod: Mapping[str, Any]) -> bool:
    owner = controller_of(pod)
    return owner is not None and owner.get("kind") == "DaemonSet"


def instance_id_of(pod: Mapping[str, Any]) -> str:
    """The instance that was once made for this pod, as we noted on it; empty = none was, or what stands there is no id.

    A hint where to look and never a proof: whoever may edit the pod may write here.
    """
    text = str((pod["metadata"].get("annotations") or {}).get(INSTANCE_ID_ANNOTATION, ""))
    return text if _ID.fullmatch(text) else ""


def live_content_of(pod: Mapping[str, Any]) -> str:
    """What we noted of the files in its instance; empty = nothing."""
    return str((pod["metadata"].get("annotations") or {}).get(LIVE_CONTENT_ANNOTATION, ""))


def wants_live(pod: Mapping[str, Any]) -> bool:
    return (pod["metadata"].get("annotations") or {}).get(LIVE_SWITCH_ANNOTATION) != "false"


def containers_of(pod: Mapping[str, Any]) -> Sequence[Json]:
    containers: Sequence[Json] = pod["spec"].get("containers") or ()
    return containers


def init_containers_of(pod: Mapping[str, Any]) -> Sequence[Json]:
    containers: Sequence[Json] = pod["spec"].get("initContainers") or ()
    return containers


def is_sidecar(container: Json) -> bool:
    """Of an init container: it keeps running beside the others."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Mapping[str, Any]) -> str:
    """By which the pod's instance, that has one for all its containers, begins them again: the one that all of them
    state for themselves, else the pod's; the pod's, too, where it treats init containers otherwise."""
    pods = str(pod["spec"].get("restartPolicy") or "Always")
    own = {str(container.get("restartPolicy") or pods) for container in containers_of(pod)}
    if len(own) != 1 or own == {pods}:
        return pods
    (policy,) = own
    fits_inits = (policy == "Never") == (pods == "Never") or all(map(is_sidecar, init_containers_of(pod)))
    return policy if fits_inits else pods


def has_relaxed_order(pod: Mapping[str, Any]) -> bool:
    return (pod["metadata"].get("annotations") or {}).get(SIDECAR_ORDER_ANNOTATION) == "relaxed"


def late_sidecars(pod: Mapping[str, Any]) -> Sequence[tuple[int, Json]]:
    """The sidecars in front of an init container, each with its index: a kubelet would have them run beside it."""
    inits = init_containers_of(pod)
    last = max((index for index, each in enumerate(inits) if not is_sidecar(each)), default=-1)
    return [(index, each) for index, each in enumerate(inits[: last + 1]) if is_sidecar(each)]


def is_marked_sidecar(container: Json, words: Vocabulary) -> bool:
    """Of an app container: its environment says, in the cloud's own words, that it ends with the others."""
    name, value = words.sidecar_mark
    return bool(name) and any(
        each.get("name") == name and each.get("value") == value for each in container.get("env") or ()
    )


def named_port(container: Json, port: int | str) -> int | None:
    """The number of a port that is given by number or by the name of one of the container's; None = there is none."""
    if isinstance(port, int):
        return port if 1 <= port <= 65535 else None
    for each in container.get("ports") or ():
        if each.get("name") == port:
            return int(each["containerPort"])
    return named_port(container, int(port)) if port.isascii() and port.isdecimal() else None


def containers_with_paths(pod: Json) -> Iterator[tuple[str, Json]]:
    """Every container with its path, in the order in which they start."""
    for index, container in enumerate(init_containers_of(pod)):
        yield f"spec.initContainers[{index}]", container
    for index, container in enumerate(containers_of(pod)):
        yield f"spec.containers[{index}]", container
