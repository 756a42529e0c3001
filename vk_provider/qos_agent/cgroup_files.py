"""The control groups of the node's pods, as files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vk_provider.qos_agent.cgroup_layout import Layout
from vk_provider.qos_agent.weights import Observed, PodGroup, Write

_KUBEPODS = ("kubepods.slice", "kubepods", "kubelet.slice/kubelet-kubepods.slice", "kubelet/kubepods")
_CPU_MOUNTS = ("cpu", "cpu,cpuacct")


class CgroupFiles:
    """Below one mount of the cpu controller. A group may go at any moment: that is no error."""

    def __init__(self, mount: Path, layout: Layout) -> None:
        self.layout = layout
        self._mount = str(mount)

    @classmethod
    def found(cls, root: Path) -> CgroupFiles | None:
        """None while there is no kubelet's folder of pods. root: as /sys/fs/cgroup, version 2 or 1, or both."""
        controllers = root / "cgroup.controllers"
        with suppress(OSError):
            if "cpu" in controllers.read_text().split():
                return cls._within(root, 2)
        mount = next((root / name for name in _CPU_MOUNTS if (root / name).is_dir()), None)
        return cls._within(mount, 1) if mount is not None else None

    @classmethod
    def _within(cls, mount: Path, version: int) -> CgroupFiles | None:
        for name in _KUBEPODS:
            if (mount / name).is_dir():
                return cls(mount, Layout(version, name))
        return None

    def observe(self, pods: Iterable[PodGroup]) -> Mapping[str, Observed]:
        """By uid, of those whose groups are there."""
        layout, found = self.layout, dict[str, Observed]()
        for pod in pods:
            folder = self._folder(pod)
            weight = _text(f"{folder}/{layout.weight_file}")
            if weight is None:
                continue
            idle = _text(f"{folder}/cpu.idle")
            quota = _text(f"{folder}/{layout.quota_file}") if pod.is_preemptible else None
            found[pod.uid] = Observed(
                weight=layout.weight_of(weight),
                is_idle=None if idle is None else idle.strip() == "1",
                quota_us=None if quota is None else layout.quota_of(quota),
            )
        return found

    def apply(self, writes: Iterable[Write], pods: Iterable[PodGroup]) -> list[str]:
        """In order. Returns what went wrong, but for groups that are gone."""
        folders = {pod.uid: self._folder(pod) for pod in pods}
        names = {"idle": "cpu.idle", "weight": self.layout.weight_file, "quota": self.layout.quota_file}
        failures = []
        for write in writes:
            path = f"{folders[write.uid]}/{names[write.file]}"
            try:
                _write(path, write.value)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError as error:
                if Path(path).parent.is_dir():
                    failures.append(f"{path}: {write.value}: {error.strerror}")
        return failures

    def _folder(self, pod: PodGroup) -> str:
        return f"{self._mount}/{self.layout.pod(pod.uid, pod.qos_class)}"


def _text(path: str) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(file, 128).decode()
    except OSError:  # ENODEV: the group went meanwhile
        return None
    finally:
        os.close(file)


def _write(path: str, value: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, value.encode())
    finally:
        os.close(file)
