"""The types of what `show` reads beside pods, which have a table of their own (`translate.pod_fields`). Pure.

Fields that stand in no table here are read by nobody, so that nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.errors import Refusal
from vk_provider.translate.field_rules import Ignored, ListOf, MapOf, ObjectOf, Rule, Scalar, Type, not_negative, walk

_TEXT, _FLAG, _QUANTITY = Scalar(Type.TEXT), Scalar(Type.FLAG), Scalar(Type.QUANTITY)
_TEXTS, _TEXT_LIST = MapOf(_TEXT), ListOf(_TEXT)
_COUNT = Scalar(Type.WHOLE, not_negative)
_QUANTITIES = MapOf(_QUANTITY)

METADATA = ObjectOf({"name": _TEXT, "generateName": _TEXT, "namespace": _TEXT, "labels": _TEXTS, "annotations": _TEXTS})
CLAIM_SPEC = ObjectOf(
    {
        "accessModes": _TEXT_LIST,
        "resources": ObjectOf({"requests": _QUANTITIES}),
        "selector": ObjectOf({"matchLabels": _TEXTS}),
        "storageClassName": _TEXT,
        "volumeMode": _TEXT,
        "volumeName": _TEXT,
    }
)
CLAIM = ObjectOf({"metadata": METADATA, "spec": CLAIM_SPEC})  # as it stands in an ephemeral volume
_CLAIM_TEMPLATE = ObjectOf(
    {"metadata": ObjectOf({"name": _TEXT}, required=("name",)), "spec": CLAIM_SPEC}, ("metadata",)
)
_REPLICAS = ObjectOf({"replicas": _COUNT})
_JOB = ObjectOf({"parallelism": _COUNT, "completions": _COUNT})
# kind → its spec, beside the pod template
AROUND: Mapping[str, Rule] = {
    "CronJob": ObjectOf({"jobTemplate": ObjectOf({"spec": _JOB})}),
    "Deployment": _REPLICAS,
    "Job": _JOB,
    "ReplicaSet": _REPLICAS,
    "ReplicationController": _REPLICAS,
    "StatefulSet": ObjectOf({"replicas": _COUNT, "volumeClaimTemplates": ListOf(_CLAIM_TEMPLATE)}),
}

_SECRET_REF = ObjectOf({"name": _TEXT, "namespace": _TEXT})
_CSI = ObjectOf(
    {
        "driver": _TEXT,
        "fsType": _TEXT,
        "nodePublishSecretRef": _SECRET_REF,
        "readOnly": _FLAG,
        "volumeAttributes": _TEXTS,
        "volumeHandle": _TEXT,
    },
    ("driver",),
)
_FLEX = ObjectOf(
    {"driver": _TEXT, "fsType": _TEXT, "options": _TEXTS, "readOnly": _FLAG, "secretRef": _SECRET_REF}, ("driver",)
)
_VOLUME_SPEC = ObjectOf(
    {
        "accessModes": _TEXT_LIST,
        "capacity": _QUANTITIES,
        "claimRef": ObjectOf({"name": _TEXT, "namespace": _TEXT}),
        "csi": _CSI,
        "flexVolume": _FLEX,
        "mountOptions": _TEXT_LIST,
        "nfs": ObjectOf({"path": _TEXT, "readOnly": _FLAG, "server": _TEXT}),
        "storageClassName": _TEXT,
        "volumeMode": _TEXT,
    }
)
_NAMED = ObjectOf(METADATA.fields, ("name",))
# kind → what pods read of it
OBJECTS: Mapping[str, ObjectOf] = {
    "ConfigMap": ObjectOf({"metadata": _NAMED, "data": _TEXTS, "binaryData": _TEXTS}, ("metadata",)),
    "Secret": ObjectOf({"metadata": _NAMED, "data": _TEXTS, "stringData": _TEXTS, "type": _TEXT}, ("metadata",)),
    "PersistentVolumeClaim": ObjectOf(
        {"metadata": _NAMED, "spec": CLAIM_SPEC, "status": Ignored("")}, ("metadata", "spec")
    ),
    "PersistentVolume": ObjectOf({"metadata": _NAMED, "spec": _VOLUME_SPEC}, ("metadata", "spec")),
    "Service": ObjectOf(
        {
            "metadata": _NAMED,
            "spec": ObjectOf(
                {
                    "type": _TEXT,
                    "clusterIP": _TEXT,
                    "ports": ListOf(
                        ObjectOf({"name": _TEXT, "port": Scalar(Type.WHOLE), "protocol": _TEXT}, ("port",))
                    ),
                }
            ),
        },
        ("metadata",),
    ),
    "StorageClass": ObjectOf(
        {"metadata": _NAMED, "provisioner": _TEXT, "parameters": _TEXTS, "mountOptions": _TEXT_LIST},
        ("metadata", "provisioner"),
    ),
}


def malformed(rule: Rule, value: object, path: str) -> Sequence[Refusal]:
    """Every member of the wrong type, with its path."""
    found = walk(rule, value, path)
    return [each.refusal for each in found if each.malformed or each.refusal.reason == "must not be negative"]
