"""The values Kubernetes fills in when a manifest leaves them out (`pkg/apis/*/v1/defaults.go`).

Every function changes the object it is given, and is harmless when run again.
"""

import base64
from collections.abc import Callable
from typing import Any

from fakes.kube import definitions
from fakes.kube.quantity import canonical

Json = dict[str, Any]


def apply(key: str, obj: Json) -> None:
    """Fill in the defaults of one object of the resource `key`."""
    if fill := _BY_RESOURCE.get(key):
        fill(obj)


def _fill(target: Json, **values: Any) -> None:
    for name, value in values.items():
        target.setdefault(name, value)


def pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    _fill(spec, enableServiceLinks=True)
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        resources = container.get("resources") or {}
        for name, limit in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, limit)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort"))


def pod_spec(spec: Json) -> None:
    """What a pod and a pod template have in common."""
    _fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
        securityContext={},
    )
    if name := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = name
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            _container(container)
    for container in spec.get("ephemeralContainers") or ():
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)
    if "overhead" in spec:
        quantities(spec["overhead"])


def _container(container: Json) -> None:
    _fill(container, resources={}, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    if image := container.get("image"):
        container.setdefault("imagePullPolicy", _pull_policy(image))
    for port in container.get("ports") or ():
        _fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            _fill(reference, apiVersion="v1")
        if reference := (variable.get("valueFrom") or {}).get("resourceFieldRef"):
            _fill(reference, divisor="0")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http(hook)
    for amounts in (container.get("resources") or {}).values():
        if isinstance(amounts, dict):
            quantities(amounts)


def _pull_policy(image: str) -> str:
    """Always for `:latest`, said or implied; a digest or another tag is pulled once."""
    if "@" in image:
        return "IfNotPresent"
    last = image.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _probe(probe: Json) -> None:
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http(probe)
    if grpc := probe.get("grpc"):
        _fill(grpc, service="")


def _http(action: Json) -> None:
    if get := action.get("httpGet"):
        _fill(get, path="/", scheme="HTTP")


_NOT_SOURCES = frozenset({"name"})


def _volume(volume: Json) -> None:
    if not set(volume) - _NOT_SOURCES:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(source), dict):
            _fill(volume[source], defaultMode=0o644)
    if isinstance(volume.get("hostPath"), dict):
        _fill(volume["hostPath"], type="")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _downward(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if token := source.get("serviceAccountToken"):
            _fill(token, expirationSeconds=3600)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _downward(item)
    claim = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim:
        _fill(claim, volumeMode="Filesystem")


def _downward(item: Json) -> None:
    if reference := item.get("fieldRef"):
        _fill(reference, apiVersion="v1")
    if reference := item.get("resourceFieldRef"):
        _fill(reference, divisor="0")


def quantities(amounts: Json) -> None:
    """Canonical texts for a map of quantities; what is no quantity is left for validation to refuse."""
    for name, amount in amounts.items():
        try:
            amounts[name] = canonical(amount)
        except ValueError:
            continue


def _template(spec: Json, field: str = "template") -> None:
    template = spec.get(field)
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        pod_spec(template.setdefault("spec", {}))


def _job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    job_spec(spec)
    _template(spec)


def job_spec(spec: Json) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
    )
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            _fill(pattern, status="True")


def _cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    _template(template.setdefault("spec", {}))


def _deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, replicas=1)
    _template(spec)


def _daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, revisionHistoryLimit=10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    _fill(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), partition=0)
    for claim in spec.get("volumeClaimTemplates") or ():
        _fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim)
    _template(spec)


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _fill(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _fill(spec, externalTrafficPolicy="Cluster")
    for port in spec.get("ports") or ():
        _fill(port, protocol="TCP")
        if "port" in port:
            _fill(port, targetPort=port["port"])


def _secret(obj: Json) -> None:
    _fill(obj, type="Opaque")
    for name, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[name] = base64.b64encode(str(text).encode()).decode()


def _namespace(obj: Json) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _node(obj: Json) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    for field in ("capacity", "allocatable"):
        if isinstance(status.get(field), dict):
            quantities(status[field])
    if isinstance(status.get("capacity"), dict) and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def _endpoints(obj: Json) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            _fill(port, protocol="TCP")


def _endpoint_slice(obj: Json) -> None:
    for port in obj.get("ports") or ():
        _fill(port, protocol="TCP", name="")


def _claim(obj: Json) -> None:
    _fill(obj.setdefault("spec", {}), volumeMode="Filesystem")


def _volume_object(obj: Json) -> None:
    _fill(obj.setdefault("spec", {}), volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")


def _storage_class(obj: Json) -> None:
    _fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _priority_class(obj: Json) -> None:
    _fill(obj, preemptionPolicy="PreemptLowerPriority")


def _webhooks(obj: Json) -> None:
    for hook in obj.get("webhooks") or ():
        _fill(
            hook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            timeoutSeconds=10,
            namespaceSelector={},
            objectSelector={},
        )
        if obj["kind"] == "MutatingWebhookConfiguration":
            _fill(hook, reinvocationPolicy="Never")
        for rule in hook.get("rules") or ():
            _fill(rule, scope="*")
        if service := (hook.get("clientConfig") or {}).get("service"):
            _fill(service, port=443)


def _binding(obj: Json) -> None:
    """Role references and subjects may leave their group out."""
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, apiGroup="rbac.authorization.k8s.io")
    if isinstance(obj.get("roleRef"), dict):
        _fill(obj["roleRef"], apiGroup="rbac.authorization.k8s.io")


_BY_RESOURCE: dict[str, Callable[[Json], None]] = {
    definitions.KEY: definitions.settle,
    "pods": pod,
    "nodes": _node,
    "namespaces": _namespace,
    "services": _service,
    "secrets": _secret,
    "endpoints": _endpoints,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume_object,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "daemonsets.apps": _daemon_set,
    "statefulsets.apps": _stateful_set,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "storageclasses.storage.k8s.io": _storage_class,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _webhooks,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
}
