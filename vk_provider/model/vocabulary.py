"""How a cloud names what stands in a pod's spec, status and annotations, and which probes it asks; from its driver."""

from __future__ import annotations

from dataclasses import dataclass

from vk_provider.model.probe import USUAL, ProbeSupport


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """id_scheme: of container ids, as `containerd` in `containerd://…`.

    sidecar_mark: name and value of the environment variable by which an app container says that it ends with the
    others and does not decide how the pod ends; empty = there is none.

    Annotations, empty = not written: instance_id and instance_size show people which instance is a pod's and what is
    billed, price what it costs an hour. requestable: those that the cloud fills in and by which a pod's owner may ask,
    too: what was asked for stays on the pod. noted: all that is written by the node, so that its coming is no change of
    the pod.
    """

    id_scheme: str = "instance"
    sidecar_mark: tuple[str, str] = ("", "")
    instance_id: str = ""
    instance_size: str = ""
    price: str = "virtual-kubelet.io/price"
    requestable: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset({"virtual-kubelet.io/price"})
    probes: ProbeSupport = USUAL


NEUTRAL = Vocabulary()
