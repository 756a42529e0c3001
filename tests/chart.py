"""What of deploy/chart is made from the other manifests: rights, placement and hardening, and the schema of the values.

`python -m tests.guides` writes it; `test_chart` fails where a file differs, and holds what Helm renders against what
kustomize does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vk_provider import config, node_sections
from vk_provider.settings import is_placeholder

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
TEMPLATES = CHART / "templates"
SCHEMA = CHART / "values.schema.json"
EVERYWHERE = "vk-provider-pods"  # bound in all namespaces or, by `namespaces`, in some
_SINCE_1_30 = 'and .Values.hardening (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version)'
# Template → the manifest it is made from, and when it is rendered.
_MADE: Mapping[str, tuple[str, str]] = {
    "policy.yaml": ("placement/policy/policy.yaml", 'eq (include "placement" .) "policy"'),
    "policy-bindings.yaml": ("components/profile-selectors/rights.yaml", 'eq (include "placement" .) "policy"'),
    "webhook.yaml": ("placement/webhook/webhook.yaml", 'eq (include "placement" .) "webhook"'),
    "limits.yaml": ("hardening/limits.yaml", _SINCE_1_30),
    "flow-schema.yaml": ("hardening/flow-schema.yaml", _SINCE_1_30),
    "disruption-budget.yaml": (
        "hardening/disruption-budget.yaml",
        'and .Values.hardening (semverCompare ">=1.21.0-0" .Capabilities.KubeVersion.Version)',
    ),
    "preemptible-objects.yaml": ("preemptible/objects.yaml", ".Values.preemptible"),
    "preemptible-policy.yaml": ("preemptible/policy.yaml", ".Values.preemptible"),
    "preemptible-rights.yaml": ("preemptible/provider/rights.yaml", ".Values.preemptible"),
    "fake-cloud.yaml": ("overlays/local/fake-cloud.yaml", ".Values.fakeCloud.enabled"),
}
_RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_SOME_NAMESPACES = """\
{{- range .Values.namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: vk-provider-pods
  namespace: {{ . }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: vk-provider-pods
subjects:
  - kind: ServiceAccount
    name: vk-provider
    namespace: {{ $.Release.Namespace }}
{{- end }}
{{- if .Values.namespaces }}
---
# The CA of the API server's client certificate, which is no secret.
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: vk-provider-client-ca
  namespace: kube-system
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: extension-apiserver-authentication-reader
subjects:
  - kind: ServiceAccount
    name: vk-provider
    namespace: {{ $.Release.Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: vk-provider-profile-watch
  namespace: kube-system
rules:
  - apiGroups: [""]
    resources: [configmaps]
    resourceNames: [eci-profile]
    verbs: [watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: vk-provider-profile-watch
  namespace: kube-system
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: vk-provider-profile-watch
subjects:
  - kind: ServiceAccount
    name: vk-provider
    namespace: {{ $.Release.Namespace }}
{{- end }}
"""


def files() -> dict[Path, str]:
    """Each file that is made, with its text."""
    made = {TEMPLATES / name: _template(*source) for name, source in _MADE.items()}
    return {**made, TEMPLATES / "rights.yaml": _rights(), SCHEMA: _schema()}


def _template(source: str, condition: str) -> str:
    text = _of_the_release((DEPLOY / source).read_text())
    return f"{_head(source)}{{{{- if {condition} }}}}\n{text.rstrip()}\n{{{{- end }}}}\n"


def _rights() -> str:
    source = "base/vk-provider.yaml"
    kept = []
    for document in (DEPLOY / source).read_text().split("\n---\n"):
        kind = re.search(r"^kind: (\w+)$", document, re.MULTILINE)
        if kind is None or kind[1] not in _RIGHTS:
            continue
        text = _of_the_release(document.rstrip())
        is_everywhere = kind[1] == "ClusterRoleBinding" and f"name: {EVERYWHERE}\n" in text
        kept.append(
            f"{{{{- if not .Values.namespaces }}}}\n---\n{text}\n{{{{- end }}}}" if is_everywhere else f"---\n{text}"
        )
    return _head(source) + "\n".join(kept) + "\n" + _SOME_NAMESPACES


def _head(source: str) -> str:
    return f"{{{{/* Written by `python -m tests.guides` from deploy/{source}. */}}}}\n"


def _of_the_release(text: str) -> str:
    """With the release's namespace where the manifests name the one of theirs."""
    release = "{{ .Release.Namespace }}"
    text = re.sub(r"(namespace: )vk-provider\b(?!-)", rf"\1{release}", text)
    text = text.replace("serviceaccount:vk-provider:", f"serviceaccount:{release}:")
    text = text.replace("[kube-node-lease, vk-provider]", f"[kube-node-lease, {release}]")
    text = text.replace("image: vk-fake-cloud:0.1.0", "image: {{ .Values.fakeCloud.image }}")
    return re.sub(r"(        - kube-system\n        - )vk-provider$", rf"\1{release}", text, flags=re.MULTILINE)


# --- the schema of the values -----------------------------------------------------------------------------------------

_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXTS: Mapping[str, Any] = {"type": "array", "items": _TEXT}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_SWITCH: Mapping[str, Any] = {"type": "boolean"}


def _schema() -> str:
    objects = {"type": "array", "items": _OBJECT}
    known = {
        "settings": _settings(),
        "credentials": _closed(dict.fromkeys(("existingSecret", "accessKey", "secretKey"), _TEXT)),
        "placement": {"enum": ["auto", "policy", "webhook", "none"]},
        "namespaces": {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}},
        "hardening": _SWITCH,
        "preemptible": _SWITCH,
        "hostNetwork": _SWITCH,
        "replicas": {"type": "integer", "minimum": 0},
        "image": _closed(
            {
                **dict.fromkeys(("repository", "tag"), _TEXT),
                "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                "pullPolicy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
                "pullSecrets": objects,
            }
        ),
        "extraArgs": _TEXTS,
        "extraEnv": objects,
        "resources": _OBJECT,
        "priorityClassName": _TEXT,
        "nodeSelector": _OBJECT,
        "tolerations": objects,
        "fakeCloud": _closed({"enabled": _SWITCH, "image": _TEXT}),
        "global": _OBJECT,  # which Helm gives every chart
    }
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "vk-provider", **_closed(known)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _settings() -> dict[str, Any]:
    """Every setting of the TOML file but secrets; its value is checked by the provider, its name and shape here."""
    properties: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    for name, about in config.settings().items():
        section, _, key = config.key_of(name).removeprefix("[").rpartition("] ")
        place = sections.setdefault(section, {}) if section else properties
        if not about["secret"]:  # a ConfigMap is no place for it: see `credentials`
            place[key] = {**_shape(about["default"]), "description": about["text"]}
    of_node = {key: properties[key] for key in node_sections.OF_NODE}
    for name, each in sections.items():
        of_node[name] = _closed({key: each[key] for key in config.SECTIONS[name].OF_NODE})
    nodes = {"type": "array", "items": _closed(of_node), "description": "several nodes, each with what differs"}
    clouds = {name: _closed(each) for name, each in sections.items()}
    return _closed({**properties, node_sections.KEY: nodes, **clouds})


def _shape(default: object) -> dict[str, Any]:
    match default:
        case bool():
            return dict(_SWITCH)
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case dict():
            return {"type": ["object", "string"]}
        case tuple():
            return {"anyOf": [_TEXTS, _TEXT]}
        case _:
            return dict(_TEXT)


def placeholders() -> Iterator[str]:
    """What the provider takes for a placeholder, which the chart is to refuse as well."""
    words = (
        "vsw-...",
        "vsw-…",
        "<your vSwitch>",
        "$VSWITCH",
        "vsw-xxx",
        "your-vswitch",
        "vsw-bp1xxxxxxxx",
        "change-me",
    )
    yield from (word for word in words if is_placeholder(word))
