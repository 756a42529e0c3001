"""The ConfigMap `eci-profile` of the vendor's node: where instances go, what selected pods get besides (eci.md 7.2).

Pure. What a profile says is put on the pod as annotations and labels that the pod lacks, before it is translated: so a
pod's own word goes before the profile's, and the profile's before our settings. The pod in the API server stays as it
is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vk_provider.cloud.eci import annotations as keys
from vk_provider.cloud.eci.annotations import SECURITY_GROUP, TABLE, VSWITCH, Emulated, Mapped
from vk_provider.model.pod import Json
from vk_provider.translate.profile import BadProfile

_NETWORK = {"vSwitchIds": VSWITCH, "securityGroupId": SECURITY_GROUP}
_SILENT = frozenset({"vpcId"})  # the vSwitches say it already


@dataclass(frozen=True, slots=True)
class Selector:
    """namespace, pod: labels that must be there; None = any namespace, any pod."""

    name: str
    namespace: Mapping[str, str] | None = None
    pod: Mapping[str, str] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """unheeded: keys that have no effect here, sorted."""

    selectors: Sequence[Selector] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    unheeded: Sequence[str] = ()

    @property
    def needs_namespaces(self) -> bool:
        return any(one.namespace is not None for one in self.selectors)

    @property
    def is_empty(self) -> bool:
        return not self.selectors and not self.annotations

    @property
    def chosen(self) -> Sequence[tuple[Mapping[str, str], Mapping[str, str]]]:
        """A selector without labels says something of pods that come to the node anyway."""
        return [(one.namespace or {}, one.pod or {}) for one in self.selectors if one.namespace or one.pod]

    @property
    def summary(self) -> str:
        return f"selectors={len(self.selectors)}"

    def apply(self, pod: Json, namespace_labels: Mapping[str, str]) -> Json:
        return applied(self, pod, namespace_labels)


def parse(data: Mapping[str, str]) -> Profile:
    """data: the ConfigMap's. Raises BadProfile with all that is wrong."""
    faults: list[str] = []
    network = {}
    for name, key in _NETWORK.items():
        if text := (data.get(name) or "").strip():
            network[key] = text
            faults += [f"{name}: {fault}" for fault in _value_faults(key, text)]
    selectors = _selectors(data.get("selectors") or "", faults)
    if faults:
        raise BadProfile("; ".join(faults))
    unheeded = sorted(set(data) - {*_NETWORK, *_SILENT, "selectors"})
    return Profile(selectors, network, unheeded)


def applied(profile: Profile, pod: Json, namespace_labels: Mapping[str, str]) -> Json:
    """The pod as the profile wants it; selectors in their order, nothing that is there is overwritten."""
    meta = pod["metadata"]
    labels: dict[str, Any] = dict(meta.get("labels") or {})
    annotations: dict[str, Any] = dict(meta.get("annotations") or {})
    own = dict(labels)  # what is added by one selector does not make another one fit
    for one in profile.selectors:
        if _fits(one.namespace, namespace_labels) and _fits(one.pod, own):
            labels = {**one.labels, **labels}
            annotations = {**one.annotations, **annotations}
    annotations = {**profile.annotations, **annotations}
    return {**pod, "metadata": {**meta, "labels": labels, "annotations": annotations}}


def _fits(wanted: Mapping[str, str] | None, labels: Mapping[str, Any]) -> bool:
    return wanted is None or all(labels.get(key) == value for key, value in wanted.items())


def _selectors(text: str, faults: list[str]) -> Sequence[Selector]:
    if not text.strip():
        return ()
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        faults.append(f"selectors: not JSON: {error}")
        return ()
    if not isinstance(items, list):
        faults.append("selectors: not a JSON list")
        return ()
    return tuple(_selector(item, f"selectors[{place}]", faults) for place, item in enumerate(items))


def _selector(item: Any, path: str, faults: list[str]) -> Selector:
    if not isinstance(item, dict):
        faults.append(f"{path}: not an object")
        return Selector("")
    known = {"name", "namespaceSelector", "objectSelector", "effect"}
    faults += [f"{path}.{name}: unknown" for name in sorted(set(item) - known)]
    stated = item.get("effect")
    effect: Json = stated if isinstance(stated, dict) else {}
    if not effect:
        faults.append(f"{path}.effect: must be an object with annotations or labels")
    given = _texts(effect.get("annotations"), f"{path}.effect.annotations", faults) or {}
    faults += [
        f"{path}.effect.annotations[{key}]: {fault}" for key in given for fault in _value_faults(key, given[key])
    ]
    return Selector(
        str(item.get("name") or ""),
        _match_labels(item.get("namespaceSelector"), f"{path}.namespaceSelector", faults),
        _match_labels(item.get("objectSelector"), f"{path}.objectSelector", faults),
        given,
        _texts(effect.get("labels"), f"{path}.effect.labels", faults) or {},
    )


def _match_labels(selector: Any, path: str, faults: list[str]) -> Mapping[str, str] | None:
    if selector is None:
        return None
    if not isinstance(selector, dict) or set(selector) - {"matchLabels"}:
        faults.append(f"{path}: only matchLabels is known")
        return None
    return _texts(selector.get("matchLabels"), f"{path}.matchLabels", faults)


def _texts(value: Any, path: str, faults: list[str]) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        faults.append(f"{path}: must be an object of texts")
        return None
    return value


def _value_faults(key: str, text: str) -> Sequence[str]:
    row = TABLE.get(key)
    fault = row.check(text) if isinstance(row, Mapped | Emulated) and text.strip() else ""
    if row is None and key.startswith(keys.PREFIX):
        fault = "unknown here"
    return [fault] if fault else []
