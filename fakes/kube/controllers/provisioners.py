"""The volumes that the cloud's three CSI drivers make for claims: disks, directories of file systems and of buckets.

Pure: a claim's uid gives the names, so that a second try makes the same volume.
Attributes are those that the drivers write; what is not known of them is marked (?).
"""

import hashlib
from collections.abc import Callable
from datetime import datetime

from fakes.kube.controllers.volume_rules import PROVISIONED_BY
from fakes.kube.quantity import parse
from fakes.kube.reads import Json, uid_of

DISK, NAS, OSS = (f"{kind}plugin.csi.alibabacloud.com" for kind in ("disk", "nas", "oss"))
SMALLEST_DISK_GIB = 20
_IDENTITY = "storage.kubernetes.io/csiProvisionerIdentity"
_OWN = "csi.storage.k8s.io/"  # parameters with this prefix are read by the provisioner, not by the driver


class CannotProvision(Exception):
    """The class asks for what its driver cannot make; the text is what the driver answers."""


def provision(claim: Json, storage_class: Json, now: datetime) -> Json:
    """The PersistentVolume for a claim of a class of one of `DRIVERS`, promised to it. Raises CannotProvision."""
    driver = storage_class["provisioner"]
    kind, make = _MAKERS[driver]
    name = f"{kind}-{uid_of(claim)}"
    parameters = storage_class.get("parameters") or {}
    told = {key: value for key, value in parameters.items() if not key.startswith(_OWN)}
    size_gib = max(1, -(-int(parse(claim["spec"]["resources"]["requests"]["storage"])) // 2**30))
    size_gib, handle, attributes = make(claim, name, told, size_gib)
    attributes[_IDENTITY] = f"{int(now.timestamp() * 1000)}-8081-{driver}"
    csi: Json = {"driver": driver, "volumeHandle": handle, "volumeAttributes": attributes}
    if driver == DISK:
        csi["fsType"] = parameters.get(f"{_OWN}fstype") or parameters.get("fsType") or "ext4"
    if secret := _secret(parameters, claim, name):
        csi["nodePublishSecretRef"] = secret
    spec: Json = {
        "accessModes": list(claim["spec"]["accessModes"]),
        "capacity": {"storage": f"{size_gib}Gi"},
        "claimRef": reference(claim),
        "csi": csi,
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = list(storage_class["mountOptions"])
    meta = {"name": name, "annotations": {PROVISIONED_BY: driver}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec}


def reference(claim: Json) -> Json:
    """What a volume says of the claim that has it."""
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }


def _disk(claim: Json, _name: str, told: Json, size_gib: int) -> tuple[int, str, Json]:
    """The first of the types it may have; a smaller disk than the cloud sells becomes the smallest (?)."""
    attributes = {key: value for key, value in told.items() if key not in ("fsType", "zoneId")}
    attributes["type"] = str(told.get("type") or "cloud_essd").split(",")[0]
    handle = "d-" + hashlib.sha256(uid_of(claim).encode()).hexdigest()[:20]
    return max(size_gib, SMALLEST_DISK_GIB), handle, attributes


def _directory(_claim: Json, name: str, told: Json, size_gib: int) -> tuple[int, str, Json]:
    """A directory of its own in a file system that the class names, or the file system itself (`sharepath`)."""
    volume_as = told.get("volumeAs") or "subpath"
    if volume_as not in ("subpath", "sharepath"):
        raise CannotProvision(f"volumeAs {volume_as}: new file systems are not made here, only subpath and sharepath")
    # Several servers may be listed; the first is taken (?).
    server, _, path = str(told.get("server") or "").split(",")[0].partition(":")
    if not server:
        raise CannotProvision("invalid argument: server is required in storageclass")
    base = "/" + path.strip("/")
    if volume_as == "subpath":
        base = f"{base.rstrip('/')}/{name}"
    return size_gib, name, {**told, "volumeAs": volume_as, "server": server, "path": base}


def _prefix(_claim: Json, name: str, told: Json, size_gib: int) -> tuple[int, str, Json]:
    """The part of a bucket that the class names, shared by all its claims unless it says `subpath`."""
    for field in ("bucket", "url"):
        if not told.get(field):
            raise CannotProvision(f"invalid argument: {field} is required in storageclass")
    path = "/" + str(told.get("path") or "").strip("/")
    if told.get("volumeAs") == "subpath":
        path = f"{path.rstrip('/')}/{name}"
    return size_gib, name, {**told, "path": path}


def _secret(parameters: Json, claim: Json, name: str) -> Json | None:
    found = {}
    for field in ("name", "namespace"):
        text = str(parameters.get(f"{_OWN}node-publish-secret-{field}") or "")
        for word, value in (
            ("${pv.name}", name),
            ("${pvc.name}", claim["metadata"]["name"]),
            ("${pvc.namespace}", claim["metadata"]["namespace"]),
        ):
            text = text.replace(word, value)
        found[field] = text
    return found if all(found.values()) else None


_Maker = Callable[[Json, str, Json, int], tuple[int, str, Json]]
_MAKERS: dict[str, tuple[str, _Maker]] = {DISK: ("disk", _disk), NAS: ("nas", _directory), OSS: ("oss", _prefix)}
DRIVERS = tuple(_MAKERS)
