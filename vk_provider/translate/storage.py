"""Storage that a volume names in Kubernetes' words: which source it is, and the Secret that it logs in with.

What a cloud makes of it is its driver's business (`capabilities.Storage`).
"""

from __future__ import annotations

from vk_provider.model.pod import Json
from vk_provider.translate.objects import ObjectKey

SOURCES = ("csi", "nfs", "flexVolume")  # that a cloud may mount; a volume has one of them at most


def secret_of_volume(found: Json) -> ObjectKey | None:
    """The Secret that a persistent volume's driver logs in with."""
    spec = found["spec"]
    for source, field in (("csi", "nodePublishSecretRef"), ("flexVolume", "secretRef")):
        reference = (spec.get(source) or {}).get(field)
        if reference and reference.get("name"):
            return _namespace(found, reference), str(reference["name"])
    return None


def secret_of_inline(volume: Json, namespace: str) -> ObjectKey | None:
    """As `secret_of_volume`, for a volume that the pod itself describes."""
    for source, field in (("csi", "nodePublishSecretRef"), ("flexVolume", "secretRef")):
        reference = (volume.get(source) or {}).get(field)
        if reference:
            return namespace, str(reference["name"])
    return None


def is_inline(volume: Json) -> bool:
    return any(volume.get(source) is not None for source in SOURCES)


def _namespace(found: Json, reference: Json) -> str:
    """A flexVolume's may be left out: then it is the claim's."""
    return str(reference.get("namespace") or (found["spec"].get("claimRef") or {}).get("namespace") or "default")
