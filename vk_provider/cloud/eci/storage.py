"""Storage beyond the instance, as its cloud mounts it: disks, file systems (NAS) and buckets (OSS).

Three spellings lead to the same three drivers: volumes of the cloud's CSI drivers, legacy flexVolumes, and plain nfs.
A plain file system goes as NFSVolume; one with mount options needs the driver `alicloud/nas`, which takes them.
What a spelling asks for and the cloud has no parameter for is refused.
Sources: eci.md 2.1; the attributes are those that the vendor's CSI drivers and flexVolumes read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vk_provider import bounds
from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.model.pod import Json
from vk_provider.model.workload import Flex, Nfs
from vk_provider.redaction import SecretText
from vk_provider.translate.capabilities import Storage
from vk_provider.translate.objects import Kind, ObjectKey, Objects
from vk_provider.translate.storage import SOURCES, secret_of_inline, secret_of_volume

DISK, NAS, OSS = "alicloud/disk", "alicloud/nas", "alicloud/oss"
DRIVERS = (DISK, NAS, OSS)
DISK_CSI, NAS_CSI, OSS_CSI = (f"{name}plugin.csi.alibabacloud.com" for name in ("disk", "nas", "oss"))
CSI_DRIVERS = (DISK_CSI, NAS_CSI, OSS_CSI)
ROLE = "k8s.aliyun.com/eci-ram-role-name"
DISK_SIZES_GIB = (20, 32768)

_NOT_A_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
_SECRET_OPTIONS = ("akId", "akSecret")
_MODES = frozenset({"", "rw", "ro", "defaults"})  # said by other means, or saying nothing
_NAS_OPTIONS = ("server", "path", "vers", "mode", "modeType", "options")
_OSS_OPTIONS = (
    "bucket",
    "url",
    "path",
    "otherOpts",
    "sigVersion",
    "encrypted",
    "kmsKeyId",
    "ramRole",
    *_SECRET_OPTIONS,
)


def has_role(pod: Json, by_default: str) -> bool:
    """Whether the pod's instance has a RAM role: by the pod's annotation, or by the node's settings."""
    return bool(by_default or ((pod["metadata"].get("annotations") or {}).get(ROLE) or "").strip())


# --- what is mounted --------------------------------------------------------------------------------------------------


class EciStorage:
    """As `ReadsStorage`."""

    def inline(self, volume: Json, pod: Json, objects: Objects, field: str, *, role: str) -> Nfs | Flex:
        source = next(each for each in SOURCES if volume.get(each) is not None)
        secret = secret_of_inline(volume, str(pod["metadata"].get("namespace") or "default"))
        at = f"{field}.{source}"
        made = _Source(volume, objects, at, "it", secret, (), has_role=has_role(pod, role))
        return made.mounted(source, volume[source], "")

    def persistent(
        self, volume: Json, found: Json, pod: Json, objects: Objects, field: str, *, role: str, read_only: bool
    ) -> Nfs | Flex:
        spec, name = found["spec"], found["metadata"]["name"]
        if (spec.get("volumeMode") or "Filesystem") != "Filesystem":
            raise _refusal(
                field, f"its volume {name} is a block device, which no container can be given; use a file system"
            )
        source = next((each for each in SOURCES if spec.get(each) is not None), "")
        if not source:
            kind = next((each for each in sorted(spec) if each not in _NOT_A_SOURCE), "unknown")
            raise _refusal(field, f"its volume {name} is of kind {kind}, which the cloud cannot mount; {_advice()}")
        texts = _option_texts(found)
        if sum(len(each) + 1 for each in texts) > bounds.MOST_MOUNT_OPTIONS:
            raise _refusal(
                field, f"its volume {name} has more than {bounds.MOST_MOUNT_OPTIONS:,} bytes of mount options"
            )
        options = [part for each in texts for part in _split(each)]
        what, secret = f"its volume {name}", secret_of_volume(found)
        read = _Source(volume, objects, field, what, secret, options, has_role=has_role(pod, role))
        made = read.mounted(source, spec[source], name)
        return replace(made, read_only=made.read_only or read_only or "ro" in options or _only_reads(spec))


class _Source:
    """One source being read: where it stands, how to speak of it, and what it logs in with.

    has_role: the instance has a RAM role, with which it may log in where nothing else is named.
    """

    def __init__(
        self,
        volume: Json,
        objects: Objects,
        field: str,
        what: str,
        secret: ObjectKey | None,
        mount_options: Sequence[str],
        *,
        has_role: bool,
    ) -> None:
        self._has_role = has_role
        self._volume = volume
        self._objects = objects
        self._field = field
        self._what = what
        self._secret = secret
        self._mount_options = [each for each in mount_options if each not in _MODES]

    def mounted(self, source: str, content: Json, name: str) -> Nfs | Flex:
        """name: the persistent volume's, empty where there is none."""
        read_only = bool(content.get("readOnly"))
        if source == "nfs":
            made = self._nas({"server": content.get("server"), "path": content.get("path")})
        elif source == "csi":
            made = self._csi(content)
        else:
            made = self._flex(content, name)
        return replace(made, read_only=made.read_only or read_only)

    def _csi(self, content: Json) -> Nfs | Flex:
        driver, attributes = content.get("driver"), content.get("volumeAttributes") or {}
        if driver == DISK_CSI:
            if not content.get("volumeHandle"):
                raise self._refused("names no disk; use a PersistentVolumeClaim")
            return self._disk({"volumeId": content["volumeHandle"]}, content.get("fsType"))
        if driver == NAS_CSI:
            return self._nas(attributes)
        if driver == OSS_CSI:
            return self._oss(attributes)
        raise self._refused(f"is of the CSI driver {driver}, which the cloud does not have; {_advice()}")

    def _flex(self, content: Json, name: str) -> Nfs | Flex:
        driver, options = content.get("driver"), content.get("options") or {}
        if driver == DISK:
            return self._disk({"volumeId": name, **options} if name else options, content.get("fsType"))
        if driver == NAS:
            return self._nas(options)
        if driver == OSS:
            return self._oss(options)
        raise self._refused(f"is of the flexVolume driver {driver}, which the cloud does not have; {_advice()}")

    def _disk(self, options: Mapping[str, Any], fs_type: str | None) -> Flex:
        if self._mount_options:
            listed = ", ".join(self._mount_options)
            raise self._refused(
                f"has the mount options {listed}, which the cloud does not take for a disk; remove them"
            )
        if not options.get("volumeId") and not options.get("volumeSize"):
            raise self._refused("names neither a disk (volumeId) nor the size of a new one (volumeSize)")
        if not options.get("volumeId"):
            size = str(options["volumeSize"]).removesuffix("Gi")  # ECI takes the number, pods of the vendor's have it
            if not _is_disk_size(size):
                least, most = DISK_SIZES_GIB
                raise self._refused(f"has volumeSize {options['volumeSize']}; a new disk has {least} to {most} GiB")
            options = {**options, "volumeSize": size}
        return Flex(DISK, fs_type or "ext4", _texts(options))

    def _nas(self, attributes: Mapping[str, Any]) -> Nfs | Flex:
        self._only(attributes, {"mountType": ("", "nas"), "mountProtocol": ("", "nfs")})
        server, slash, below = str(attributes.get("server") or "").partition(":/")
        path = str(attributes.get("path") or "") or slash[1:] + below or "/"
        if not server:
            raise self._refused("names no file server")
        if len(str(attributes.get("options") or "")) > bounds.MOST_MOUNT_OPTIONS:
            raise self._refused(f"has more than {bounds.MOST_MOUNT_OPTIONS:,} bytes of options")
        options = [*_split(attributes.get("options")), *self._mount_options]
        version, options = _version(options)
        further = {
            "vers": attributes.get("vers") or version,
            "options": ",".join(option for option in options if option not in _MODES),
            **{name: attributes.get(name) for name in ("mode", "modeType")},
        }
        if not any(further.values()):
            return Nfs(server, path, "ro" in options)
        return Flex(NAS, "", _texts({"server": server, "path": path, **further}), "ro" in options)

    def _oss(self, attributes: Mapping[str, Any]) -> Flex:
        self._only(attributes, {"fuseType": ("", "ossfs"), "authType": ("",), "useSharedPath": ("", "true", "false")})
        options = {name: attributes.get(name) for name in _OSS_OPTIONS}
        options["otherOpts"] = " ".join(
            part for part in (options["otherOpts"] or "", *(f"-o {each}" for each in self._mount_options)) if part
        )
        if self._secret is not None:
            options |= self._login(self._secret)
        for name in ("bucket", "url"):
            if not options[name]:
                raise self._refused(f"names no {name}")
        if not (options["ramRole"] or self._has_role or all(options[name] for name in _SECRET_OPTIONS)):
            raise self._refused(
                "names no Secret with akId and akSecret (nodePublishSecretRef), nor a RAM role (ramRole), and the pod"
                f" has none ({ROLE})"
            )
        return Flex(OSS, "", _texts(options))

    def _login(self, key: ObjectKey) -> Mapping[str, str]:
        """The keys out of the Secret; a Secret that is not there yet keeps the pod waiting, as any other does."""
        data = self._objects.data(Kind.SECRET, key)
        if data is None:
            raise self._not_ready(Kind.SECRET.not_found(key[1]))
        for name in _SECRET_OPTIONS:
            if name not in data:
                raise self._not_ready(Kind.SECRET.path_key_not_found(name))
        return {name: SecretText(data[name].decode(errors="replace").strip()) for name in _SECRET_OPTIONS}

    def _only(self, attributes: Mapping[str, Any], allowed: Mapping[str, Sequence[str]]) -> None:
        for name, values in allowed.items():
            given = attributes.get(name) or ""
            if given not in values:
                raise self._refused(f"has {name} {given}, which the cloud does not take; leave it out")

    def _refused(self, reason: str) -> UnsupportedPod:
        return _refusal(self._field, f"{self._what} {reason}")

    def _not_ready(self, fault: str) -> PodNotReady:
        text = f'MountVolume.SetUp failed for volume "{self._volume["name"]}" : {fault}'
        return PodNotReady(text, event_reason="FailedMount", waiting_reason="ContainerCreating")


def _refusal(field: str, reason: str) -> UnsupportedPod:
    return UnsupportedPod([Refusal(field, reason)])


def _advice() -> str:
    return f"use nfs, or a volume of {', '.join(CSI_DRIVERS)}"


def _option_texts(found: Json) -> Sequence[str]:
    """From the spec, and from the annotation that came before it."""
    annotated = (found["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/mount-options")
    return [*(found["spec"].get("mountOptions") or ()), annotated or ""]


def _split(options: str | None) -> list[str]:
    return [part.strip() for part in (options or "").split(",") if part.strip()]


def _version(options: Sequence[str]) -> tuple[str, list[str]]:
    """The NFS version out of mount options, which has a parameter of its own; and the other options."""
    found, others = "", []
    for option in options:
        name, _, value = option.partition("=")
        if name in ("vers", "nfsvers"):
            found = value
        else:
            others.append(option)
    return found, others


def _is_disk_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and DISK_SIZES_GIB[0] <= int(text) <= DISK_SIZES_GIB[1]


def _only_reads(spec: Json) -> bool:
    return set(spec.get("accessModes") or ()) == {"ReadOnlyMany"}


def _texts(options: Mapping[str, object]) -> Mapping[str, str]:
    return {
        name: value if isinstance(value, str) else str(value)
        for name, value in sorted(options.items())
        if value not in (None, "")
    }


STORAGE = Storage(
    kinds=frozenset(SOURCES),
    csi=(NAS_CSI, OSS_CSI),
    flex=DRIVERS,
    advice="use nfs or a PersistentVolumeClaim of a disk, NAS or OSS",
    reader=EciStorage(),
)
