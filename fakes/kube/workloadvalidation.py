"""What Kubernetes refuses in everything that is not a pod. Pure; each function gives the faults it finds."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from fakes.kube import names
from fakes.kube.errors import Fault
from fakes.kube.podvalidation import pod_spec
from fakes.kube.selectors import object_selector

Json = dict[str, Any]

_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MACRO = re.compile(r"^@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)$")
_SCHEDULE = re.compile(r"^[\d*/,\-A-Za-z?]+$")


def _template(spec: Json, at: str, policies: tuple[str, ...]) -> list[Fault]:
    """A pod template, whose restart policy the controller narrows."""
    template = spec.get("template") or {}
    meta, inner = template.get("metadata") or {}, template.get("spec") or {}
    faults = names.labels(f"{at}.template.labels", meta.get("labels"))
    faults += pod_spec(inner, f"{at}.template.spec")
    policy = inner.get("restartPolicy", "Always")
    field = f"{at}.template.spec.restartPolicy"
    if policy not in policies and policy == "Always":
        faults.append(Fault.required(field, 'valid values: "OnFailure", "Never"'))
    elif policy not in policies:
        faults.append(Fault.unsupported(field, policy, policies))
    return faults


def _at_least(spec: Json, at: str, least: int, *fields: str) -> list[Fault]:
    faults = []
    for field in fields:
        value = spec.get(field)
        if value is not None and (not isinstance(value, int) or value < least):
            rule = f"must be greater than or equal to {least}" if least == 0 else f"must be greater than {least - 1}"
            faults.append(Fault.invalid(f"{at}.{field}", value, rule))
    return faults


def _job_spec(spec: Json, at: str) -> list[Fault]:
    counts = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
    faults = _at_least(spec, at, 0, *counts)
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        faults.append(Fault.unsupported(f"{at}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed" and spec.get("completions") is None:
        faults.append(Fault.required(f"{at}.completions", "when completion mode is Indexed"))
    return faults + _template(spec, at, ("OnFailure", "Never"))


def _job(job: Json) -> list[Fault]:
    spec = job.get("spec") or {}
    faults = _job_spec(spec, "spec")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not object_selector(spec.get("selector"))(labels):
        faults.append(
            Fault.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        )
    return faults


def _cron_job(job: Json) -> list[Fault]:
    spec = job.get("spec") or {}
    faults: list[Fault] = []
    if len(job["metadata"].get("name", "")) > 52:
        faults.append(Fault.invalid("metadata.name", job["metadata"]["name"], "must be no more than 52 characters"))
    schedule = spec.get("schedule", "")
    if not schedule:
        faults.append(Fault.required("spec.schedule"))
    elif not _MACRO.match(schedule):
        parts = schedule.split()
        if len(parts) != 5:
            shown = " ".join(parts)
            faults.append(
                Fault.invalid("spec.schedule", schedule, f"expected exactly 5 fields, found {len(parts)}: [{shown}]")
            )
        elif bad := [part for part in parts if not _SCHEDULE.match(part)]:
            faults.append(Fault.invalid("spec.schedule", schedule, f"failed to parse int from {bad[0]}"))
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        faults.append(Fault.unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies))
    faults += _at_least(
        spec, "spec", 0, "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    return faults + _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")


def _replicated(obj: Json) -> list[Fault]:
    """Deployments, ReplicaSets, DaemonSets: a selector that matches the template."""
    return _selecting(obj) + _template(obj.get("spec") or {}, "spec", ("Always",))


def _selecting(obj: Json) -> list[Fault]:
    spec = obj.get("spec") or {}
    faults = _at_least(spec, "spec", 0, "replicas", "minReadySeconds", "revisionHistoryLimit")
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if selector is None:
        faults.append(Fault.required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        faults.append(Fault.invalid("spec.selector", selector, f"empty selector is invalid for {obj['kind'].lower()}"))
    if selector is not None and not object_selector(selector)(labels):
        faults.append(
            Fault.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        )
    return faults


def _stateful_set(obj: Json) -> list[Fault]:
    """The template is checked only when a pod is made of it: its volumes come from the claim templates, too."""
    spec = obj.get("spec") or {}
    faults = _selecting(obj) + _at_least(spec.get("ordinals") or {}, "spec.ordinals", 0, "start")
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        faults.append(Fault.unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    order = spec.get("podManagementPolicy")
    if order not in ("OrderedReady", "Parallel"):
        faults.append(Fault.invalid("spec.podManagementPolicy", order, "must be 'OrderedReady' or 'Parallel'"))
    strategy = (spec.get("updateStrategy") or {}).get("type")
    if strategy not in ("OnDelete", "RollingUpdate"):
        faults.append(Fault.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    return faults


def _daemon_set(obj: Json) -> list[Fault]:
    rolling = ((obj.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    faults = _replicated(obj)
    if rolling.get("maxSurge", 0) not in (0, "0", "0%"):
        why = "this stand-in cluster starts no second pod on a node while it updates a DaemonSet; use maxUnavailable"
        faults.append(Fault.forbidden("spec.updateStrategy.rollingUpdate.maxSurge", why))
    return faults


def _lease(lease: Json) -> list[Fault]:
    spec = lease.get("spec") or {}
    return _at_least(spec, "spec", 1, "leaseDurationSeconds") + _at_least(spec, "spec", 0, "leaseTransitions")


def _keys(obj: Json, *fields: str) -> list[Fault]:
    return [
        Fault.invalid(f"{field}[{key}]", key, _KEY_RULE)
        for field in fields
        for key in obj.get(field) or {}
        if not _KEY.match(key) or key in (".", "..")
    ]


def _config_map(obj: Json) -> list[Fault]:
    return _keys(obj, "data", "binaryData") + _base64(obj, "binaryData")


def _secret(obj: Json) -> list[Fault]:
    faults = _keys(obj, "data") + _base64(obj, "data")
    if obj.get("type") == "kubernetes.io/dockerconfigjson" and ".dockerconfigjson" not in (obj.get("data") or {}):
        faults.append(Fault.required("data[.dockerconfigjson]"))
    if not faults and obj.get("type") == "kubernetes.io/dockerconfigjson":
        try:
            json.loads(base64.b64decode(obj["data"][".dockerconfigjson"]))
        except ValueError:
            faults.append(Fault.invalid("data[.dockerconfigjson]", "<secret contents redacted>", "invalid character"))
    return faults


def _base64(obj: Json, field: str) -> list[Fault]:
    faults = []
    for key, text in (obj.get(field) or {}).items():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            faults.append(Fault.invalid(f"{field}[{key}]", "<not shown>", "illegal base64 data"))
    return faults


def _service(service: Json) -> list[Fault]:
    spec = service.get("spec") or {}
    types = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    faults = [] if spec.get("type") in types else [Fault.unsupported("spec.type", spec.get("type"), types)]
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        faults.append(Fault.required("spec.ports"))
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        faults.append(Fault.required("spec.externalName"))
    for index, port in enumerate(ports):
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            faults.append(
                Fault.invalid(f"spec.ports[{index}].port", number or 0, "must be between 1 and 65535, inclusive")
            )
        if len(ports) > 1 and not port.get("name"):
            faults.append(Fault.required(f"spec.ports[{index}].name"))
    return faults


def _priority_class(obj: Json) -> list[Fault]:
    faults = []
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    if name.startswith("system-") and name not in ("system-node-critical", "system-cluster-critical"):
        faults.append(
            Fault.forbidden(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only. error: \""
                + name
                + '" is not a known system priority class',
            )
        )
    if value > 1_000_000_000 and not name.startswith("system-"):
        faults.append(Fault.forbidden("value", "maximum allowed value of a user defined priority is 1000000000"))
    return faults


def _event(event: Json) -> list[Fault]:
    involved = event.get("involvedObject") or {}
    namespace = event["metadata"].get("namespace", "")
    stated = involved.get("namespace", "")
    if stated and stated != namespace:
        return [Fault.invalid("involvedObject.namespace", stated, "does not match event.namespace")]
    if not stated and namespace not in ("", "default"):
        return [Fault.invalid("involvedObject.namespace", stated, "does not match event.namespace")]
    return []


def _role_binding(obj: Json) -> list[Fault]:
    role = obj.get("roleRef") or {}
    faults = []
    if role.get("kind") not in ("Role", "ClusterRole"):
        faults.append(Fault.unsupported("roleRef.kind", role.get("kind", ""), ("Role", "ClusterRole")))
    if not role.get("name"):
        faults.append(Fault.required("roleRef.name"))
    return faults


CREATED: dict[str, Callable[[Json], list[Fault]]] = {
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "deployments.apps": _replicated,
    "replicasets.apps": _replicated,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "leases.coordination.k8s.io": _lease,
    "configmaps": _config_map,
    "secrets": _secret,
    "services": _service,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "events": _event,
    "rolebindings.rbac.authorization.k8s.io": _role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _role_binding,
}


def immutable(key: str, new: Json, old: Json) -> list[Fault]:
    """Fields that an update may not change."""
    if key == "jobs.batch":
        return _job_immutable(new["spec"], old["spec"])
    if key in ("configmaps", "secrets"):
        return _frozen_data(new, old)
    if key == "statefulsets.apps":
        return _fixed_set(new["spec"], old["spec"])
    return [
        Fault.invalid(path, after, "field is immutable")
        for path in _IMMUTABLE.get(key, ())
        if (after := _at(new, path)) != (before := _at(old, path)) and before is not None
    ]


_IMMUTABLE = {
    "deployments.apps": ("spec.selector",),
    "replicasets.apps": ("spec.selector",),
    "daemonsets.apps": ("spec.selector",),
    "services": ("spec.clusterIP",),
    "priorityclasses.scheduling.k8s.io": ("value",),
    "storageclasses.storage.k8s.io": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "rolebindings.rbac.authorization.k8s.io": ("roleRef",),
    "clusterrolebindings.rbac.authorization.k8s.io": ("roleRef",),
    "persistentvolumeclaims": ("spec.accessModes", "spec.storageClassName"),
}


_OF_A_SET = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _fixed_set(new: Json, old: Json) -> list[Fault]:
    """What may change of a StatefulSet's spec."""
    if all(new.get(field) == old.get(field) for field in {*new, *old} - {*_OF_A_SET}):
        return []
    *first, last = (f"'{field}'" for field in _OF_A_SET)
    why = f"updates to statefulset spec for fields other than {', '.join(first)} and {last} are forbidden"
    return [Fault.forbidden("spec", why)]


def _at(obj: Json, path: str) -> Any:
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _job_immutable(new: Json, old: Json) -> list[Fault]:
    faults = [
        Fault.invalid(f"spec.{field}", new.get(field), "field is immutable")
        for field in ("completions", "selector", "completionMode", "podFailurePolicy")
        if new.get(field) != old.get(field)
    ]
    template, before = new.get("template") or {}, old.get("template") or {}
    if old.get("suspend"):  # a suspended Job may still be told where to run
        template, before = _without_placement(template), _without_placement(before)
    if template != before:
        faults.append(Fault.invalid("spec.template", template, "field is immutable"))
    return faults


def _without_placement(template: Json) -> Json:
    placed = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key not in placed}
    meta = {
        key: value for key, value in (template.get("metadata") or {}).items() if key not in ("labels", "annotations")
    }
    return {**template, "spec": spec, "metadata": meta}


def _frozen_data(new: Json, old: Json) -> list[Fault]:
    if not old.get("immutable"):
        return []
    changed = [] if new.get("immutable") else ["immutable"]
    changed += [field for field in ("data", "binaryData") if new.get(field) != old.get(field)]
    return [Fault.forbidden(field, "field is immutable when `immutable` is set") for field in changed]
