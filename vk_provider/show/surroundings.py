"""What the manifests hold beside pods and pods refer to; and what a cluster would make of it, as bound claims. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import Refusal, UnsupportedPod
from vk_provider.show import binding
from vk_provider.show.admitted import UID
from vk_provider.show.manifests import Found, Manifest
from vk_provider.show.shapes import CLAIM, OBJECTS, malformed
from vk_provider.translate.capabilities import Capabilities
from vk_provider.translate.claims import claim_of, secret_keys, volume_name
from vk_provider.translate.judging import wanted
from vk_provider.translate.objects import Kind, ObjectKey, Objects, References
from vk_provider.translate.workload import UNREADABLE, references

Json = dict[str, Any]

SERVICE_IP = "192.0.2.2"  # of the addresses that are kept for examples
STAND_IN = "(token of the ServiceAccount, made for the pod)"
CA_CONFIG_MAP = "kube-root-ca.crt"
_CA: Json = {"metadata": {"name": CA_CONFIG_MAP}, "data": {"ca.crt": "(CA of the cluster)"}}


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
        binding.bind_named(self._known)

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

    def around(
        self, found: Found, pod: Json, capabilities: Capabilities = CAPABILITIES, *, expands_pod_ip: bool = False
    ) -> Around:
        """Raises UnsupportedPod with everything that the pod says and we do not carry.

        capabilities, expands_pod_ip: as in `NodeContext`.
        """
        return self._around(found, pod, references(pod, capabilities=capabilities, expands_pod_ip=expands_pod_ip))

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
            config_maps={
                key: _CA if key[1] == CA_CONFIG_MAP else self._known.get(("ConfigMap", *key))
                for key in named.config_maps
            },
            secrets={key: self._known.get(("Secret", *key)) for key in named.secrets},
            tokens=dict.fromkeys(named.tokens, STAND_IN),
            services=[],
        )
        around = Around(objects)
        if named.claims:
            self._add_storage(around, found, pod, named.claims)
        for kind, those in (("ConfigMap", around.objects.config_maps), ("Secret", around.objects.secrets)):
            for (namespace, name), item in those.items():
                if item is None and (kind, namespace, name) not in self.faults:
                    elsewhere = sorted(ns for known, ns, each in self._known if (known, each) == (kind, name))
                    around.notes += [
                        f"{kind} {name} stands in namespace {each} of these files, the pod in {namespace}"
                        for each in elsewhere
                    ]
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

    # --- storage ---

    def _add_storage(self, around: Around, found: Found, pod: Json, keys: Iterable[ObjectKey]) -> None:
        claims: dict[ObjectKey, Json | None] = {}
        volumes: dict[str, Json | None] = {}
        for key in sorted(keys):
            claim = self._claim(key, found, pod)
            claims[key] = claim
            if claim is None:
                continue
            bound = binding.bound(self._known, claim, key)
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
