"""The types of what `show` reads beside pods, which have a table of their own (`translate.pod_fields`). Pure.

Fields that stand in no table here are read by nobody, so that nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vk_provider.errors import Refusal
from vk_provider.translate.field_rules import Each, Entries, Harmless, Object, Rule, Type, Value, not_negative, walk

_TEXT, _FLAG, _QUANTITY = Value(Type.TEXT), Value(Type.FLAG), Value(Type.QUANTITY)
_TEXTS, _TEXT_LIST = Entries(_TEXT), Each(_TEXT)
_COUNT = Value(Type.WHOLE, not_negative)
_QUANTITIES = Entries(_QUANTITY)

METADATA = Object({"name": _TEXT, "generateName": _TEXT, "namespace": _TEXT, "labels": _TEXTS, "annotations": _TEXTS})
CLAIM_SPEC = Object(
    {
        "accessModes": _TEXT_LIST,
        "resources": Object({"requests": _QUANTITIES}),
        "selector": Object({"matchLabels": _TEXTS}),
        "storageClassName": _TEXT,
        "volumeMode": _TEXT,
        "volumeName": _TEXT,
    }
)
CLAIM = Object({"metadata": METADATA, "spec": CLAIM_SPEC})  # as it stands in an ephemeral volume
_CLAIM_TEMPLATE = Object({"metadata": Object({"name": _TEXT}, required=("name",)), "spec": CLAIM_SPEC}, ("metadata",))
_REPLICAS = Object({"replicas": _COUNT})
_JOB = Object({"parallelism": _COUNT, "completions": _COUNT})
# kind → its spec, beside the pod template
AROUND: Mapping[str, Rule] = {
    "CronJob": Object({"jobTemplate": Object({"spec": _JOB})}),
    "Deployment": _REPLICAS,
    "Job": _JOB,
    "ReplicaSet": _REPLICAS,
    "ReplicationController": _REPLICAS,
    "StatefulSet": Object({"replicas": _COUNT, "volumeClaimTemplates": Each(_CLAIM_TEMPLATE)}),
}

_SECRET_REF = Object({"name": _TEXT, "namespace": _TEXT})
_CSI = Object(
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
_FLEX = Object(
    {"driver": _TEXT, "fsType": _TEXT, "options": _TEXTS, "readOnly": _FLAG, "secretRef": _SECRET_REF}, ("driver",)
)
_VOLUME_SPEC = Object(
    {
        "accessModes": _TEXT_LIST,
        "capacity": _QUANTITIES,
        "claimRef": Object({"name": _TEXT, "namespace": _TEXT}),
        "csi": _CSI,
        "flexVolume": _FLEX,
        "mountOptions": _TEXT_LIST,
        "nfs": Object({"path": _TEXT, "readOnly": _FLAG, "server": _TEXT}),
        "storageClassName": _TEXT,
        "volumeMode": _TEXT,
    }
)
_NAMED = Object(METADATA.fields, ("name",))
# kind → what pods read of it
OBJECTS: Mapping[str, Object] = {
    "ConfigMap": Object({"metadata": _NAMED, "data": _TEXTS, "binaryData": _TEXTS}, ("metadata",)),
    "Secret": Object({"metadata": _NAMED, "data": _TEXTS, "stringData": _TEXTS, "type": _TEXT}, ("metadata",)),
    "PersistentVolumeClaim": Object(
        {"metadata": _NAMED, "spec": CLAIM_SPEC, "status": Harmless("")}, ("metadata", "spec")
    ),
    "PersistentVolume": Object({"metadata": _NAMED, "spec": _VOLUME_SPEC}, ("metadata", "spec")),
    "Service": Object(
        {
            "metadata": _NAMED,
            "spec": Object(
                {
                    "type": _TEXT,
                    "clusterIP": _TEXT,
                    "ports": Each(Object({"name": _TEXT, "port": Value(Type.WHOLE), "protocol": _TEXT}, ("port",))),
                }
            ),
        },
        ("metadata",),
    ),
    "StorageClass": Object(
        {"metadata": _NAMED, "provisioner": _TEXT, "parameters": _TEXTS, "mountOptions": _TEXT_LIST},
        ("metadata", "provisioner"),
    ),
}


def malformed(rule: Rule, value: object, path: str) -> Sequence[Refusal]:
    """Every member of the wrong type, with its path."""
    found = walk(rule, value, path)
    return [each.refusal for each in found if each.malformed or each.refusal.reason == "must not be negative"]
