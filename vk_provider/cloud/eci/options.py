"""The settings of ECI, as an operator gives them: the section `eci`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vk_provider.cloud.eci.names import id_fault, region_fault
from vk_provider.settings import (
    Section,
    flag,
    integer,
    is_placeholder,
    listing,
    object_name,
    one_of,
    setting,
    takes,
    text_value,
)

MOST_VSWITCHES, MOST_SECURITY_GROUPS = 10, 5  # eci.md 2.1


@takes("VSW-ID,VSW-ID,…")
def _vswitches(raw: Any) -> tuple[str, ...]:
    return _ids(listing(raw), "vsw", most=MOST_VSWITCHES, example="vsw-bp1xyz")


@takes("SG-ID")
def _security_groups(raw: Any) -> str:
    return ",".join(_ids(listing(raw), "sg", most=MOST_SECURITY_GROUPS, example="sg-bp1xyz"))


@takes("RG-ID")
def _resource_group(raw: Any) -> str:
    return "".join(_ids(listing(raw), "rg", most=1, example="rg-acfmxyz"))


def _ids(ids: tuple[str, ...], prefix: str, *, most: int, example: str) -> tuple[str, ...]:
    faults = [] if len(ids) <= most else [f"{len(ids)} are given, and ECI takes at most {most}"]
    faults += [fault for each in ids if not is_placeholder(each) and (fault := id_fault(each, prefix, example=example))]
    if faults:
        raise ValueError("; ".join(faults))
    return ids


@takes("CALL=N,…")
def _limits(raw: Any) -> Mapping[str, int]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in listing(raw)]
    limits: dict[str, int] = {}
    for action, count in pairs:
        if not re.fullmatch(r"[A-Z][A-Za-z]+", str(action)):
            raise ValueError(f"{action!r} is no name of an ECI call; write CreateContainerGroup=3000")
        limits[str(action)] = integer(1, 1_000_000)(count)
    return limits


@takes("URL")
def _url(raw: Any) -> str:
    text = text_value(raw)
    if text and not re.match(r"^https?://[^/\s]+/?$", text):
        raise ValueError("expected a URL such as https://eci.cn-hangzhou.aliyuncs.com or http://127.0.0.1:8080")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class EciOptions(Section):
    PREFIX: ClassVar[str] = "eci"
    SHOWN: ClassVar[Sequence[str]] = (
        "region",
        "allow_unknown_region",
        "vswitch",
        "security_group",
        "zone",
        "resource_group",
        "ram_role",
        "spot_strategy",
        "gpu_instance_type",
        "cpu_architecture",
    )
    FILES: ClassVar[Sequence[str]] = ("access_key_file", "secret_key_file", "security_token_file")
    OF_NODE: ClassVar[Sequence[str]] = (
        "vswitch",
        "security_group",
        "zone",
        "resource_group",
        "ram_role",
        "spot_strategy",
        "gpu_instance_type",
        "cpu_architecture",
        "profile",
    )

    region: str = setting(
        "",
        text_value,
        "region, as cn-hangzhou",
        env=("ECI_REGION",),
        advice="a region, for example cn-hangzhou",
        short="region, as cn-hangzhou",
        metavar="REGION",
    )
    allow_unknown_region: bool = setting(
        False,
        flag,
        "take the region as it is, though this version does not know it: for regions newer than it",
        short="take a region newer than this version",
    )
    endpoint: str = setting(
        "", _url, "URL of the ECI API; empty = https://eci.<region>.aliyuncs.com", env=("ECI_ENDPOINT",)
    )
    access_key: str = setting(
        "",
        text_value,
        "AccessKey id; empty = the default chain of credentials",
        env=("ECI_ACCESS_KEY",),
        secret=True,
        metavar="ID",
        advice="your AccessKey id, or leave it out for the default chain of credentials",
    )
    secret_key: str = setting(
        "",
        text_value,
        "AccessKey secret",
        env=("ECI_SECRET_KEY",),
        secret=True,
        metavar="SECRET",
        advice="the secret of your AccessKey, or leave it out for the default chain of credentials",
    )
    security_token: str = setting("", text_value, "STS token that goes with them", secret=True, metavar="TOKEN")
    access_key_file: str = setting(
        "",
        text_value,
        "file with the AccessKey id, as of a mounted Secret; it and the next are read again as they change, so that a "
        "rotated key needs no restart",
        short="file with the AccessKey id; may be rotated",
        metavar="FILE",
    )
    secret_key_file: str = setting("", text_value, "file with the AccessKey secret", metavar="FILE")
    security_token_file: str = setting("", text_value, "file with the STS token that goes with them", metavar="FILE")
    vswitch: tuple[str, ...] = setting(
        (),
        _vswitches,
        "vSwitches, in order of preference; none = the region's default",
        env=("ECI_VSWITCH",),
        short="vSwitches, the preferred first",
        advice="the ids of your vSwitches, which the VPC console shows (vsw-bp1…), or leave it out",
    )
    security_group: str = setting(
        "",
        _security_groups,
        "security group, or up to five separated by commas; empty = the region's default",
        env=("ECI_SECURITY_GROUP",),
        advice="the id of your security group, which the ECS console shows (sg-bp1…), or leave it out",
    )
    zone: str = setting(
        "", text_value, "zone; empty = chosen by the cloud", short="zone, as cn-hangzhou-i", metavar="ZONE"
    )
    resource_group: str = setting(
        "", _resource_group, "resource group", env=("ALIYUN_RESOURCEGROUP_ID",), metavar="RG-ID"
    )
    ram_role: str = setting(
        "",
        text_value,
        "RAM role of instances whose pod names none by annotation",
        metavar="NAME",
        short="RAM role of pods that name none",
    )
    spot_strategy: str = setting(
        "NoSpot",
        one_of("NoSpot", "SpotAsPriceGo"),
        "spot instances for pods whose annotations say nothing of them; a price limit only a pod can set, for it goes "
        "by size",
        short="of pods that say nothing of it",
    )
    gpu_instance_type: tuple[str, ...] = setting(
        (),
        listing,
        "ECS types, in order of preference, for pods that ask for GPUs and name no type; empty = refused",
        short="for pods with GPUs that name no type",
        metavar="TYPE,TYPE,…",
    )
    cpu_architecture: str = setting(
        "amd64",
        one_of("amd64", "arm64"),
        "architecture of the node and of instances whose pod insists on none",
        short="where a pod insists on none",
    )
    profile: str = setting(
        "kube-system/eci-profile",
        object_name,
        "ConfigMap namespace/name with the network and with selectors, as the vendor's node has it; read again when it "
        "changes; empty = none",
        short="ConfigMap with the network and with selectors",
    )

    calls_per_minute: Mapping[str, int] = setting(
        {},
        _limits,
        "limits that a ticket has raised, as CreateContainerGroup=3000,DeleteContainerGroup=3000; others as published",
        short="calls of ECI a minute, where a ticket has raised the limit",
    )

    @classmethod
    def faults(cls, chosen: Mapping[str, Any]) -> Sequence[str]:
        found = []
        if bool(chosen.get("access_key")) != bool(chosen.get("secret_key")):
            missing = "secret_key" if chosen.get("access_key") else "access_key"
            variables = " or ".join(cls.env_names(missing))
            found.append(f"{cls.flag_of(missing)}: an AccessKey has two halves; set {variables}")
        if bool(chosen.get("access_key_file")) != bool(chosen.get("secret_key_file")):
            given = "access_key_file" if chosen.get("access_key_file") else "secret_key_file"
            missing = "secret_key_file" if given == "access_key_file" else "access_key_file"
            found.append(f"{cls.flag_of(given)}: an AccessKey has two halves; set {cls.flag_of(missing)}, too")
        if chosen.get("access_key_file") and chosen.get("access_key"):
            found.append(f"{cls.flag_of('access_key_file')}: {cls.named('access_key')} is set as well; leave one out")
        if not chosen.get("region") and not chosen.get("endpoint"):
            found.append("--eci-region: say in which region to run; set ECI_REGION, for example cn-hangzhou")
        return [*found, *cls._misplaced(chosen)]

    @classmethod
    def _misplaced(cls, chosen: Mapping[str, Any]) -> Sequence[str]:
        """Regions and zones that do not exist."""
        region, zone = chosen.get("region") or "", chosen.get("zone") or ""
        if not region or is_placeholder(region):
            return []
        found = []
        if not chosen.get("allow_unknown_region") and (fault := region_fault(region)):
            found.append(f"{cls.flag_of('region')}: {fault}; if it is newer, set {cls.flag_of('allow_unknown_region')}")
        if zone and not is_placeholder(zone) and not zone.startswith(region):
            found.append(f"{cls.flag_of('zone')}: {zone} is not in {region}, whose zones are named {region}-…")
        return found

    @classmethod
    def completed(cls, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        """Region and endpoint follow from each other where only one is given."""
        region, endpoint = chosen.get("region") or "", chosen.get("endpoint") or ""
        if not region:
            official = re.match(r"https?://eci(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$", endpoint)
            region = official.group(1) if official else "cn-hangzhou"
        return {**chosen, "region": region, "endpoint": endpoint or f"https://eci.{region}.aliyuncs.com"}

    @classmethod
    def without_cloud(cls, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        return chosen if chosen.get("region") or chosen.get("endpoint") else {**chosen, "endpoint": "http://localhost"}
