"""Groups as the API shows them. Pure: a group and the time in, JSON-ready dicts out.

DescribeContainerGroups has PascalCase keys. For DescribeContainerGroupStatus and -Events the reference and the vendor's
own unmarshallers disagree about the casing, so each item is given in both spellings; PascalCase there is, oddities and
all, what the newer official SDK reads.
"""

import hashlib
from functools import lru_cache
from typing import Any

from fakes.cloud.clock import iso_time
from fakes.cloud.events import Event
from fakes.cloud.group import (
    CONTAINER_RUNNING,
    FAILED,
    POD_PHASE,
    SCHEDULE_FAILED,
    SCHEDULING,
    SUCCEEDED,
    TERMINATED,
    Container,
    Group,
    Run,
)
from fakes.cloud.parameters import Json

_GLUED_VOLUME_MEMBERS = {
    "EmptyDirVolume": ("Medium", "SizeLimit"),
    "NFSVolume": ("Server", "Path", "ReadOnly"),
    "FlexVolume": ("Driver", "FsType", "Options"),
    "DiskVolume": ("DiskId", "FsType"),
}


def listed_group(group: Group, *, with_events: bool) -> Json:
    """One item of DescribeContainerGroups."""
    spec = group.spec
    dns = spec.get("DnsConfig", {})
    return {
        "ContainerGroupId": group.id,
        "ContainerGroupName": group.name,
        "RegionId": group.region,
        "ZoneId": group.zone,
        "VpcId": "vpc-fake",
        "VSwitchId": spec.get("VSwitchId", "").split(",")[0] or "vsw-default",
        "SecurityGroupId": spec.get("SecurityGroupId", "") or "sg-default",
        "ResourceGroupId": spec.get("ResourceGroupId", "") or "rg-default",
        "Status": group.status,
        "RestartPolicy": group.restart_policy,
        "Cpu": group.cpu,
        "Memory": group.memory_gib,
        "InstanceType": spec.get("InstanceType", ""),
        "ComputeCategory": (spec.get("ComputeCategory") or ["general"])[0],
        "EphemeralStorage": spec.get("EphemeralStorage", 0),
        "IntranetIp": group.ip,
        "InternetIp": _public_address(group),
        "Ipv6Address": f"fd00:ec1::{group.seq:x}" if group.ip and spec.get("Ipv6AddressCount") else "",
        "EniInstanceId": f"eni-{group.id[4:]}" if group.ip else "",
        "Discount": 0,
        "CreationTime": iso_time(group.created_at),
        "SucceededTime": iso_time(group.ended_at) if group.status == SUCCEEDED else "",
        "FailedTime": iso_time(group.ended_at) if group.status in (FAILED, SCHEDULE_FAILED) else "",
        "ExpiredTime": iso_time(group.ended_at) if group.status == "Expired" else "",
        "SpotStrategy": spec.get("SpotStrategy", "NoSpot"),
        "SpotPriceLimit": spec.get("SpotPriceLimit", 0.0),
        "RamRoleName": spec.get("RamRoleName", ""),
        "Tags": [{"Key": key, "Value": value} for key, value in group.tags.items()],
        "DnsConfig": {
            "NameServers": dns.get("NameServer", []),
            "Searches": dns.get("Search", []),
            "Options": dns.get("Option", []),
        },
        "HostAliases": [
            {"Ip": item.get("Ip", ""), "Hostnames": item.get("Hostname", [])} for item in spec.get("HostAliase", [])
        ],
        "EciSecurityContext": {"Sysctls": spec.get("SecurityContext", {}).get("Sysctl", [])},
        "Containers": [_container(item) for item in group.containers],
        "InitContainers": [_init_container(item) for item in group.init_containers],
        "Volumes": [_volume(item) for item in spec.get("Volume", [])],
        "Events": [event.as_listed() for event in group.events] if with_events else [],
    }


def _public_address(group: Group) -> str:
    """An address of the range for documentation; it leads nowhere."""
    has_one = group.spec.get("AutoCreateEip") or group.spec.get("EipInstanceId")
    return f"203.0.113.{group.seq % 254 + 1}" if group.ip and has_one else ""


def group_status(group: Group) -> Json:
    """One item of DescribeContainerGroupStatus, in both spellings."""
    conditions = _conditions(group)
    phase, qos = POD_PHASE[group.status], _qos(group)
    statuses = [_container_status(item) for item in group.containers]
    started = iso_time(group.pending_at)
    camel = {
        "phase": phase,
        "hostIP": group.ip,
        "podIP": group.ip,
        "podIPs": [{"ip": group.ip}] if group.ip else [],
        "qosClass": qos,
        "startTime": started,
        "conditions": conditions,
        "containerStatuses": [camel for camel, _ in statuses],
    }
    pascal = {
        "Phase": phase,
        "HostIp": group.ip,
        "PodIp": group.ip,
        "PodIps": [{"Ip": group.ip}] if group.ip else [],
        "QosClass": qos,
        "StartTime": started,
        "Conditions": [_both(item) for item in conditions],
        "ContainerStatuses": [pascal for _, pascal in statuses],
    }
    return {**_identity(group), "status": group.status, "Status": group.status, "podStatus": camel, "PodStatus": pascal}


def group_events(group: Group, source: str) -> Json:
    """One item of DescribeContainerGroupEvents, in both spellings; source filters, empty is both."""
    events = [_event(group, event) for event in group.events if source in ("", event.source)]
    return {**_identity(group), "events": events, "Events": list(map(_pascal_event, events))}


def _identity(group: Group) -> Json:
    # Namespace, pod UID and annotations cannot be given at creation, so the service does not know them.
    names = {"name": group.name, "namespace": "default", "annotations": "{}"}
    return {**_both({"containerGroupId": group.id, **names}), "uuid": _uuid(group.id)}


@lru_cache(maxsize=20_000)
def _uuid(group_id: str) -> str:
    digits = hashlib.md5(group_id.encode(), usedforsecurity=False).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _both(camel: Json) -> Json:
    return {**camel, **_spelled(camel)}


def _spelled(camel: Json) -> Json:
    return {_pascal(key): value for key, value in camel.items()}


@lru_cache(maxsize=200)
def _pascal(key: str) -> str:
    return f"{key[0].upper()}{key[1:]}"


@lru_cache(maxsize=1000)
def _image_id(image: str) -> str:
    return f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _container(container: Container) -> Json:
    spec = container.spec
    return {
        **_common(container),
        "Commands": spec.get("Command", []),
        "Args": spec.get("Arg", []),
        "Stdin": spec.get("Stdin", False),
        "StdinOnce": spec.get("StdinOnce", False),
        "Tty": spec.get("Tty", False),
        "LivenessProbe": _probe(spec.get("LivenessProbe")),
        "ReadinessProbe": _probe(spec.get("ReadinessProbe")),
        "EnvironmentVars": [] if spec.get("EnvironmentVarHide") else _variables(container),
        "VolumeMounts": [{**_mount(item), "SubPath": item.get("SubPath", "")} for item in spec.get("VolumeMount", [])],
    }


def _init_container(container: Container) -> Json:
    return {
        **_common(container),
        "Command": container.spec.get("Command", []),
        "Args": container.spec.get("Arg", []),
        "EnvironmentVars": _variables(container),
        "VolumeMounts": [_mount(item) for item in container.spec.get("VolumeMount", [])],
    }


def _common(container: Container) -> Json:
    spec = container.spec
    security = spec.get("SecurityContext", {})
    return {
        "Name": container.name,
        "Image": container.image,
        "Cpu": spec.get("Cpu", 0.0),
        "Memory": spec.get("Memory", 0.0),
        "Gpu": spec.get("Gpu", 0),
        "ImagePullPolicy": spec.get("ImagePullPolicy", ""),
        "WorkingDir": spec.get("WorkingDir", ""),
        "Ready": container.ready,
        "RestartCount": container.restarts,
        "Ports": [{"Port": item.get("Port"), "Protocol": item.get("Protocol", "TCP")} for item in spec.get("Port", [])],
        "SecurityContext": {
            "ReadOnlyRootFilesystem": security.get("ReadOnlyRootFilesystem", False),
            "Capability": {"Adds": security.get("Capability", {}).get("Add", [])},
            **({"RunAsUser": security["RunAsUser"]} if "RunAsUser" in security else {}),
        },
        "CurrentState": _current_state(container),
        "PreviousState": _ended(_previous(container)),
    }


def _variables(container: Container) -> list[Json]:
    return [
        {
            "Key": item["Key"],
            "Value": item.get("Value", ""),
            "ValueFrom": {"FieldRef": {"FieldPath": item.get("FieldRef", {}).get("FieldPath", "")}},
        }
        for item in container.spec.get("EnvironmentVar", [])
    ]


def _mount(item: Json) -> Json:
    return {
        "Name": item["Name"],
        "MountPath": item["MountPath"],
        "ReadOnly": item.get("ReadOnly", False),
        "MountPropagation": item.get("MountPropagation", "None"),
    }


def _probe(probe: Json | None) -> Json:
    if not probe:
        return {}
    http, tcp = probe.get("HttpGet", {}), probe.get("TcpSocket", {})
    return {
        "InitialDelaySeconds": probe.get("InitialDelaySeconds", 0),
        "PeriodSeconds": probe.get("PeriodSeconds", 10),
        "TimeoutSeconds": probe.get("TimeoutSeconds", 1),
        "SuccessThreshold": probe.get("SuccessThreshold", 1),
        "FailureThreshold": probe.get("FailureThreshold", 3),
        "HttpGet": {"Path": http.get("Path", ""), "Port": http.get("Port", 0), "Scheme": http.get("Scheme", "")},
        "TcpSocket": {"Host": "", "Port": tcp.get("Port", 0)},
        "Execs": probe.get("Exec", {}).get("Command", []),
    }


def _volume(volume: Json) -> Json:
    kind = volume["Type"]
    view = {"Name": volume["Name"], "Type": kind}
    if kind == "ConfigFileVolume":
        files = volume.get(kind, {}).get("ConfigFileToPath", [])
        view["ConfigFileVolumeConfigFileToPaths"] = [
            {"Path": item["Path"], "Content": item.get("Content", "")} for item in files
        ]
    for member in _GLUED_VOLUME_MEMBERS.get(kind, ()):
        view[f"{kind}{member}"] = volume.get(kind, {}).get(member, False if member == "ReadOnly" else "")
    return view


def _current_state(container: Container) -> Json:
    if container.state == CONTAINER_RUNNING:
        return {"State": container.state, "DetailStatus": "", "StartTime": iso_time(container.started_at)}
    if container.state == TERMINATED:
        return _ended(container.last)
    return {
        "State": container.state,
        "Reason": container.reason,
        "Message": container.message,
        "DetailStatus": container.reason,
    }


def _previous(container: Container) -> Run | None:
    return container.previous if container.state == TERMINATED else container.last


def _ended(run: Run | None) -> Json:
    if run is None:
        return {}
    return {
        "State": TERMINATED,
        "ExitCode": run.exit.code,
        "Signal": run.exit.signal,
        "Reason": run.reason,
        "Message": run.exit.message,
        "DetailStatus": run.reason,
        "StartTime": iso_time(run.started_at),
        "FinishTime": iso_time(run.finished_at),
    }


def _container_status(container: Container) -> tuple[Json, Json]:
    """The kubelet-like status in lowerCamelCase, and in the newer SDK's spelling."""
    image_id = _image_id(container.image)
    running = container.state == CONTAINER_RUNNING
    state, last = _camel_state(container), _camel_ended(_previous(container))
    common: dict[str, Any] = {"name": container.name, "image": container.image, "imageID": image_id}
    common |= {"ready": container.ready, "started": running, "restartCount": container.restarts}
    return (
        {**common, "state": state, "lastState": last},
        {**_spelled(common), "State": _pascal_state(state), "LastState": _pascal_state(last)},
    )


def _camel_state(container: Container) -> Json:
    if container.state == CONTAINER_RUNNING:
        return {"running": {"startedAt": iso_time(container.started_at)}}
    if container.state == TERMINATED:
        return _camel_ended(container.last)
    return {"waiting": {"reason": container.reason, "message": container.message}}


def _camel_ended(run: Run | None) -> Json:
    if run is None:
        return {}
    digest = hashlib.sha256(repr(run).encode()).hexdigest()
    return {
        "terminated": {
            "containerID": f"containerd://{digest}",
            "exitCode": run.exit.code,
            "signal": run.exit.signal,
            "reason": run.reason,
            "message": run.exit.message,
            "startedAt": iso_time(run.started_at),
            "finishedAt": iso_time(run.finished_at),
        }
    }


def _pascal_state(state: Json) -> Json:
    view = {}
    for kind, members in state.items():
        pascal = _spelled(members)
        if kind == "running":
            pascal["StartedAtstartedAt"] = members["startedAt"]  # the newer SDK's own spelling
        view[_pascal(kind)] = pascal
    return view


def _conditions(group: Group) -> list[Json]:
    placed = group.status not in (SCHEDULING, SCHEDULE_FAILED)
    ready = bool(group.containers) and all(container.ready for container in group.containers)
    initialized = all(init.last is not None and init.last.exit.code == 0 for init in group.init_containers)
    created_reason = (
        "Creating" if group.status == SCHEDULING else group.reason if group.status == SCHEDULE_FAILED else ""
    )
    done = "PodCompleted" if group.status == SUCCEEDED else "ContainersNotReady"
    rows = [
        ("ContainerInstanceCreated", placed, created_reason, group.message if not placed else "", group.pending_at),
        ("PodScheduled", placed, "", "", group.pending_at),
        (
            "Initialized",
            placed and initialized,
            "" if initialized else "ContainersNotInitialized",
            "",
            group.pending_at,
        ),
        ("Ready", ready, "" if ready else done, "", _readiness_changed(group, ready=ready)),
        ("ContainersReady", ready, "" if ready else done, "", _readiness_changed(group, ready=ready)),
    ]
    if group.release_announced_at is not None:
        rows.append(("ContainerInstanceExpired", True, "SpotToBeReleased", "", group.release_announced_at))
    return [
        {
            "type": kind,
            "status": "True" if true else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": iso_time(when or group.created_at),
        }
        for kind, true, reason, message, when in rows
    ]


def _readiness_changed(group: Group, *, ready: bool) -> float | None:
    if ready:
        times = [container.started_at for container in group.containers]
    else:
        times = [container.last.finished_at for container in group.containers if container.last is not None]
    return max((when for when in times if when is not None), default=group.pending_at)


def _qos(group: Group) -> str:
    sized = [item for item in group.containers if item.spec.get("Cpu") and item.spec.get("Memory")]
    return "Guaranteed" if len(sized) == len(group.containers) else "Burstable" if sized else "BestEffort"


def _event(group: Group, event: Event) -> Json:
    component = "kubelet" if event.source == "K8sAgent" else "EciService"
    return {
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "firstTimestamp": iso_time(event.first),
        "lastTimestamp": iso_time(event.last),
        "reportingComponent": component,
        "reportingInstance": group.id,
        "source": {"component": component, "host": group.id},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": group.name,
            "namespace": "default",
            "uid": group.id,
        },
        "metadata": {"name": event.name, "namespace": "default"},
    }


def _pascal_event(camel: Json) -> Json:
    pascal = _spelled(camel)
    pascal["Source"], pascal["Metadata"] = _spelled(camel["source"]), _spelled(camel["metadata"])
    del pascal["InvolvedObject"]
    pascal["involvedObject"] = _spelled(camel["involvedObject"])
    return pascal
