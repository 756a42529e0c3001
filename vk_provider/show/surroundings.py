"""What the manifests hold beside pods and pods refer to; and what a cluster would make of it, as bound claims. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.model.quantity import parse
from vk_provider.show.manifests import UID, Found, Manifest
from vk_provider.show.shapes import CLAIM, OBJECTS, malformed
from vk_provider.translate.claims import claim_of, secret_keys, volume_name
from vk_provider.translate.judging import wanted
from vk_provider.translate.objects import Kind, ObjectKey, Objects, References
from vk_provider.translate.storage import DISK_CSI, DRIVERS, NAS_CSI
from vk_provider.translate.workload import UNREADABLE, references

Json = dict[str, Any]

SERVICE_IP = "192.0.2.2"  # of the addresses that are kept for examples
STAND_IN = "(token of the ServiceAccount, made for the pod)"
CA_CONFIG_MAP = "kube-root-ca.crt"
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


@dataclass(slots=True)
class Around:
    """What one pod refers to, as found. notes: what was assumed, and what is nearly what the pod names."""

    objects: Objects
    notes: list[str] = field(default_factory=list)


class Surroundings:
    """All objects of the manifests by kind, namespace and name. What an API server would not take is not among them."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._known: dict[tuple[str, str, str], Json] = {}
        self.faults: dict[tuple[str, str, str], Sequence[Refusal]] = {}
        for manifest in manifests:
            self._add(manifest.document)
        self._bind()

    def _add(self, document: Json) -> None:
        kind, meta = document.get("kind"), document.get("metadata")
        if not isinstance(kind, str) or not isinstance(meta, dict):
            return
        key = (kind, str(meta.get("namespace") or "default"), str(meta.get("name")))
        faults = malformed(OBJECTS[kind], document, "") if kind in OBJECTS else ()
        if faults:
            self.faults[key] = faults
        elif kind in OBJECTS:
            self._known[key] = stored(document)

    def around(self, found: Found, pod: Json, *, expands_pod_ip: bool = False) -> Around:
        """Raises UnsupportedPod with everything that the pod says and we do not carry.

        expands_pod_ip: as in `NodeContext`.
        """
        return self._around(found, pod, references(pod, expands_pod_ip=expands_pod_ip))

    def around_refused(self, found: Found, pod: Json) -> Objects:
        """Of a pod that is refused: what it refers to, as far as that can be read."""
        try:
            return self._around(found, pod, wanted(pod)).objects
        except (UnsupportedPod, *UNREADABLE):
            return Objects()

    def services(self) -> Sequence[Json]:
        """The Services, with addresses as a cluster would give them."""
        return [
            {"metadata": {"namespace": namespace, "name": name}, "spec": _placed(item.get("spec") or {})}
            for (kind, namespace, name), item in self._known.items()
            if kind == "Service"
        ]

    def _around(self, found: Found, pod: Json, named: References) -> Around:
        objects = Objects(
            config_maps={key: self._config_map(key) for key in named.config_maps},
            secrets={key: self._known.get(("Secret", *key)) for key in named.secrets},
            tokens=dict.fromkeys(named.tokens, STAND_IN),
            services=[],
        )
        around = Around(objects)
        if named.claims:
            self._add_storage(around, found, pod, named.claims)
        self._add_hints(around)
        return around

    def faults_of(self, objects: Objects) -> Iterator[Refusal]:
        """Of what the pod refers to and an API server would not take."""
        for kind, keys in (
            ("ConfigMap", objects.config_maps),
            ("Secret", objects.secrets),
            ("PersistentVolumeClaim", objects.claims),
        ):
            for namespace, name in keys:
                for fault in self.faults.get((kind, namespace, name), ()):
                    yield replace(fault, field=f"{kind} {namespace}/{name}: {fault.field}")

    def secret_values(self) -> set[bytes]:
        """Every value of every Secret, whether a pod refers to it or not."""
        secrets = {(namespace, name): item for (kind, namespace, name), item in self._known.items() if kind == "Secret"}
        found = Objects(secrets=secrets)
        return {value for key in secrets for value in (found.data(Kind.SECRET, key) or {}).values() if value}

    def _config_map(self, key: ObjectKey) -> Json | None:
        if key[1] == CA_CONFIG_MAP:
            return {"metadata": {"name": key[1]}, "data": {"ca.crt": "(CA of the cluster)"}}
        return self._known.get(("ConfigMap", *key))

    def _add_hints(self, around: Around) -> None:
        """Where an object of the right name stands in another namespace of the files."""
        for kind, found in (("ConfigMap", around.objects.config_maps), ("Secret", around.objects.secrets)):
            for (namespace, name), item in found.items():
                if item is None and (kind, namespace, name) not in self.faults:
                    elsewhere = sorted(ns for known, ns, each in self._known if (known, each) == (kind, name))
                    around.notes += [
                        f"{kind} {name} stands in namespace {each} of these files, the pod in {namespace}"
                        for each in elsewhere
                    ]

    # --- storage ---

    def _add_storage(self, around: Around, found: Found, pod: Json, keys: Iterable[ObjectKey]) -> None:
        claims: dict[ObjectKey, Json | None] = {}
        volumes: dict[str, Json | None] = {}
        for key in sorted(keys):
            claim = self._claim(key, found, pod)
            claims[key] = claim
            if claim is None:
                continue
            bound = self._bound(claim, key)
            if bound is not None:
                claims[key] = bound.claim
                volumes[volume_name(bound.claim)] = bound.volume
                around.notes += [bound.note] if bound.note else []
        objects = replace(around.objects, claims=claims, persistent_volumes=volumes)
        secrets = {key: self._known.get(("Secret", *key)) for key in secret_keys(objects)}
        around.objects = replace(objects, secrets={**objects.secrets, **secrets})

    def _claim(self, key: ObjectKey, found: Found, pod: Json) -> Json | None:
        """One of the files, or one that is made for the pod."""
        namespace, name = key
        known = self._known.get(("PersistentVolumeClaim", *key))
        if known is not None:
            return known
        if name in found.claims:
            return {"metadata": {"namespace": namespace, **found.claims[name]["metadata"]}, **_spec(found.claims[name])}
        for index, volume in enumerate(pod["spec"].get("volumes") or ()):
            if volume.get("ephemeral") is not None and claim_of(volume, pod["metadata"]["name"], namespace) == key:
                template = volume["ephemeral"].get("volumeClaimTemplate") or {}
                faults = malformed(CLAIM, template, f"spec.volumes[{index}].ephemeral.volumeClaimTemplate")
                if faults:
                    raise UnsupportedPod(faults)
                owner = {"kind": "Pod", "controller": True, "uid": UID}
                annotations = (template.get("metadata") or {}).get("annotations") or {}
                meta = {"namespace": namespace, "name": name, "annotations": annotations, "ownerReferences": [owner]}
                return {"metadata": meta, **_spec(template)}
        return None

    def _bound(self, claim: Json, key: ObjectKey) -> Bound | None:
        """None: nothing in the files shows what it would be bound to."""
        name = volume_name(claim)
        if name:
            volume = self._known.get(("PersistentVolume", "default", name))
            return Bound(claim, volume) if volume is not None else None
        volume = self._fitting(claim)
        if volume is not None:
            return Bound(*_joined(claim, volume, key))
        source, note = self._provisioned(claim, key)
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

    def _fitting(self, claim: Json) -> Json | None:
        """A volume of the files that a cluster would bind it to: its class, size, modes and labels fit."""
        wanted = claim["spec"]
        name = _class_of(claim) or ""
        least = parse(((wanted.get("resources") or {}).get("requests") or {}).get("storage") or 0)
        labels = (wanted.get("selector") or {}).get("matchLabels") or {}
        for (kind, _, _), volume in self._known.items():
            if kind != "PersistentVolume" or volume["spec"].get("claimRef"):
                continue
            spec, meta = volume["spec"], volume.get("metadata") or {}
            if (
                (spec.get("storageClassName") or "") == name
                and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
                and parse((spec.get("capacity") or {}).get("storage") or 0) >= least
                and labels.items() <= (meta.get("labels") or {}).items()
            ):
                return volume
        return None

    def _provisioned(self, claim: Json, key: ObjectKey) -> tuple[Json | None, str]:
        """The source of a volume that its StorageClass would make, and what was assumed."""
        name = _class_of(claim)
        if name == "":
            return None, ""  # it wants a volume that is there
        classes = {each: item for (kind, _, each), item in self._known.items() if kind == "StorageClass"}
        if name is None:
            defaults = [each for each, item in classes.items() if _is_default(item)]
            name = defaults[0] if defaults else None
        if name in classes:
            return _source(classes[name]), ""
        vendors = next((driver for start, driver in _VENDORS_CLASSES if (name or "").startswith(start)), "")
        what = {NAS_CSI: "a NAS file system"}.get(vendors, "a cloud disk")
        which = f"StorageClass {name}" if name else "the default StorageClass"
        why = "by its name" if vendors else "for the files do not have it"
        note = f"claim {key[1]}: {which} is taken to make {what} ({vendors or DISK_CSI}), {why}"
        return _source({"provisioner": vendors or DISK_CSI}), note

    def _bind(self) -> None:
        """Claims and the volumes that either side names for the other, bound as a cluster would bind them."""
        claims = {key: item for key, item in self._known.items() if key[0] == "PersistentVolumeClaim"}
        for (kind, _, name), volume in list(self._known.items()):
            if kind != "PersistentVolume":
                continue
            named = volume["spec"].get("claimRef") or {}
            for key, claim in claims.items():
                chosen = (named.get("namespace") or "default", named.get("name")) == key[1:]
                if chosen or claim["spec"].get("volumeName") == name:
                    self._known[key], self._known[kind, "default", name] = _joined(claim, volume, (key[1], key[2]))


def stored(item: Json) -> Json:
    """A Secret's `stringData` as the API server would store it; other objects as they are."""
    plain = item.get("stringData")
    if item.get("kind") != "Secret" or not isinstance(plain, dict):
        return item
    encoded = {name: base64.b64encode(str(text).encode("utf-8", "replace")).decode() for name, text in plain.items()}
    return {**item, "data": {**(item.get("data") or {}), **encoded}}


def _placed(spec: Json) -> Json:
    if spec.get("type") == "ExternalName":
        return {}
    return {"ports": spec.get("ports") or (), "clusterIP": spec.get("clusterIP") or SERVICE_IP}


def _spec(claim: Json) -> Json:
    return {"spec": claim.get("spec") or {}}


def _class_of(claim: Json) -> str | None:
    """None: the cluster's default. Empty: it wants no class."""
    annotated = (claim["metadata"].get("annotations") or {}).get(_BETA_CLASS)
    named = claim["spec"].get("storageClassName", annotated)
    return None if named is None else str(named)


def _is_default(item: Json) -> bool:
    return (item["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"


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
