"""Builds a container's view of files inside a mount namespace of its own, and moves into it.

Runs in the spawner's children. A view is a list of steps, each a list whose first member is its kind:

| step                                    | does                                                                 |
|-----------------------------------------|----------------------------------------------------------------------|
| `dir`, path, mode                       | makes a directory, and those above it                                |
| `link`, target, path                    | makes a symbolic link                                                |
| `bind`, source, path, read_only, within | shows a file or directory of this machine; within: the directory     |
|                                         | that source must not lead out of, or empty                           |
| `hide`, path                            | shows nothing there                                                  |
| `tmpfs`, path, mode                     | a fresh file system in memory                                        |
| `dev`, `proc`, `sys`, path              | the kernel's own                                                     |
| `seal`                                  | makes the root read-only; what is mounted in it stays as it is       |

Paths are the container's, and are looked up inside its root whatever links are on the way, for volumes hold what
containers have put there. No mount but /dev's has devices.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fakes.cloud import syscalls
from fakes.cloud.syscalls import ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, O_PATH

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEV_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
# What container runtimes keep from containers of what the kernel tells and lets be set.
_FIXED = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_MASKED = (
    *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list"),
    *("timer_stats",),
)


class View:
    """A root under construction. base: an empty directory of this machine; the new root is mounted over it."""

    def __init__(self, base: str) -> None:
        syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("tmpfs", base, "tmpfs", syscalls.MS_NODEV, "mode=0755")
        self._root = os.open(base, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def build(self, steps: Sequence[Sequence[Any]]) -> None:
        for kind, *words in steps:
            getattr(self, f"_{kind}")(*words)

    def enter(self) -> None:
        os.fchdir(self._root)
        syscalls.pivot_here()
        os.close(self._root)

    def fix_kernel(self) -> None:
        """Close what the kernel lets be set by files; to be called when nothing more is to be set by them."""
        for name in _FIXED:
            with suppress(FileNotFoundError):
                target = self._open(f"/proc/{name}")
                self._attach(target, target, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)
        for path in (*(f"/proc/{name}" for name in _MASKED), "/sys/firmware"):
            with suppress(FileNotFoundError):
                self._hide(path)

    def _open(self, path: str) -> int:
        return syscalls.open_beneath(self._root, path.lstrip("/"), O_PATH, resolve=syscalls.RESOLVE_IN_ROOT)

    @staticmethod
    def _attach(source: int, target: int, attributes: int) -> None:
        try:
            syscalls.attach(source, target, attributes)
        finally:
            for file in {source, target}:
                os.close(file)

    def _dir(self, path: str, mode: int) -> None:
        """The mode is for those directories only that are made."""
        whole = ""
        for part in path.strip("/").split("/"):
            parent = self._open(whole)
            whole = f"{whole}/{part}"
            try:
                os.close(self._open(whole))
            except FileNotFoundError:
                os.mkdir(part, mode, dir_fd=parent)
                os.chmod(part, mode, dir_fd=parent)
            finally:
                os.close(parent)

    def _link(self, target: str, path: str) -> None:
        folder, _, name = path.rpartition("/")
        parent = self._open(folder)
        os.symlink(target, name, dir_fd=parent)
        os.close(parent)

    def _bind(self, source: str, path: str, read_only: bool, within: str) -> None:
        file = self._source(source, within)
        self._place(path, is_folder=stat.S_ISDIR(os.fstat(file).st_mode))
        self._attach(file, self._open(path), ATTR_NODEV | (ATTR_RDONLY if read_only else 0))

    @staticmethod
    def _source(source: str, within: str) -> int:
        if not within:
            return os.open(source, O_PATH | os.O_CLOEXEC)
        folder = os.open(within, O_PATH | os.O_CLOEXEC)
        try:
            below = os.path.relpath(source, within)
            return syscalls.open_beneath(folder, below, O_PATH, resolve=syscalls.RESOLVE_BENEATH)
        finally:
            os.close(folder)

    def _place(self, path: str, *, is_folder: bool) -> None:
        """Make what is mounted over, where there is nothing."""
        with suppress(FileNotFoundError):
            os.close(self._open(path))
            return
        if is_folder:
            self._dir(path, 0o755)
            return
        folder, _, name = path.rpartition("/")
        if folder:
            self._dir(folder, 0o755)
        parent = self._open(folder)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        os.close(parent)

    def _hide(self, path: str) -> None:
        target = self._open(path)
        if stat.S_ISDIR(os.fstat(target).st_mode):
            os.close(target)
            self._tmpfs(path, 0o755, syscalls.MS_RDONLY)
        else:
            # As an empty file; it is a device, which has to be one in this place.
            self._attach(os.open("/dev/null", O_PATH | os.O_CLOEXEC), target, ATTR_RDONLY | ATTR_NOSUID)

    def _tmpfs(self, path: str, mode: int, flags: int = 0) -> None:
        self._mount(path, "tmpfs", flags | syscalls.MS_NODEV, f"mode={mode:o}")

    def _mount(self, path: str, kind: str, flags: int, options: str = "") -> None:
        self._place(path, is_folder=True)
        target = self._open(path)
        try:
            syscalls.mount(kind, f"/proc/self/fd/{target}", kind, flags, options)
        finally:
            os.close(target)

    def _proc(self, path: str) -> None:
        self._mount(path, "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)

    def _sys(self, path: str) -> None:
        flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        try:
            self._mount(path, "sysfs", flags)
        except PermissionError:  # the network is not ours, and sysfs shows its devices
            self._bind("/sys", path, True, "")

    def _dev(self, path: str) -> None:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        self._mount(path, "tmpfs", flags, "mode=0755,size=64k")
        for name in _DEVICES:
            self._place(f"{path}/{name}", is_folder=False)
            source = os.open(f"/dev/{name}", O_PATH | os.O_CLOEXEC)
            self._attach(source, self._open(f"{path}/{name}"), ATTR_NOSUID | ATTR_NOEXEC)
        for name, target in _DEV_LINKS.items():
            self._link(target, f"{path}/{name}")
        self._dir(f"{path}/pts", 0o755)
        terminals = "newinstance,ptmxmode=0666,mode=0620"
        try:
            self._mount(f"{path}/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, f"{terminals},gid=5")
        except OSError:  # the group of terminals is none here
            self._mount(f"{path}/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, terminals)
        self._mount(f"{path}/shm", "tmpfs", flags | syscalls.MS_NOEXEC, "mode=1777,size=65536k")
        with suppress(OSError):  # this kernel has no message queues
            self._mount(f"{path}/mqueue", "mqueue", flags | syscalls.MS_NOEXEC)

    def _seal(self) -> None:
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NODEV
        syscalls.mount("none", f"/proc/self/fd/{self._root}", "", flags)
