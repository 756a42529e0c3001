"""Which volume a cluster would bind a claim to, out of the volumes and StorageClasses of the files. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vk_provider.cloud.eci.storage import DISK_CSI, DRIVERS, NAS_CSI
from vk_provider.model.quantity import parse
from vk_provider.translate.claims import volume_name
from vk_provider.translate.objects import ObjectKey

Json = dict[str, Any]
Known = dict[tuple[str, str, str], Json]  # by kind, namespace (default for those without) and name

_MADE = "made-for-the-claim"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
# Names that the vendor's clusters give their own classes.
_VENDORS_CLASSES = (("alicloud-disk", DISK_CSI), ("alibabacloud-disk", DISK_CSI), ("alibabacloud-cnfs-nas", NAS_CSI))


@dataclass(frozen=True, slots=True)
class Bound:
    """A claim and the volume behind it. note: what was assumed for it, empty = nothing."""

    claim: Json
    volume: Json
    note: str = ""


def bound(known: Known, claim: Json, key: ObjectKey) -> Bound | None:
    """None: nothing in the files shows what it would be bound to."""
    name = volume_name(claim)
    if name:
        volume = known.get(("PersistentVolume", "default", name))
        return Bound(claim, volume) if volume is not None else None
    volume = fitting(known, claim)
    if volume is not None:
        return Bound(*_joined(claim, volume, key))
    source, note = provisioned(known, claim, key)
    if source is None:
        return None
    spec = claim["spec"]
    made = {
        "metadata": {"name": f"pvc-{_MADE}-{key[1]}"},
        "spec": {
            **{name: spec[name] for name in ("accessModes", "volumeMode") if spec.get(name)},
            **source,
        },
    }
    return Bound(*_joined(claim, made, key), note)


def fitting(known: Known, claim: Json) -> Json | None:
    """A volume of the files that a cluster would bind it to: its class, size, modes and labels fit."""
    wanted = claim["spec"]
    name = _class_of(claim) or ""
    least = parse(_at(wanted, "resources", "requests", "storage", default=0))
    labels = _at(wanted, "selector", "matchLabels", default={})
    modes = set(wanted.get("accessModes") or ())
    for (kind, _, _), volume in known.items():
        if kind != "PersistentVolume" or volume["spec"].get("claimRef"):
            continue
        spec = volume["spec"]
        if (
            (spec.get("storageClassName") or "") == name
            and modes <= set(spec.get("accessModes") or ())
            and parse(_at(spec, "capacity", "storage", default=0)) >= least
            and labels.items() <= _at(volume, "metadata", "labels", default={}).items()
        ):
            return volume
    return None


def provisioned(known: Known, claim: Json, key: ObjectKey) -> tuple[Json | None, str]:
    """The source of a volume that its StorageClass would make, and what was assumed."""
    name = _class_of(claim)
    if name == "":
        return None, ""  # it wants a volume that is there
    classes = {each: item for (kind, _, each), item in known.items() if kind == "StorageClass"}
    if name is None:
        marks = {each: _at(item, "metadata", "annotations", _DEFAULT_CLASS) for each, item in classes.items()}
        name = next((each for each, mark in marks.items() if mark == "true"), None)
    if name in classes:
        return _source(classes[name]), ""
    vendors = next((driver for start, driver in _VENDORS_CLASSES if (name or "").startswith(start)), "")
    what = {NAS_CSI: "a NAS file system"}.get(vendors, "a cloud disk")
    which = f"StorageClass {name}" if name else "the default StorageClass"
    why = "by its name" if vendors else "for the files do not have it"
    note = f"claim {key[1]}: {which} is taken to make {what} ({vendors or DISK_CSI}), {why}"
    return _source({"provisioner": vendors or DISK_CSI}), note


def bind_named(known: Known) -> None:
    """Claims and the volumes that either side names for the other, bound as a cluster would bind them."""
    claims = {key: item for key, item in known.items() if key[0] == "PersistentVolumeClaim"}
    for (kind, _, name), volume in list(known.items()):
        if kind != "PersistentVolume":
            continue
        named = volume["spec"].get("claimRef") or {}
        for key, claim in claims.items():
            chosen = (named.get("namespace") or "default", named.get("name")) == key[1:]
            if chosen or claim["spec"].get("volumeName") == name:
                known[key], known[kind, "default", name] = _joined(claim, volume, (key[1], key[2]))


def _at(item: Json, *path: str, default: Any = None) -> Any:
    """What is at the path; the default where that is empty, or something on the way is missing."""
    found: Any = item
    for step in path:
        found = (found or {}).get(step)
    return found or default


def _class_of(claim: Json) -> str | None:
    """None: the cluster's default. Empty: it wants no class."""
    annotated = _at(claim, "metadata", "annotations", _BETA_CLASS)
    named = claim["spec"].get("storageClassName", annotated)
    return None if named is None else str(named)


def _joined(claim: Json, volume: Json, key: ObjectKey) -> tuple[Json, Json]:
    """Claim and volume as they are once bound to each other."""
    namespace, name = key
    reference = {"namespace": namespace, "name": name, "uid": name}
    return (
        {
            **claim,
            "metadata": {**(claim.get("metadata") or {}), "uid": name},
            "spec": {**claim["spec"], "volumeName": volume["metadata"]["name"]},
            "status": {"phase": "Bound"},
        },
        {**volume, "spec": {**volume["spec"], "claimRef": reference}},
    )


def _source(storage_class: Json) -> Json | None:
    """Of a volume that the class makes; None = its volumes are made by hand."""
    driver, given = storage_class["provisioner"], storage_class.get("parameters") or {}
    if driver == "kubernetes.io/no-provisioner":
        return None
    more = {"mountOptions": storage_class["mountOptions"]} if storage_class.get("mountOptions") else {}
    named = given.get("csi.storage.k8s.io/fstype") or given.get("fsType")
    fs_type = {"fsType": named} if named else {}
    if driver in DRIVERS:
        options: Mapping[str, str] = {"server": f"{_MADE}:/"} if driver.endswith("nas") else {"volumeId": f"d-{_MADE}"}
        return {"flexVolume": {"driver": driver, "options": dict(options), **fs_type}, **more}
    attributes: Mapping[str, str] = given
    if driver == NAS_CSI:
        server, _, below = str(given.get("server") or f"{_MADE}:/").partition(":/")
        attributes = {"server": server, "path": f"/{below.strip('/')}/{_MADE}".replace("//", "/")}
    return {
        "csi": {"driver": driver, "volumeHandle": f"d-{_MADE}", "volumeAttributes": dict(attributes), **fs_type},
        **more,
    }
