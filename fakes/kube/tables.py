"""Objects as the tables `kubectl get` prints (`pkg/printers/internalversion`)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fakes.kube import jsonpath, podtable, quantity
from fakes.kube.clock import parse
from fakes.kube.durations import human
from fakes.kube.resources import Resource
from fakes.kube.versions import Version

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """`cell` gives the value from the object and the present time. wide: shown only with -o wide."""

    name: str
    cell: Callable[[Json, datetime], Any]
    wide: bool = False
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


def table(
    row: Resource, objects: Sequence[Json], now: datetime, *, version: str, include: str, metadata: Json, head: bool
) -> Json:
    """A meta.k8s.io Table. include: Metadata, Object or None, what each row carries. head: say what the columns are."""
    columns = COLUMNS.get(row.native, _PLAIN) if row.custom is None else _custom(row.custom)
    rows = [
        {"cells": [column.cell(obj, now) for column in columns], "object": _carried(obj, include, version)}
        for obj in objects
    ]
    for line in rows:
        if line["object"] is None:
            del line["object"]
    definitions = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format or ("name" if column.name == "Name" else ""),
            "description": column.description,
            "priority": column.priority or int(column.wide),
        }
        for column in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": definitions if head else None,
        "rows": rows,
    }


def _carried(obj: Json, include: str, version: str) -> Json | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def _age(obj: Json, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(text: str | None, now: datetime) -> str:
    return human((now - parse(text)).total_seconds()) if text else "<unknown>"


def _at(path: str, default: Any = "") -> Callable[[Json, datetime], Any]:
    """The value at a dotted path."""
    steps = path.split(".")

    def cell(obj: Json, _now: datetime) -> Any:
        value: Any = obj
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def _custom(said: Version) -> tuple[Column, ...]:
    """The columns that a CustomResourceDefinition asks for."""
    made = [
        Column(
            column.name,
            _found(column.path, column.type),
            type=column.type,
            format=column.format,
            description=column.description,
            priority=column.priority,
        )
        for column in said.columns
    ]
    return (_NAME, *made)


def _found(path: str, wanted: str) -> Callable[[Json, datetime], Any]:
    """The first value at a JSONPath, as its column's type wants it; None for one of another type."""

    def cell(obj: Json, now: datetime) -> Any:
        value = next(iter(jsonpath.values(obj, path)), None)
        if value is None:
            return None
        match wanted:
            case "string":
                return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            case "date":
                return _since_or_invalid(value, now)
            case "boolean":
                return value if isinstance(value, bool) else None
            case _ if isinstance(value, bool) or not isinstance(value, (int, float)):
                return None
            case "integer":
                return int(value)
            case _:
                return value

    return cell


def _since_or_invalid(value: Any, now: datetime) -> str:
    try:
        return since(str(value), now)
    except ValueError:
        return "<invalid>"


def _number(name: str, path: str, *, wide: bool = False) -> Column:
    return Column(name, _at(path, 0), wide, "integer")


def _count(field: str) -> Callable[[Json, datetime], int]:
    return lambda obj, _now: len(obj.get(field) or ())


def _selector(selector: Json | None) -> str:
    """A label selector in the words of a command line."""
    if selector is None:
        return "<none>"
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for item in selector.get("matchExpressions") or ():
        values = ",".join(item.get("values") or ())
        word = {"In": f"{item['key']} in ({values})", "NotIn": f"{item['key']} notin ({values})", "Exists": item["key"]}
        parts.append(word.get(item["operator"], f"!{item['key']}"))
    return ",".join(parts) or "<none>"


def _template(field: str, path: str = "template") -> Callable[[Json, datetime], str]:
    """The names or images of a workload's containers."""

    def cell(obj: Json, _now: datetime) -> str:
        value: Any = obj.get("spec") or {}
        for step in path.split("."):
            value = value.get(step) or {}
        containers = (value.get("spec") or {}).get("containers") or ()
        return ",".join(str(container.get(field, "")) for container in containers)

    return cell


def _node_status(node: Json, _now: datetime) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    states = ["Ready" if item["status"] == "True" else "NotReady" for item in conditions if item["type"] == "Ready"]
    if (node.get("spec") or {}).get("unschedulable"):
        states = [*(states or ["Unknown"]), "SchedulingDisabled"]
    return ",".join(states) or "Unknown"


def _node_roles(node: Json, _now: datetime) -> str:
    roles = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith("node-role.kubernetes.io/") and (role := key.partition("/")[2]):
            roles.add(role)
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or "<none>"


def _node_address(kind: str) -> Callable[[Json, datetime], str]:
    def cell(node: Json, _now: datetime) -> str:
        found = [
            item["address"] for item in (node.get("status") or {}).get("addresses") or () if item.get("type") == kind
        ]
        return str(found[0]) if found else "<none>"

    return cell


def _info(field: str) -> Callable[[Json, datetime], str]:
    return lambda node, _now: ((node.get("status") or {}).get("nodeInfo") or {}).get(field) or "<unknown>"


def _job_status(job: Json, _now: datetime) -> str:
    status = job.get("status") or {}
    true = {item["type"] for item in status.get("conditions") or () if item.get("status") == "True"}
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if kind in true:
            return word
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Running"


def _job_completions(job: Json, _now: datetime) -> str:
    spec, done = job["spec"], (job.get("status") or {}).get("succeeded", 0)
    if "completions" in spec:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(job: Json, now: datetime) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = parse(status["completionTime"]) if status.get("completionTime") else now
    return human((end - parse(status["startTime"])).total_seconds())


def _last_schedule(job: Json, now: datetime) -> str:
    last = (job.get("status") or {}).get("lastScheduleTime")
    return since(last, now) if last else "<none>"


def _ready_of(desired: str) -> Callable[[Json, datetime], str]:
    def cell(obj: Json, _now: datetime) -> str:
        return f"{(obj.get('status') or {}).get('readyReplicas', 0)}/{obj['spec'].get(desired, 0)}"

    return cell


def _service_ports(service: Json, _now: datetime) -> str:
    shown = []
    for port in service["spec"].get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _service_external(service: Json, _now: datetime) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = [item.get("ip") or item.get("hostname", "") for item in ingress] + list(spec.get("externalIPs") or ())
    return ",".join(found) or ("<pending>" if spec.get("type") == "LoadBalancer" else "<none>")


def _service_selector(service: Json, _now: datetime) -> str:
    return (
        ",".join(f"{key}={value}" for key, value in sorted((service["spec"].get("selector") or {}).items())) or "<none>"
    )


def _endpoint_addresses(endpoints: Json, _now: datetime) -> str:
    shown = []
    for subset in endpoints.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = [port["port"] for port in subset.get("ports") or ()] or [None]
            shown += [address["ip"] if port is None else f"{address['ip']}:{port}" for port in ports]
    more = f" + {len(shown) - 3} more..." if len(shown) > 3 else ""
    return (",".join(shown[:3]) + more) or "<none>"


def _event_seen(event: Json, now: datetime) -> str:
    last = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    series = event.get("series") or {}
    return since(series.get("lastObservedTime") or last, now)


def _event_first(event: Json, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _event_object(event: Json, _now: datetime) -> str:
    involved = event.get("involvedObject") or {}
    return (
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"
        if involved.get("name")
        else involved.get("kind", "").lower()
    )


def _event_source(event: Json, _now: datetime) -> str:
    source = event.get("source") or {}
    parts = [
        source.get("component") or event.get("reportingComponent", ""),
        source.get("host") or event.get("reportingInstance", ""),
    ]
    return ", ".join(part for part in parts if part)


def _event_count(event: Json, _now: datetime) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def _keys(obj: Json, _now: datetime) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def _request_state(request: Json, _now: datetime) -> str:
    status = request.get("status") or {}
    states = [
        item["type"] for item in status.get("conditions") or () if item.get("type") in ("Approved", "Denied", "Failed")
    ]
    shown = states or ["Pending"]
    return ",".join([*shown, "Issued"] if status.get("certificate") and states else shown)


_NAME = Column("Name", _at("metadata.name"))
_AGE = Column("Age", _age)
_PLAIN = (_NAME, Column("Created At", _at("metadata.creationTimestamp"), type="date"))


def _workload(*middle: Column, path: str = "template") -> tuple[Column, ...]:
    return (
        _NAME,
        *middle,
        _AGE,
        Column("Containers", _template("name", path), wide=True),
        Column("Images", _template("image", path), wide=True),
        Column("Selector", lambda obj, _now: _selector((obj.get("spec") or {}).get("selector")), wide=True),
    )


_HOOKS = (_NAME, Column("Webhooks", _count("webhooks"), type="integer"), _AGE)

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(part: str) -> Callable[[Json, datetime], str]:
    """Access modes in the order of `_MODES`, whatever the object's own."""

    def cell(obj: Json, _now: datetime) -> str:
        modes = (obj.get(part) or {}).get("accessModes") or ()
        return ",".join(short for mode, short in _MODES.items() if mode in modes)

    return cell


def _phase(obj: Json, _now: datetime) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else (obj.get("status") or {}).get("phase", "")


def _claim(volume: Json, _now: datetime) -> str:
    reference = volume["spec"].get("claimRef")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else ""


def _class(obj: Json, _now: datetime) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get("volume.beta.kubernetes.io/storage-class", obj["spec"].get("storageClassName") or ""))


def _class_name(item: Json, _now: datetime) -> str:
    annotations, name = item["metadata"].get("annotations") or {}, item["metadata"]["name"]
    is_usual = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{name} (default)" if is_usual else str(name)


def _node_selector(obj: Json, _now: datetime) -> str:
    spec = (obj["spec"].get("template") or {}).get("spec") or {}
    return ",".join(f"{key}={value}" for key, value in sorted((spec.get("nodeSelector") or {}).items())) or "<none>"


def _role(binding: Json, _now: datetime) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _used(resource: str) -> Callable[[Json, datetime], str]:
    """What a node uses, or the containers of a pod together."""

    def cell(obj: Json, _now: datetime) -> str:
        usages = [obj["usage"]] if "usage" in obj else [item["usage"] for item in obj["containers"]]
        total = sum((quantity.parse(usage[resource]) for usage in usages), quantity.parse("0"))
        return quantity.canonical(f"{int(total * 10**9)}n") if resource == "cpu" else f"{int(total / 1024)}Ki"

    return cell


_USAGE = (_NAME, Column("cpu", _used("cpu")), Column("memory", _used("memory")), Column("Window", _at("window")))

COLUMNS: dict[str, tuple[Column, ...]] = {
    "Pod": (
        _NAME,
        Column("Ready", podtable.ready),
        Column("Status", podtable.status),
        Column("Restarts", podtable.restarts),
        _AGE,
        Column("IP", podtable.address, wide=True),
        Column("Node", _at("spec.nodeName", "<none>"), wide=True),
        Column("Nominated Node", _at("status.nominatedNodeName", "<none>"), wide=True),
        Column("Readiness Gates", podtable.gates, wide=True),
    ),
    "Node": (
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion")),
        Column("Internal-IP", _node_address("InternalIP"), wide=True),
        Column("External-IP", _node_address("ExternalIP"), wide=True),
        Column("OS-Image", _info("osImage"), wide=True),
        Column("Kernel-Version", _info("kernelVersion"), wide=True),
        Column("Container-Runtime", _info("containerRuntimeVersion"), wide=True),
    ),
    "Namespace": (_NAME, Column("Status", _at("status.phase")), _AGE),
    "Service": (
        _NAME,
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP", "<none>")),
        Column("External-IP", _service_external),
        Column("Port(s)", _service_ports),
        _AGE,
        Column("Selector", _service_selector, wide=True),
    ),
    "Endpoints": (_NAME, Column("Endpoints", _endpoint_addresses), _AGE),
    "ConfigMap": (_NAME, Column("Data", _keys), _AGE),
    "Secret": (_NAME, Column("Type", _at("type")), Column("Data", _keys), _AGE),
    "ServiceAccount": (_NAME, Column("Secrets", _count("secrets"), type="integer"), _AGE),
    "Event": (
        Column("Last Seen", _event_seen),
        Column("Type", _at("type")),
        Column("Reason", _at("reason")),
        Column("Object", _event_object),
        Column("Subobject", _at("involvedObject.fieldPath"), wide=True),
        Column("Source", _event_source, wide=True),
        Column("Message", lambda event, _now: str(event.get("message", "")).strip()),
        Column("First Seen", _event_first, wide=True),
        Column("Count", _event_count, wide=True),
        Column("Name", _at("metadata.name"), wide=True),
    ),
    "PersistentVolume": (
        _NAME,
        Column("Capacity", _at("spec.capacity.storage")),
        Column("Access Modes", _modes("spec")),
        Column("Reclaim Policy", _at("spec.persistentVolumeReclaimPolicy")),
        Column("Status", _phase),
        Column("Claim", _claim),
        Column("StorageClass", _class),
        Column("VolumeAttributesClass", _at("spec.volumeAttributesClassName", "<unset>")),
        Column("Reason", _at("status.reason")),
        _AGE,
        Column("VolumeMode", _at("spec.volumeMode"), wide=True),
    ),
    "StorageClass": (
        Column("Name", _class_name),
        Column("Provisioner", _at("provisioner")),
        Column("ReclaimPolicy", _at("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", _at("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", _at("allowVolumeExpansion", False)),
        _AGE,
    ),
    "PersistentVolumeClaim": (
        _NAME,
        Column("Status", _phase),
        Column("Volume", _at("spec.volumeName")),
        Column("Capacity", _at("status.capacity.storage")),
        Column("Access Modes", _modes("status")),
        Column("StorageClass", _class),
        Column("VolumeAttributesClass", _at("spec.volumeAttributesClassName", "<unset>")),
        _AGE,
        Column("VolumeMode", _at("spec.volumeMode"), wide=True),
    ),
    "Lease": (_NAME, Column("Holder", _at("spec.holderIdentity")), _AGE),
    "Job": _workload(
        Column("Status", _job_status), Column("Completions", _job_completions), Column("Duration", _job_duration)
    ),
    "CronJob": _workload(
        Column("Schedule", _at("spec.schedule")),
        Column("Timezone", _at("spec.timeZone", "<none>")),
        Column("Suspend", lambda job, _now: str(bool(job["spec"].get("suspend")))),
        Column("Active", lambda job, _now: len((job.get("status") or {}).get("active") or ()), type="integer"),
        Column("Last Schedule", _last_schedule),
        path="jobTemplate.spec.template",
    ),
    "Deployment": _workload(
        Column("Ready", _ready_of("replicas")),
        _number("Up-to-date", "status.updatedReplicas"),
        _number("Available", "status.availableReplicas"),
    ),
    "ReplicaSet": _workload(
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
    ),
    "StatefulSet": _workload(Column("Ready", _ready_of("replicas"))),
    "DaemonSet": _workload(
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        Column("Node Selector", _node_selector),
    ),
    "PriorityClass": (
        _NAME,
        _number("Value", "value"),
        Column("Global-Default", lambda item, _now: bool(item.get("globalDefault")), type="boolean"),
        _AGE,
        Column("PreemptionPolicy", _at("preemptionPolicy"), wide=False),
    ),
    "MutatingWebhookConfiguration": _HOOKS,
    "ValidatingWebhookConfiguration": _HOOKS,
    "PodDisruptionBudget": (
        _NAME,
        Column("Min Available", _at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", _at("spec.maxUnavailable", "N/A")),
        _number("Allowed Disruptions", "status.disruptionsAllowed"),
        _AGE,
    ),
    "NodeMetrics": _USAGE,
    "PodMetrics": _USAGE,
    "RoleBinding": (_NAME, Column("Role", _role), _AGE),
    "ClusterRoleBinding": (_NAME, Column("Role", _role), _AGE),
    "CertificateSigningRequest": (
        _NAME,
        _AGE,
        Column("SignerName", _at("spec.signerName")),
        Column("Requestor", _at("spec.username")),
        Column("Condition", _request_state),
    ),
}
