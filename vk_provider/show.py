"""`vk-provider show FILE.yaml`: what a manifest would become in the cloud, without a cloud or a cluster.

What a cluster would add is put in as far as it decides the request: defaults, the volume with the ServiceAccount's
token, and placeholders for what only a running cluster knows (uid, token); addresses of Services are left out.
ConfigMaps and Secrets are taken from the same files; where they are not there, it is said, as the pod would wait for
them. What comes out of Secrets is not printed.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from vk_provider import app
from vk_provider.cloud.base import Draft
from vk_provider.cloud.eci import request
from vk_provider.config import Config
from vk_provider.errors import ConfigError, PodNotReady, ProviderError, UnsupportedPod
from vk_provider.masks import masked
from vk_provider.model import pod as pods
from vk_provider.model.workload import Notice
from vk_provider.translate.claims import secret_keys, volume_name
from vk_provider.translate.objects import Kind, Objects
from vk_provider.translate.workload import build, references

Json = dict[str, Any]

TEMPLATES = {
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
}
UID = "00000000-0000-0000-0000-000000000000"
TOKEN_VOLUME = "kube-api-access-xxxxx"  # noqa: S105 (a name)
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
TOKEN_SOURCES = (
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
)
STAND_IN = "(token of the ServiceAccount, made for the pod)"


@dataclass(frozen=True, slots=True)
class Shown:
    """One pod and what would become of it: exactly one of draft and faults."""

    title: str
    draft: Draft | None
    faults: Sequence[str]
    notes: Sequence[str] = ()
    secrets: Collection[bytes] = field(default=(), repr=False)  # values that are not to be printed


def main(config: Config, files: Sequence[str], write: Any = sys.stdout.write) -> int:
    """Print all of them; 0 if every pod would be created, 1 if not. Raises ConfigError for a file that is no YAML."""
    documents = [document for file in files for document in _documents(file)]
    shown = list(shows(config, documents))
    if not shown:
        raise ConfigError([f"{', '.join(files)}: no Pod and nothing that makes Pods in there"])
    for each in shown:
        write(_text(each))
    return 1 if any(each.faults for each in shown) else 0


def shows(config: Config, documents: Sequence[Json]) -> Iterator[Shown]:
    """Every pod in the documents, in their order."""
    found = _Objects(documents)
    for document in documents:
        for item in _items(document):
            try:
                pod = pod_of(item)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                yield Shown(str(item.get("kind")), None, [_no_pod(error)])
                continue
            if pod is not None:
                yield _show(config, item, pod, found)


def pod_of(document: Json) -> Json | None:
    """The pod that a manifest is or makes, with the defaults an API server fills in; None for other kinds."""
    kind = str(document.get("kind") or "")
    meta = document.get("metadata") or {}
    if kind == "Pod":
        template = document
        name = str(meta.get("name") or f"{meta.get('generateName', 'pod-')}xxxxx")
    elif kind in TEMPLATES:
        template = document
        for step in TEMPLATES[kind]:
            template = template.get(step) or {}
        name = f"{meta.get('name', kind.lower())}-xxxxx"
    else:
        return None
    inner = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": meta.get("namespace") or "default",
            "uid": UID,
            "labels": inner.get("labels") or {},
            "annotations": inner.get("annotations") or {},
            **({"ownerReferences": [{"kind": kind, "controller": True}]} if kind == "DaemonSet" else {}),
        },
        "spec": _admitted(template.get("spec") or {}),
    }


def _admitted(spec: Json) -> Json:
    """The spec as the API server would store it: pull policies, and the token volume in every container (S23)."""
    told = spec.get("automountServiceAccountToken") is not False
    volume = {"name": TOKEN_VOLUME, "projected": {"defaultMode": 0o644, "sources": TOKEN_SOURCES}}
    lists = {name: spec[name] for name in ("containers", "initContainers") if spec.get(name)}
    return {
        **spec,
        "serviceAccountName": spec.get("serviceAccountName") or "default",
        **{name: [_admitted_container(each, told=told) for each in found] for name, found in lists.items()},
        **({"volumes": [*(spec.get("volumes") or ()), volume]} if told else {}),
    }


def _admitted_container(container: Json, *, told: bool) -> Json:
    name, _, tag = str(container.get("image") or "").rpartition("/")[2].partition(":")
    newest = tag in ("", "latest") and "@" not in name
    mounts = list(container.get("volumeMounts") or ())
    if told and all(mount.get("mountPath") != TOKEN_PATH for mount in mounts):
        mounts.append({"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True})
    policy = container.get("imagePullPolicy") or ("Always" if newest else "IfNotPresent")
    return {**container, "imagePullPolicy": policy, **({"volumeMounts": mounts} if mounts else {})}


class _Objects:
    """What the documents hold beside pods and can be referred to."""

    def __init__(self, documents: Iterable[Json]) -> None:
        self._known: dict[tuple[str, str, str], Json] = {}
        for document in documents:
            for item in _items(document):
                meta = item.get("metadata")
                if not isinstance(meta, dict):
                    continue
                key = (str(item.get("kind")), str(meta.get("namespace") or "default"), str(meta.get("name")))
                self._known[key] = _with_data(item)
        self._bind()

    def of(self, pod: Json) -> Objects:
        wanted = references(pod)
        found = Objects(
            config_maps={key: self._config_map(key) for key in wanted.config_maps},
            secrets={key: self._known.get(("Secret", *key)) for key in wanted.secrets},
            tokens=dict.fromkeys(wanted.tokens, STAND_IN),
            services=[],
        )
        return self._with_storage(found, wanted.claims) if wanted.claims else found

    def secret_values(self) -> set[bytes]:
        """Every value of every Secret, whether a pod refers to it or not."""
        secrets = {
            (namespace, name): {"data": _texts(item.get("data"))}
            for (kind, namespace, name), item in self._known.items()
            if kind == "Secret"
        }
        found = Objects(secrets=secrets)
        return {value for key in secrets for value in (found.data(Kind.SECRET, key) or {}).values() if value}

    def _with_storage(self, found: Objects, keys: Iterable[tuple[str, str]]) -> Objects:
        claims = {key: self._known.get(("PersistentVolumeClaim", *key)) for key in keys}
        names = {name for claim in claims.values() if (name := volume_name(claim))}
        found = replace(
            found,
            claims=claims,
            persistent_volumes={name: self._known.get(("PersistentVolume", "default", name)) for name in names},
        )
        secrets = {key: self._known.get(("Secret", *key)) for key in secret_keys(found)}
        return replace(found, secrets={**found.secrets, **secrets})

    def _bind(self) -> None:
        """Claims and the volumes that either side names for the other, bound as a cluster would bind them."""
        for (kind, _, name), volume in list(self._known.items()):
            if kind != "PersistentVolume":
                continue
            spec = _object(volume.get("spec"))
            named = _object(spec.get("claimRef"))
            for (other, namespace, claim_name), claim in list(self._known.items()):
                wanted = _object(claim.get("spec"))
                chosen = (named.get("namespace"), named.get("name")) == (namespace, claim_name)
                if other == "PersistentVolumeClaim" and (chosen or wanted.get("volumeName") == name):
                    meta = {**(claim.get("metadata") or {}), "uid": claim_name}
                    self._known[other, namespace, claim_name] = {
                        **claim,
                        "metadata": meta,
                        "spec": {**wanted, "volumeName": name},
                        "status": {"phase": "Bound"},
                    }
                    reference = {"namespace": namespace, "name": claim_name, "uid": claim_name}
                    self._known[kind, "default", name] = {**volume, "spec": {**spec, "claimRef": reference}}

    def _config_map(self, key: tuple[str, str]) -> Json | None:
        if key[1] == "kube-root-ca.crt":
            return {"metadata": {"name": key[1]}, "data": {"ca.crt": "(CA of the cluster)"}}
        return self._known.get(("ConfigMap", *key))


def _texts(value: Any) -> Json:
    return {key: text for key, text in _object(value).items() if isinstance(text, str)}


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _with_data(item: Json) -> Json:
    """A Secret's `stringData` as the API server would store it."""
    plain = item.get("stringData")
    if item.get("kind") != "Secret" or not isinstance(plain, dict):
        return item
    encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in plain.items()}
    return {**item, "data": {**(item.get("data") or {}), **encoded}}


def _show(config: Config, document: Json, pod: Json, found: _Objects) -> Shown:
    title = f"{document.get('kind')} {pod['metadata']['namespace']}/{(document.get('metadata') or {}).get('name', '')}"
    if pods.is_daemon(pod):
        return Shown(title, None, ["a virtual node has no machine for DaemonSet pods to serve; they stay Pending"])
    try:
        workload = build(pod, found.of(pod), app.node_context(config, UID, config.node_ip or "192.0.2.1"))
        draft = request.draft(workload, app.eci_settings(config, UID))
    except UnsupportedPod as error:
        return Shown(title, None, [str(refusal) for refusal in error.refusals])
    except PodNotReady as error:
        return Shown(title, None, [f"would wait: {error} (give the file that has it, to see the request)"])
    except (ProviderError, ValueError, TypeError, KeyError, AttributeError) as error:
        return Shown(title, None, [_no_pod(error)])
    asked = ", ".join(
        part
        for part in (
            f"{workload.cpu:g} vCPU" if workload.cpu is not None else "",
            f"{workload.memory_gib:g} GiB" if workload.memory_gib is not None else "",
        )
        if part
    )
    notes = [f"asked for {asked or 'nothing, so the default size'}"]
    silent = [name for name, is_open in (("cpu", workload.cpu_open), ("memory", workload.memory_open)) if is_open]
    if asked and silent:
        notes.append(f"a container says nothing of its {' and '.join(silent)}, so at least the default")
    if len(draft.choices) > 1:
        notes.append(f"on no stock {', then '.join(draft.choices[1:])}")
    notes += [notice.message for notice in workload.notices if _is_news(notice)]
    return Shown(title, draft, (), notes, found.secret_values())


def _is_news(notice: Notice) -> bool:
    return notice.reason.startswith("Annotation")


def _no_pod(error: Exception) -> str:
    return f"not a pod that an API server would take: {error}"


def _text(shown: Shown) -> str:
    lines = [shown.title]
    if shown.draft is None:
        lines += ["  refused:", *(f"    {fault}" for fault in shown.faults)]
        return "\n".join(lines) + "\n\n"
    draft = shown.draft
    seen = masked(draft.request, shown.secrets)
    lines += [
        f"  size     {_size(draft)} ({'; '.join(shown.notes)})",
        f"  price    {_price(draft)}",
        "  request",
        *(f"    {name}={json.dumps(value, ensure_ascii=False)}" for name, value in _sorted(seen)),
    ]
    return "\n".join(lines) + "\n\n"


def _size(draft: Draft) -> str:
    return f"{draft.cpu:g} vCPU, {draft.memory_gib:g} GiB" if draft.cpu else f"that of {draft.choices[0]}"


def _price(draft: Draft) -> str:
    price = draft.price
    if price is None:
        return "only the cloud knows it"
    upper = ", at most: a spot instance costs less" if draft.choices[0].endswith("/spot") else ""
    return f"{price.per_second:.8f} {price.currency}/s, {price.per_hour:.4f} {price.currency}/h (list price{upper})"


def _sorted(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """By name, numbers in names by value, so that Container.2 comes before Container.10."""

    def key(item: tuple[str, str]) -> list[tuple[int, int | str]]:
        return [(0, int(part)) if part.isdigit() else (1, part) for part in item[0].split(".")]

    return sorted(parameters.items(), key=key)


def _documents(file: str) -> list[Json]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        documents = list(yaml.safe_load_all(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"{file}: {error}"]) from error
    wrong = [document for document in documents if document is not None and not isinstance(document, dict)]
    if wrong:
        raise ConfigError([f"{file}: expected Kubernetes objects, found {type(wrong[0]).__name__}"])
    return [document for document in documents if document]


def _items(document: Json) -> Sequence[Json]:
    if document.get("kind") != "List":
        return (document,)
    items = document.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else ()
