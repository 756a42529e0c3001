"""Which volume a claim may have. Pure.

Source: kubernetes pkg/controller/volume/persistentvolume and component-helpers/storage/volume, v1.32.
"""

from collections.abc import Iterable

from fakes.kube.quantity import parse
from fakes.kube.reads import Json, class_of, is_deleting, labels_of, selects, uid_of

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")


def phase_of(obj: Json) -> str:
    return str((obj.get("status") or {}).get("phase") or "")


def is_promised(volume: Json, claim: Json) -> bool:
    """Whether the volume names this claim; one that it names without uid is so by name alone."""
    reference = volume["spec"].get("claimRef") or {}
    names = (reference.get("namespace"), reference.get("name"))
    same = names == (claim["metadata"]["namespace"], claim["metadata"]["name"])
    return same and reference.get("uid") in (None, "", uid_of(claim))


def objection(volume: Json, claim: Json) -> str:
    """Why a volume that the claim asks for by name cannot be its; "" when it can."""
    if _capacity(volume) < _request(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if not _same_mode(volume, claim):
        return "incompatible volumeMode"
    return "" if _modes_fit(volume, claim) else "incompatible accessMode"


def best_match(claim: Json, volumes: Iterable[Json]) -> Json | None:
    """The volume promised to the claim, else the smallest free one that fits it."""
    fitting = []
    for volume in volumes:
        if is_deleting(volume) or not _same_mode(volume, claim) or not _modes_fit(volume, claim):
            continue
        if _capacity(volume) < _request(claim):
            continue
        if is_promised(volume, claim):
            return volume
        selector = claim["spec"].get("selector")
        if (
            not volume["spec"].get("claimRef")
            and phase_of(volume) == "Available"
            and class_of(volume) == class_of(claim)
            and (selector is None or selects(selector, labels_of(volume)))
        ):
            fitting.append(volume)
    return min(fitting, key=lambda volume: (_capacity(volume), volume["metadata"]["name"]), default=None)


def _same_mode(volume: Json, claim: Json) -> bool:
    return (volume["spec"].get("volumeMode") or "Filesystem") == (claim["spec"].get("volumeMode") or "Filesystem")


def _modes_fit(volume: Json, claim: Json) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def _capacity(volume: Json) -> float:
    return float(parse((volume["spec"].get("capacity") or {}).get("storage", "0")))


def _request(claim: Json) -> float:
    return float(parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")))
