"""A pod template → the pod as an API server would store it: names, pull policies, its ServiceAccount's token. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

UID = "00000000-0000-0000-0000-000000000000"
TOKEN_VOLUME = "kube-api-access-xxxxx"  # noqa: S105 (a name)
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
TOKEN_SOURCES = (
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
)


def pod_of_template(template: Json, name: str, namespace: str) -> Json:
    inner = template.get("metadata")
    meta = inner if isinstance(inner, dict) else {}
    spec = template.get("spec")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": UID,
            "labels": meta.get("labels") or {},
            "annotations": meta.get("annotations") or {},
        }
        if inner is None or isinstance(inner, dict)
        else inner,
        "spec": _spec(spec) if isinstance(spec, dict) else spec,
    }


def _spec(spec: Json) -> Json:
    """The spec as the API server would store it: pull policies, and the token volume in every container (S23)."""
    told = spec.get("automountServiceAccountToken") is not False
    volume = {"name": TOKEN_VOLUME, "projected": {"defaultMode": 0o644, "sources": TOKEN_SOURCES}}
    lists = {name: spec[name] for name in ("containers", "initContainers") if isinstance(spec.get(name), list)}
    volumes = spec.get("volumes")
    with_token = told and (volumes is None or isinstance(volumes, list))
    return {
        **spec,
        "serviceAccountName": spec.get("serviceAccountName") or "default",
        **{name: [_container(each, told=with_token) for each in found] for name, found in lists.items()},
        **({"volumes": [*(volumes or ()), volume]} if with_token else {}),
    }


def _container(container: Any, *, told: bool) -> Any:
    if not isinstance(container, dict):
        return container
    name, _, tag = str(container.get("image") or "").rpartition("/")[2].partition(":")
    newest = tag in ("", "latest") and "@" not in name
    mounts = container.get("volumeMounts")
    if told and (mounts is None or isinstance(mounts, list)):
        there = any(isinstance(each, dict) and each.get("mountPath") == TOKEN_PATH for each in mounts or ())
        more = [] if there else [{"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True}]
        mounts = [*(mounts or ()), *more]
    policy = container.get("imagePullPolicy") or ("Always" if newest else "IfNotPresent")
    return {**container, "imagePullPolicy": policy, **({"volumeMounts": mounts} if mounts else {})}
