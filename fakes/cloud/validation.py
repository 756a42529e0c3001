"""What CreateContainerGroup refuses, and with which code. Pure: decoded parameters in, ApiError or nothing out.

Limits are the documented ones. Two are not enforced although the reference prints them, since nobody saw the service
do it: the 256 characters of an environment value and of a command item.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from fakes.cloud import sizes, storage
from fakes.cloud.errors import ApiError, invalid, missing, out_of_range, too_long
from fakes.cloud.parameters import Json

GROUP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,126}[a-z0-9])")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")  # the vendor's examples have dots and dashes
MODE = re.compile(r"0?[0-7]{3,4}")
FILE_LIMIT_BYTES = 32 * 1024
CHOICES: dict[str, tuple[str, ...]] = {
    "RestartPolicy": ("Always", "OnFailure", "Never"),
    "ScheduleStrategy": ("VSwitchOrdered", "VSwitchRandom"),
    "SpotStrategy": ("NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"),
    "CpuArchitecture": ("AMD64", "ARM64"),
    "OsType": ("Linux", "Windows"),
    "DnsPolicy": ("Default", "None"),
    "EciFailStrategy": ("fail-back", "fail-over", "fail-fast"),
    "ImageAccelerateMode": ("nydus", "dadi", "p2p", "imc"),
    "EipISP": ("BGP", "BGP_PRO"),
}
VOLUME_TYPES = ("EmptyDirVolume", "ConfigFileVolume", "NFSVolume", "FlexVolume", "HostPathVolume", "DiskVolume")
# The exceptions under `net.` are published nowhere, so none is made.
HOST_SYSCTL = re.compile(r"kernel\.(shm(?!_rmid_forced$)|msg)[a-z_]+|kernel\.sem|fs\.mqueue\.[a-z_]+|net\.[\w.\-/]+")
MAX_ID = 2**31 - 1
SAFE_SYSCTLS = ("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start")


def check_group(group: Json) -> None:
    """Raise the ApiError of the first fault in the decoded parameters of a creation."""
    if not group.get("ContainerGroupName"):
        raise missing("ContainerGroupName")
    if not GROUP_NAME.fullmatch(group["ContainerGroupName"]):
        raise invalid("ContainerGroupName", "2 to 128 of a-z, 0-9 and '-', with no '-' at either end")
    for name, allowed in CHOICES.items():
        _one_of(group, name, allowed)
    if not group.get("Container"):
        raise missing("Container.1.Name")
    _count(group, "Container", 20)
    _count(group, "InitContainer", 20)
    _count(group, "Volume", 20)
    for name in ("ActiveDeadlineSeconds", "TerminationGracePeriodSeconds", "EphemeralStorage", "SpotDuration"):
        if group.get(name, 0) < 0:
            raise out_of_range(name, "it is not negative")
    if group.get("EphemeralStorage", 0) > 5000:
        raise out_of_range("EphemeralStorage", "0 to 5000 GiB")
    check_tags(group.get("Tag", []))
    check_spot(group)
    _check_network(group)
    _check_volumes(group)
    _check_logins(group)
    _check_containers(group)


def check_tags(tags: list[Json], *, limit: int = 20) -> None:
    if len(tags) > limit:
        raise ApiError("NumberExceed.Tags", f"The maximum number of tags is exceeded; at most {limit} are allowed.")
    for number, tag in enumerate(tags, 1):
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not key:
            raise missing(f"Tag.{number}.Key")
        if len(key) > 64:
            raise too_long(f"Tag.{number}.Key", "64 characters")
        if len(value) > 128:
            raise too_long(f"Tag.{number}.Value", "128 characters")
        if key.startswith(("aliyun", "acs:")):
            raise invalid(f"Tag.{number}.Key", "it may not begin with aliyun or acs:")
        if any(scheme in text for text in (key, value) for scheme in ("http://", "https://")):
            raise invalid(f"Tag.{number}", "it may not contain http:// or https://")
    _unique((tag["Key"] for tag in tags), "InvalidParameter", "tag key")


def check_spot(group: Mapping[str, Any]) -> None:
    strategy, limit = group.get("SpotStrategy", "NoSpot"), group.get("SpotPriceLimit")
    if strategy == "SpotWithPriceLimit":
        if limit is None:
            raise missing("SpotPriceLimit")
        if limit <= 0 or round(limit, 3) != limit:
            raise invalid("SpotPriceLimit", "a price per hour over 0, with at most three decimals")


def group_size(group: Json) -> tuple[float, float]:
    """vCPU and GiB that will be billed. Raises ApiError when no such size is on sale or the containers do not fit."""
    region, spot = group["RegionId"], group.get("SpotStrategy", "NoSpot") != "NoSpot"
    cpu, memory = _containers_need(group)
    _check_gpus(group)
    if group.get("InstanceType"):
        size = sizes.of_instance_types(group["InstanceType"].split(","))
    elif "Cpu" in group or "Memory" in group:
        for name in ("Cpu", "Memory"):
            if name not in group:
                raise missing(name)
        size = sizes.exact(group["Cpu"], group["Memory"], region=region, spot=spot)
    else:
        size = sizes.round_up(cpu, memory, region=region, spot=spot)
    if not (sizes.fits(cpu, size[0]) and sizes.fits(memory, size[1])):
        message = (
            f"The containers need {cpu:g} vCPU and {memory:g} GiB, more than the group's {size[0]:g} and {size[1]:g}."
        )
        raise ApiError("InvalidParameter.CPU.Memory", message)
    return size


def _check_gpus(group: Json) -> None:
    """GPUs come with types that have them."""
    needed = sum(item.get("Gpu", 0) for item in group["Container"])
    there = sizes.gpus_of_instance_types(group.get("InstanceType", "").split(","))
    if needed > there:
        raise invalid("Container.Gpu", f"the containers ask for {needed} GPUs and the instance type has {there}")


def _containers_need(group: Json) -> tuple[float, float]:
    """The sum of the containers, or the largest init container if that is more."""
    counted = [item for item in group["Container"] if environment(item).get("__ECI_RESOURCE_IGNORE__") != "TRUE"]
    init = group.get("InitContainer", [])
    cpu = max([sum(item.get("Cpu", 0.0) for item in counted), *(item.get("Cpu", 0.0) for item in init)])
    memory = max([sum(item.get("Memory", 0.0) for item in counted), *(item.get("Memory", 0.0) for item in init)])
    return cpu, memory


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """The plain variables of a container; field references have no value yet."""
    return {
        item["Key"]: item.get("Value", "") for item in container.get("EnvironmentVar", []) if "FieldRef" not in item
    }


def file_bytes(item: Mapping[str, Any], name: str) -> bytes:
    """The content of one config file. Raises ApiError when it is no base64 or over 32 KiB."""
    try:
        content = base64.b64decode(item.get("Content", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{name}.Content", "it is base64") from error
    if len(content) > FILE_LIMIT_BYTES:
        raise too_long(f"{name}.Content", "32 KB")
    return content


def _check_network(group: Json) -> None:
    for name in group.get("ComputeCategory", []):
        if name not in ("economy", "general"):
            raise invalid("ComputeCategory", "economy or general")
    if group.get("EipInstanceId") and group.get("AutoCreateEip"):
        raise invalid("EipInstanceId", "not together with AutoCreateEip")
    for name, low, high in (("EipBandwidth", 1, 1000), ("CpuOptionsCore", 0, 1000), ("Ipv6AddressCount", 0, 1)):
        if not low <= group.get(name, low) <= high:
            raise out_of_range(name, f"{low} to {high}")
    _count(group, "NtpServer", 20)
    _count(group, "AcrRegistryInfo", 20)
    if group.get("CorePattern", "").startswith("|"):
        raise invalid("CorePattern", "a path")
    if len(group.get("VSwitchId", "").split(",")) > 10:
        raise too_long("VSwitchId", "10 vSwitches")
    if len(group.get("SecurityGroupId", "").split(",")) > 5:
        raise too_long("SecurityGroupId", "5 security groups")
    for name in ("NameServer", "Search", "Option"):
        _count(group.get("DnsConfig", {}), name, 20)
    _count(group, "HostAliase", 100)
    for number, alias in enumerate(group.get("HostAliase", []), 1):
        if not alias.get("Ip"):
            raise missing(f"HostAliase.{number}.Ip")
        _count(alias, "Hostname", 50, f"HostAliase.{number}")
    _check_sysctls(group)


def _check_sysctls(group: Json) -> None:
    for number, sysctl in enumerate(group.get("SecurityContext", {}).get("Sysctl", []), 1):
        if sysctl.get("Name") not in SAFE_SYSCTLS:
            raise invalid(f"SecurityContext.Sysctl.{number}.Name", f"one of {', '.join(SAFE_SYSCTLS)}")
    for number, sysctl in enumerate(group.get("HostSecurityContext", {}).get("Sysctl", []), 1):
        if not HOST_SYSCTL.fullmatch(sysctl.get("Name", "")):
            raise invalid(f"HostSecurityContext.Sysctl.{number}.Name", "kernel.shm*, msg*, sem, fs.mqueue.* or net.*")


def _check_logins(group: Json) -> None:
    logins = group.get("ImageRegistryCredential", [])
    _count(group, "ImageRegistryCredential", 10)
    for number, login in enumerate(logins, 1):
        label = f"ImageRegistryCredential.{number}"
        for name in ("Server", "UserName"):
            if not login.get(name):
                raise missing(f"{label}.{name}")
        if "://" in login["Server"]:
            raise invalid(f"{label}.Server", "a registry without http:// or https://")
    # Unknown of the service: which of two logins it would take. Here it takes none, so that nobody builds on it.
    _unique((login["Server"] for login in logins), "InvalidParameter", "registry")


def _check_volumes(group: Json) -> None:
    volumes = group.get("Volume", [])
    for number, volume in enumerate(volumes, 1):
        label = f"Volume.{number}"
        for name in ("Name", "Type"):
            if not volume.get(name):
                raise missing(f"{label}.{name}")
        _one_of(volume, "Type", VOLUME_TYPES, label)
        _check_volume(volume, label, group.get("RamRoleName", ""))
    _unique((volume["Name"] for volume in volumes), "InvalidParameter.DuplicatedVolumeName", "volume name")


def _check_volume(volume: Json, label: str, role: str) -> None:
    if volume["Type"] == "HostPathVolume":
        raise ApiError("Forbidden.OnlyForInvitedTest", "HostPathVolume is open to invited users only.", 403)
    if volume["Type"] in ("NFSVolume", "FlexVolume"):
        storage.check(volume, label, role=role)
    if volume["Type"] == "ConfigFileVolume":
        _check_config_files(volume.get("ConfigFileVolume", {}), f"{label}.ConfigFileVolume")


def _check_config_files(config: Json, label: str) -> None:
    files = config.get("ConfigFileToPath", [])
    if len(files) > 90:
        raise too_long(f"{label}.ConfigFileToPath", "90 files")
    _check_mode(config.get("DefaultMode"), f"{label}.DefaultMode")
    for number, item in enumerate(files, 1):
        name = f"{label}.ConfigFileToPath.{number}"
        path = item.get("Path", "")
        if not path:
            raise missing(f"{name}.Path")
        if path.startswith("/") or ".." in path.split("/"):
            raise invalid(f"{name}.Path", "a relative path that stays inside the volume")
        _check_mode(item.get("Mode"), f"{name}.Mode")
        file_bytes(item, name)
    _unique((item["Path"] for item in files), "InvalidParameter", "config file path")


def _check_mode(mode: str | None, name: str) -> None:
    if mode is not None and not MODE.fullmatch(mode):
        raise invalid(name, "octal digits such as 0644")


def _check_containers(group: Json) -> None:
    volumes = {volume["Name"] for volume in group.get("Volume", [])}
    named = [(f"Container.{n}", item) for n, item in enumerate(group["Container"], 1)]
    named += [(f"InitContainer.{n}", item) for n, item in enumerate(group.get("InitContainer", []), 1)]
    for label, container in named:
        for name in ("Name", "Image"):
            if not container.get(name):
                raise missing(f"{label}.{name}")
        _check_container(container, label, volumes)
    _unique((item["Name"] for _, item in named), "InvalidParameter.DuplicatedName", "container name")


def _check_container(container: Json, label: str, volumes: set[str]) -> None:
    if not GROUP_NAME.fullmatch(container["Name"]) and not re.fullmatch(r"[a-z0-9]", container["Name"]):
        raise invalid(f"{label}.Name", "lower-case letters, digits and '-'")
    if len(container["Image"]) > 255:
        raise too_long(f"{label}.Image", "255 characters")
    _one_of(container, "ImagePullPolicy", ("Always", "IfNotPresent", "Never"), label)
    for name in ("Cpu", "Memory", "Gpu"):
        if container.get(name, 0) < 0:
            raise out_of_range(f"{label}.{name}", "it is not negative")
    _count(container, "Command", 100, label)
    _count(container, "Arg", 100, label)
    _count(container, "EnvironmentVar", 240, label)
    if container.get("SecurityContextPrivileged"):
        raise ApiError("Forbidden.OnlyForInvitedTest", "Privileged containers are open to invited users only.", 403)
    for add in container.get("SecurityContext", {}).get("Capability", {}).get("Add", []):
        if add not in ("NET_ADMIN", "NET_RAW"):
            raise invalid(f"{label}.SecurityContext.Capability.Add", "only NET_ADMIN and NET_RAW can be added")
    _check_ids(container, label)
    _check_environment(container.get("EnvironmentVar", []), label)
    _check_mounts(container.get("VolumeMount", []), label, volumes)
    _check_ports(container.get("Port", []), label)
    for hook in ("PostStart", "PreStop"):
        _check_hook(container, f"Lifecycle{hook}Handler", label)
    for kind in ("LivenessProbe", "ReadinessProbe"):
        if container.get(kind):
            _check_probe(container[kind], f"{label}.{kind}", liveness=kind == "LivenessProbe")


def _check_ids(container: Json, label: str) -> None:
    security = container.get("SecurityContext", {})
    ids = {
        "SecurityContext.RunAsUser": security.get("RunAsUser", 0),
        "SecurityContextRunAsGroup": container.get("SecurityContextRunAsGroup", 0),
    }
    for name, number in ids.items():
        if not 0 <= number <= MAX_ID:
            raise out_of_range(f"{label}.{name}", f"0 to {MAX_ID}")
    if not security.get("ReadOnlyRootFilesystem", True):
        raise invalid(f"{label}.SecurityContext.ReadOnlyRootFilesystem", "only true")
    if not container.get("TerminationMessagePath", "/").startswith("/"):
        raise invalid(f"{label}.TerminationMessagePath", "an absolute path")
    _one_of(container, "TerminationMessagePolicy", ("File", "FallbackToLogsOnError"), label)


def _check_environment(variables: list[Json], label: str) -> None:
    for number, variable in enumerate(variables, 1):
        if not ENVIRONMENT_NAME.fullmatch(variable.get("Key", "")):
            said = "1 to 128 of A-Z, a-z, 0-9, _, - and ., the first a letter or _"
            raise invalid(f"{label}.EnvironmentVar.{number}.Key", said)
        if variable.get("FieldRef", {}).get("FieldPath", "status.podIP") != "status.podIP":
            raise invalid(f"{label}.EnvironmentVar.{number}.FieldRef.FieldPath", "only status.podIP")


def _check_mounts(mounts: list[Json], label: str, volumes: set[str]) -> None:
    for number, mount in enumerate(mounts, 1):
        name = f"{label}.VolumeMount.{number}"
        if mount.get("Name") not in volumes:
            raise invalid(f"{name}.Name", f"no volume {mount.get('Name', '')!r} is declared")
        if not mount.get("MountPath", "").startswith("/"):
            raise invalid(f"{name}.MountPath", "an absolute path")
        if ".." in mount.get("SubPath", "").split("/") or mount.get("SubPath", "").startswith("/"):
            raise invalid(f"{name}.SubPath", "a relative path that stays inside the volume")
    _unique((mount["MountPath"] for mount in mounts), "InvalidParameter", f"mount path in {label}")


def _check_ports(ports: list[Json], label: str) -> None:
    for number, port in enumerate(ports, 1):
        if not 1 <= port.get("Port", 0) <= 65535:
            raise out_of_range(f"{label}.Port.{number}.Port", "1 to 65535")
        _one_of(port, "Protocol", ("TCP", "UDP"), f"{label}.Port.{number}")


def _check_probe(probe: Json, label: str, *, liveness: bool) -> None:
    if sum(name in probe for name in ("HttpGet", "TcpSocket", "Exec")) != 1:
        raise invalid(label, "exactly one of HttpGet, TcpSocket and Exec")
    for name in ("PeriodSeconds", "TimeoutSeconds", "SuccessThreshold", "FailureThreshold"):
        if probe.get(name, 1) < 1:
            raise out_of_range(f"{label}.{name}", "at least 1")
    if liveness and probe.get("SuccessThreshold", 1) != 1:
        raise invalid(f"{label}.SuccessThreshold", "it is 1 for a liveness probe")

    if probe.get("InitialDelaySeconds", 0) < 0:
        raise out_of_range(f"{label}.InitialDelaySeconds", "it is not negative")
    _count(probe.get("Exec", {}), "Command", 20, f"{label}.Exec")
    for name in ("HttpGet", "TcpSocket"):
        if name in probe:
            _check_target(probe[name], f"{label}.{name}.")


def _check_hook(container: Json, prefix: str, label: str) -> None:
    """The names of a hook are glued together: `LifecyclePreStopHandlerHttpGetPort`."""
    given = {name.removeprefix(prefix): value for name, value in container.items() if name.startswith(prefix)}
    if not given:
        return
    kinds = {kind for kind in ("Exec", "HttpGet", "TcpSocket") for name in given if name.startswith(kind)}
    if len(kinds) != 1:
        raise invalid(f"{label}.{prefix}", "exactly one of Exec, HttpGet and TcpSocket")
    for kind in kinds - {"Exec"}:
        target = {name.removeprefix(kind): value for name, value in given.items()}
        _check_target(target, f"{label}.{prefix}{kind}")


def _check_target(target: Json, label: str) -> None:
    if not 1 <= target.get("Port", 0) <= 65535:
        raise out_of_range(f"{label}Port", "1 to 65535")
    _one_of(target, "Scheme", ("HTTP", "HTTPS"), label.rstrip("."))
    if not target.get("Path", "/").startswith("/"):
        raise invalid(f"{label}Path", "it begins with /")


def _one_of(values: Json, name: str, allowed: tuple[str, ...], label: str = "") -> None:
    if name in values and values[name] not in allowed:
        raise invalid(f"{label}.{name}" if label else name, f"one of {', '.join(allowed)}")


def _count(values: Json, name: str, limit: int, label: str = "") -> None:
    if len(values.get(name, [])) > limit:
        raise too_long(f"{label}.{name}" if label else name, f"{limit} items")


def _unique(names: Iterable[str], code: str, what: str) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ApiError(code, f"The {what} {repeated[0]!r} is used more than once.")
