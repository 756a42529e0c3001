"""Where a kubelet keeps the control groups of pods, and how their files are named: versions 1 and 2, both drivers.

Source: kubernetes pkg/kubelet/cm (cgroup_manager_linux.go, pod_container_manager_linux.go, helpers_linux.go);
kernel Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from dataclasses import dataclass

BEST_EFFORT, BURSTABLE, GUARANTEED = "BestEffort", "Burstable", "Guaranteed"
PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000  # the kernel takes no less
_FOLDERS = {BEST_EFFORT: "besteffort", BURSTABLE: "burstable", GUARANTEED: ""}
_LEAST_SHARES, _MOST_SHARES = 2, 262_144


@dataclass(frozen=True, slots=True)
class Layout:
    """kubepods: the kubelet's folder of all pods, below the mount of the cpu controller: `kubepods`, `kubepods.slice`,
    or one with the kubelet's own root before it, as `kubelet.slice/kubelet-kubepods.slice`."""

    version: int
    kubepods: str

    @property
    def is_systemd(self) -> bool:
        return self.kubepods.endswith(".slice")

    def pod(self, uid: str, qos_class: str) -> str:
        """The pod's own folder. uid: see `pod_roles.group_uid`."""
        folder = _FOLDERS[qos_class]
        if not self.is_systemd:
            return "/".join(filter(None, (self.kubepods, folder, f"pod{uid}")))
        within = self.kubepods.rpartition("/")[2].removesuffix(".slice")
        parts = [self.kubepods]
        if folder:
            within = f"{within}-{folder}"
            parts.append(f"{within}.slice")
        return "/".join([*parts, f"{within}-pod{uid.replace('-', '_')}.slice"])

    @property
    def weight_file(self) -> str:
        return "cpu.weight" if self.version == 2 else "cpu.shares"

    @property
    def quota_file(self) -> str:
        return "cpu.max" if self.version == 2 else "cpu.cfs_quota_us"

    @property
    def most_weight(self) -> int:
        return 10_000 if self.version == 2 else _MOST_SHARES

    @property
    def regular_weight(self) -> int:
        """What the lightest regular pod is raised to, against 3 of an idle group (a weight of 1 counts as 10.24 shares
        and a group's weight only among its siblings): 99.7 of 100."""
        return 100 if self.version == 2 else 1024

    @property
    def floor_weight(self) -> int:
        """99 of 100, where raising all in proportion does not bring the lightest so far."""
        return 30 if self.version == 2 else 300

    def kubelet_weight(self, cpu_millis: int) -> int:
        """What a kubelet gives a pod that requests so much; 2 shares, or a weight of 1, for one that requests none."""
        shares = min(max(cpu_millis * 1024 // 1000, _LEAST_SHARES), _MOST_SHARES)
        return 1 + (shares - 2) * 9999 // 262_142 if self.version == 2 else shares

    def weight_of(self, text: str) -> int | None:
        return int(text) if text.strip().isdecimal() else None

    def quota_of(self, text: str) -> int | None:
        """Microseconds per PERIOD_US; None = no limit, or none that can be read."""
        words = text.split()
        if not words or not words[0].isdecimal():
            return None
        period = int(words[1]) if len(words) > 1 and words[1].isdecimal() else PERIOD_US
        return int(words[0]) * PERIOD_US // max(1, period)

    def quota_text(self, quota_us: int | None) -> str:
        if self.version == 2:
            return f"{'max' if quota_us is None else quota_us} {PERIOD_US}"
        return "-1" if quota_us is None else str(quota_us)


def quota_us(cores: float) -> int:
    return max(_LEAST_QUOTA_US, int(cores * PERIOD_US))
