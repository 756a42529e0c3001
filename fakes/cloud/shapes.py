"""The parameters of the calls, as data: their names, nesting and types. Source: the API's published metadata."""

from typing import Any

Shape = dict[str, Any]

NAME_VALUE = {"Name": str, "Value": str}
TAG = {"Key": str, "Value": str}
_PROBE = {
    "HttpGet": {"Path": str, "Port": int, "Scheme": str},
    "TcpSocket": {"Port": int},
    "Exec": {"Command": [str]},
    "InitialDelaySeconds": int,
    "PeriodSeconds": int,
    "TimeoutSeconds": int,
    "SuccessThreshold": int,
    "FailureThreshold": int,
}


def _hook(name: str) -> Shape:
    prefix = f"Lifecycle{name}Handler"
    return {
        f"{prefix}Exec": [str],
        f"{prefix}HttpGetHost": str,
        f"{prefix}HttpGetPort": int,
        f"{prefix}HttpGetPath": str,
        f"{prefix}HttpGetScheme": str,
        f"{prefix}HttpGetHttpHeader": [NAME_VALUE],
        f"{prefix}TcpSocketHost": str,
        f"{prefix}TcpSocketPort": int,
    }


INIT_CONTAINER: Shape = {
    "Name": str,
    "Image": str,
    "Cpu": float,
    "Memory": float,
    "Gpu": int,
    "Command": [str],
    "Arg": [str],
    "WorkingDir": str,
    "ImagePullPolicy": str,
    "EnvironmentVar": [{"Key": str, "Value": str, "FieldRef": {"FieldPath": str}}],
    "Port": [{"Port": int, "Protocol": str}],
    "VolumeMount": [{"Name": str, "MountPath": str, "SubPath": str, "ReadOnly": bool, "MountPropagation": str}],
    "SecurityContext": {"Capability": {"Add": [str]}, "ReadOnlyRootFilesystem": bool, "RunAsUser": int},
    "TerminationMessagePath": str,
    "TerminationMessagePolicy": str,
}
CONTAINER: Shape = {
    **INIT_CONTAINER,
    "EnvironmentVarHide": bool,
    "Stdin": bool,
    "StdinOnce": bool,
    "Tty": bool,
    "SecurityContextRunAsGroup": int,
    "SecurityContextRunAsNonRoot": bool,
    "SecurityContextPrivileged": bool,
    "LivenessProbe": _PROBE,
    "ReadinessProbe": _PROBE,
    **_hook("PostStart"),
    **_hook("PreStop"),
}
VOLUME: Shape = {
    "Name": str,
    "Type": str,
    "EmptyDirVolume": {"Medium": str, "SizeLimit": str},
    "ConfigFileVolume": {"ConfigFileToPath": [{"Path": str, "Content": str, "Mode": str}], "DefaultMode": str},
    "NFSVolume": {"Server": str, "Path": str, "ReadOnly": bool},
    "FlexVolume": {"Driver": str, "FsType": str, "Options": str},
    "HostPathVolume": {"Path": str, "Type": str},
    "DiskVolume": {"DiskId": str, "DiskSize": int, "FsType": str},
}
GROUP: Shape = {
    "RegionId": str,
    "ContainerGroupName": str,
    "SecurityGroupId": str,
    "VSwitchId": str,
    "ZoneId": str,
    "ScheduleStrategy": str,
    "RestartPolicy": str,
    "Cpu": float,
    "Memory": float,
    "InstanceType": str,
    "ComputeCategory": [str],
    "CpuArchitecture": str,
    "OsType": str,
    "EphemeralStorage": int,
    "Tag": [TAG],
    "DryRun": bool,
    "SpotStrategy": str,
    "SpotPriceLimit": float,
    "SpotDuration": int,
    "StrictSpot": bool,
    "ActiveDeadlineSeconds": int,
    "TerminationGracePeriodSeconds": int,
    "HostName": str,
    "DnsPolicy": str,
    "DnsConfig": {"NameServer": [str], "Search": [str], "Option": [NAME_VALUE]},
    "HostAliase": [{"Ip": str, "Hostname": [str]}],
    "SecurityContext": {"Sysctl": [NAME_VALUE]},
    "HostSecurityContext": {"Sysctl": [NAME_VALUE]},
    "ShareProcessNamespace": bool,
    "ImageRegistryCredential": [{"Server": str, "UserName": str, "Password": str}],
    "RamRoleName": str,
    "ResourceGroupId": str,
    "PrivateIpAddress": str,
    "Container": [CONTAINER],
    "InitContainer": [INIT_CONTAINER],
    "Volume": [VOLUME],
    "CpuOptionsCore": int,
    "CpuOptionsThreadsPerCore": int,
    "GpuDriverVersion": str,
    "EciFailStrategy": str,
    "NtpServer": [str],
    "AcrRegistryInfo": [{"InstanceId": str, "RegionId": str, "ArnService": str, "ArnUser": str}],
    "ImageSnapshotId": str,
    "AutoMatchImageCache": bool,
    "ImageAccelerateMode": str,
    "PlainHttpRegistry": str,
    "InsecureRegistry": str,
    "DataCacheBucket": str,
    "DataCachePL": str,
    "DataCacheProvisionedIops": int,
    "DataCacheBurstingEnabled": bool,
    "EipInstanceId": str,
    "AutoCreateEip": bool,
    "EipBandwidth": int,
    "EipISP": str,
    "EipCommonBandwidthPackage": str,
    "Ipv6AddressCount": int,
    "Ipv6GatewayBandwidthEnable": bool,
    "Ipv6GatewayBandwidth": str,
    "FixedIp": str,
    "FixedIpRetainHour": int,
    "IngressBandwidth": int,
    "EgressBandwidth": int,
    "CorePattern": str,
    "SlsEnable": bool,
}
# What an update can change; anything else in its request is ignored, as the real gateway does.
_UPDATABLE = (
    "Cpu",
    "Memory",
    "RestartPolicy",
    "ResourceGroupId",
    "Tag",
    "Container",
    "InitContainer",
    "Volume",
    "DnsConfig",
    "ImageRegistryCredential",
)
UPDATE: Shape = {
    "RegionId": str,
    "ContainerGroupId": str,
    "UpdateType": str,
    **{name: GROUP[name] for name in _UPDATABLE},
}
_FILTERS: Shape = {
    "RegionId": str,
    "Limit": int,
    "NextToken": str,
    "ContainerGroupIds": str,
    "ZoneId": str,
    "VSwitchId": str,
    "ResourceGroupId": str,
    "Tag": [TAG],
}
DESCRIBE: Shape = {
    **_FILTERS,
    "ContainerGroupName": str,
    "Status": str,
    "SecurityGroupId": str,
    "ComputeCategory": str,
    "WithEvent": bool,
}
STATUS: Shape = {**_FILTERS, "SinceSecond": int}
EVENTS: Shape = {**STATUS, "EventSource": str}
ONE_GROUP: Shape = {"RegionId": str, "ContainerGroupId": str, "Force": bool}
LOG: Shape = {
    "RegionId": str,
    "ContainerGroupId": str,
    "ContainerName": str,
    "Tail": int,
    "LimitBytes": int,
    "SinceSeconds": int,
    "StartTime": str,
    "LastTime": bool,
    "Timestamps": bool,
}
EXEC: Shape = {
    "RegionId": str,
    "ContainerGroupId": str,
    "ContainerName": str,
    "Command": str,
    "TTY": bool,
    "Stdin": bool,
    "Sync": bool,
}
METRIC: Shape = {"RegionId": str, "ContainerGroupId": str, "StartTime": str, "EndTime": str, "Period": str}
MULTI_METRIC: Shape = {"RegionId": str, "ContainerGroupIds": str, "MetricType": str}
PRICE: Shape = {
    "RegionId": str,
    "ZoneId": str,
    "Cpu": float,
    "Memory": float,
    "InstanceType": str,
    "EphemeralStorage": int,
    "SpotStrategy": str,
    "SpotPriceLimit": float,
    "SpotDuration": int,
}
STOCK: Shape = {
    "RegionId": str,
    "ZoneId": str,
    "DestinationResource": {"Category": str, "Value": str, "Cores": int, "Memory": float},
    "SpotResource": {"SpotStrategy": str, "SpotPriceLimit": float, "SpotDuration": int},
}
TAGGING: Shape = {
    "RegionId": str,
    "ResourceType": str,
    "ResourceId": [str],
    "Tag": [TAG],
    "TagKey": [str],
    "All": bool,
    "NextToken": str,
    "Limit": int,
}
REGION_ONLY: Shape = {"RegionId": str}
