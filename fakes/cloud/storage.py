"""Storage beyond a group: what a volume of the types NFSVolume and FlexVolume names, and who holds which disk.

A file system, a bucket and a disk outlive every group. File systems and buckets serve any number of groups at once, a
disk just one.
"""

import json
from pathlib import PurePosixPath
from urllib.parse import quote

from fakes.cloud.errors import invalid, missing, out_of_range
from fakes.cloud.group import Group
from fakes.cloud.parameters import Json

DISK, NAS, OSS = "alicloud/disk", "alicloud/nas", "alicloud/oss"
SMALLEST_DISK_GIB, LARGEST_DISK_GIB = 20, 32768


def check(volume: Json, label: str, *, role: str = "") -> None:
    """Raise the ApiError of the first fault in a volume of either type. role: the group's, which opens buckets."""
    if volume["Type"] == "NFSVolume":
        for name in ("Server", "Path"):
            if not volume.get("NFSVolume", {}).get(name):
                raise missing(f"{label}.NFSVolume.{name}")
        return
    driver, name = volume.get("FlexVolume", {}).get("Driver"), f"{label}.FlexVolume"
    if not driver:
        raise missing(f"{name}.Driver")
    if driver not in (DISK, NAS, OSS):
        raise invalid(f"{name}.Driver", f"one of {DISK}, {NAS}, {OSS}")
    options = _checked_options(volume, f"{name}.Options")
    if driver == DISK:
        _check_disk(options, f"{name}.Options")
    for option in {NAS: ("server",), OSS: ("bucket", "url")}.get(driver, ()):
        if not options.get(option):
            raise missing(f"{name}.Options.{option}")
    if driver == OSS and not (role or options.get("ramRole")) and not (options.get("akId") and options.get("akSecret")):
        raise missing(f"{name}.Options.akId")


def disk_id(volume: Json) -> str:
    """The disk that the volume is; empty for anything else, and for a disk made for the group."""
    if volume["Type"] != "FlexVolume" or volume["FlexVolume"]["Driver"] != DISK:
        return ""
    return str(_options(volume).get("volumeId") or "")


def place(volume: Json) -> PurePosixPath | None:
    """Where the volume's files lie among those of all groups; None if they are the group's own."""
    if volume["Type"] == "NFSVolume":
        return _exported(volume["NFSVolume"]["Server"], volume["NFSVolume"]["Path"])
    if volume["Type"] != "FlexVolume":
        return None
    options = _options(volume)
    match volume["FlexVolume"]["Driver"]:
        case "alicloud/disk":
            disk = disk_id(volume)
            return PurePosixPath("disk", quote(disk, safe="")) if disk else None
        case "alicloud/nas":
            return _exported(options["server"], str(options.get("path") or "/"))
        case _:
            return PurePosixPath("oss", quote(str(options["bucket"]), safe=""), *_steps(str(options.get("path") or "")))


class Disks:
    """Which group holds which disk: at most one each."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}  # disk → group id

    def attach(self, group: Group) -> str:
        """Attach all of the group's disks, or none and say why not."""
        wanted = [disk for volume in group.spec.get("Volume", []) if (disk := disk_id(volume))]
        for disk in wanted:
            holder = self._holders.get(disk, group.id)
            if holder != group.id:
                return f"disk {disk} is attached to instance {holder}"
        self._holders.update(dict.fromkeys(wanted, group.id))
        return ""

    def detach(self, group: Group) -> None:
        self._holders = {disk: holder for disk, holder in self._holders.items() if holder != group.id}


def _exported(server: str, path: str) -> PurePosixPath:
    return PurePosixPath("nfs", quote(server, safe=""), *_steps(path))


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in ("", ".", "..")]


def _options(volume: Json) -> Json:
    found: Json = json.loads(volume["FlexVolume"].get("Options") or "{}")
    return found


def _checked_options(volume: Json, label: str) -> Json:
    try:
        options = _options(volume)
    except ValueError as error:
        raise invalid(label, "a JSON object") from error
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise invalid(label, "a JSON object of texts")
    return options


def _check_disk(options: Json, label: str) -> None:
    if options.get("volumeId"):
        return
    size = options.get("volumeSize")
    if not size:
        raise missing(f"{label}.volumeId")
    if not size.isdecimal() or not SMALLEST_DISK_GIB <= int(size) <= LARGEST_DISK_GIB:
        raise out_of_range(f"{label}.volumeSize", f"{SMALLEST_DISK_GIB} to {LARGEST_DISK_GIB} GiB")
