"""What annotations and settings add to a create, by the parameters' names on the wire.

Pure. An annotation goes before the setting of the same meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from vk_provider.cloud.eci import annotation_values as values
from vk_provider.cloud.eci import annotations as keys
from vk_provider.cloud.eci.annotations import PREFIX, Mapped
from vk_provider.cloud.eci.candidates import Candidate
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.eci.skus import NO_SPOT
from vk_provider.errors import Refusal
from vk_provider.model.workload import Workload

MAX_TAGS = 20
_TAGS = f"{PREFIX}eci-custom-tags"
# Lists to which an annotation adds, after what the request has already.
_GROWING = ("HostAliase", "Tag")
_LIST = re.compile(r"DnsConfig\.[A-Za-z]+\.")
_ITEM = re.compile(r"([A-Za-z]+)\.(\d+)\.(.+)")


def place(settings: EciSettings) -> dict[str, str]:
    """Where an instance goes that says nothing of it."""
    named = {
        "VSwitchId": ",".join(settings.vswitch_ids),
        "SecurityGroupId": settings.security_group_id,
        "ZoneId": settings.zone_id,
        "ResourceGroupId": settings.resource_group_id,
        "RamRoleName": settings.ram_role_name,
    }
    return {name: value for name, value in named.items() if value}


def hardware(workload: Workload, choice: Candidate, settings: EciSettings) -> dict[str, str]:
    """What the instance is made on."""
    named: dict[str, str] = {}
    if choice.types:
        named["InstanceType"] = ",".join(choice.types)
    elif choice.size is not None:
        named |= {"Cpu": f"{choice.size.cpu:g}", "Memory": f"{choice.size.memory_gib:g}"}
    if choice.storage_gib:
        named["EphemeralStorage"] = str(choice.storage_gib)
    architecture = workload.architecture or settings.cpu_architecture
    if architecture and architecture != "amd64":  # the cloud's default is not said
        named["CpuArchitecture"] = architecture.upper()
    if choice.spot != NO_SPOT:
        given = workload.annotations
        named["SpotStrategy"] = choice.spot
        for key, name in ((keys.SPOT_LIMIT, "SpotPriceLimit"), (keys.SPOT_DURATION, "SpotDuration")):
            if given.get(key):
                named[name] = given[key].strip()
    if strategy := workload.annotations.get(keys.FAIL_STRATEGY, "").strip():
        named["EciFailStrategy"] = strategy
    return named


def refusals(workload: Workload, *, tags: int) -> Iterator[Refusal]:
    """What annotations say that is right by itself and not beside the rest of the pod. tags: how many are ours."""
    given = workload.annotations
    if given.get(keys.RESOLVER):
        names = values.as_resolver(given[keys.RESOLVER])
        servers = workload.dns.nameservers if workload.dns is not None else ()
        if not servers and not any(name.startswith("DnsConfig.NameServer.") for name in names):
            reason = "the pod has the cloud's resolver, to which nothing can be added; give nameservers too"
            yield Refusal(f"metadata.annotations[{keys.RESOLVER}]", reason)
    if text := given.get(keys.DISK, "").strip():
        name = text.partition(":")[0]
        if not any(one.name == name and one.empty_dir for one in workload.volumes):
            reason = f"the pod mounts no emptyDir volume {name!r}; name one that it mounts"
            yield Refusal(f"metadata.annotations[{keys.DISK}]", reason)
    count = tags + len(values.parts(given.get(_TAGS, "")))
    if count > MAX_TAGS:
        reason = f"{count} tags with our own; ECI takes at most {MAX_TAGS}"
        yield Refusal(f"metadata.annotations[{_TAGS}]", reason)


def with_annotations(parameters: Mapping[str, str], workload: Workload) -> dict[str, str]:
    """The parameters together with what the pod's annotations say, of a workload without `refusals`."""
    done = dict(parameters)
    for key, text in workload.annotations.items():
        row = keys.TABLE.get(key)
        if isinstance(row, Mapped):
            done.update(_placed(row.wire(text), done))
    if "," in done.get("VSwitchId", ""):
        done.setdefault("ScheduleStrategy", "VSwitchOrdered")  # the given order is a preference
    _mend_zone(done, workload)
    _mend_resolver(done, workload)
    _put_disk(done, workload)
    return done


def _placed(added: Mapping[str, str], present: dict[str, str]) -> Mapping[str, str]:
    """Items of growing lists go behind those that are there; the resolver's lists take the place of the old ones."""
    placed: dict[str, str] = {}
    for name, value in added.items():
        match = _ITEM.fullmatch(name)
        if match is not None and match[1] in _GROWING:
            placed[f"{match[1]}.{int(match[2]) + _length(match[1], present)}.{match[3]}"] = value
            continue
        if list_name := _LIST.match(name):
            for old in [old for old in present if old.startswith(list_name[0])]:
                del present[old]
        placed[name] = value
    return placed


def _length(name: str, parameters: Mapping[str, str]) -> int:
    found = (_ITEM.fullmatch(each) for each in parameters)
    return max((int(match[2]) for match in found if match and match[1] == name), default=0)


def _mend_zone(done: dict[str, str], workload: Workload) -> None:
    if workload.annotations.get(keys.VSWITCH):
        done.pop("ZoneId", None)  # the operator's zone goes with the operator's vSwitches


def _mend_resolver(done: dict[str, str], workload: Workload) -> None:
    if not workload.annotations.get(keys.RESOLVER):
        return
    done["DnsPolicy"] = "None"


def _put_disk(done: dict[str, str], workload: Workload) -> None:
    """A named emptyDir becomes a cloud disk that goes with the instance."""
    text = workload.annotations.get(keys.DISK, "").strip()
    if not text:
        return
    name, file_system, size = text.split(":")
    number = next(n for n, one in enumerate(workload.volumes, 1) if one.name == name and one.empty_dir)
    for each in [each for each in done if each.startswith(f"Volume.{number}.EmptyDirVolume.")]:
        del done[each]
    options = {"volumeSize": size.removesuffix("Gi"), "deleteWithInstance": "true"}
    done |= {
        f"Volume.{number}.Type": "FlexVolume",
        f"Volume.{number}.FlexVolume.Driver": "alicloud/disk",
        f"Volume.{number}.FlexVolume.FsType": file_system,
        f"Volume.{number}.FlexVolume.Options": json.dumps(options, sort_keys=True),
    }
