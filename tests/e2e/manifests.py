"""What the tests ask the cluster for. Pods find the virtual node by their own words: nothing injects them here."""

from typing import Any

Json = dict[str, Any]

TOLERATION = {"key": "virtual-kubelet.io/provider", "operator": "Exists"}
FOR_EVER = "while :; do sleep 0.2; done"  # ends at once when it is told to, as a shell waits for its child first


def pod_spec(script: str = "true", *, node: str = "", image: str = "busybox", **fields: Any) -> Json:
    """One container `main` that runs a shell script on the virtual node. fields: further ones of the spec.

    node: that one; empty: any virtual node. Fields of the container itself are given as `container`.
    """
    container = {"name": "main", "image": image, "command": ["sh", "-c", script], **fields.pop("container", {})}
    selector = {"type": "virtual-kubelet", **({"kubernetes.io/hostname": node} if node else {})}
    return {
        "containers": [container],
        "nodeSelector": selector,
        "tolerations": [TOLERATION],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        **fields,
    }


def pod(name: str, script: str = "true", *, labels: Json | None = None, **fields: Any) -> Json:
    metadata = {"name": name, "labels": labels or {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(script, **fields)}


def claimed(name: str, *, namespace: str, disk: str) -> tuple[Json, Json]:
    """A claim, and the volume of a cloud disk that it will be bound to; the volume's name is the disk's."""
    size, modes = {"storage": "20Gi"}, ["ReadWriteOnce"]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": disk},
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": disk},
        "spec": {
            "accessModes": modes,
            "capacity": size,
            "claimRef": {"namespace": namespace, "name": name},
            "csi": {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": disk, "fsType": "ext4"},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    return claim, volume


def job(name: str, template: Json, **fields: Any) -> Json:
    spec = {"backoffLimit": 0, "template": {"spec": template}, **fields}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, replicas: int, template: Json, **fields: Any) -> Json:
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {**template, "restartPolicy": "Always"}},
        **fields,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
