"""Limits of memory by the kernel's control groups, of version 1 or 2, where this user may make some."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PREFIX = "fake-eci-"
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_LEAVE_S = 2.0


class MemoryGroup:
    """One container's. Its runs come one after another, and each is asked about alone."""

    def __init__(self, folder: Path, limit_bytes: int, *, is_v2: bool) -> None:
        """Raises OSError."""
        self._folder = folder
        self._is_v2 = is_v2
        self._killed = 0
        folder.mkdir()
        (folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        with suppress(OSError):  # this kernel counts no swap
            name, value = ("memory.swap.max", "0") if is_v2 else ("memory.memsw.limit_in_bytes", str(limit_bytes))
            (folder / name).write_text(value)

    def folders(self) -> Sequence[str]:
        return [str(self._folder)]

    def has_killed(self) -> bool:
        """Whether something of the container was killed for want of memory since this was last asked."""
        before, self._killed = self._killed, self._kills()
        return self._killed > before

    def remove(self) -> None:
        """To be called when nothing of the container runs; the kernel may need a moment to see that."""
        until = time.monotonic() + _LEAVE_S
        while True:
            try:
                self._folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(0.01)
            else:
                return

    def _kills(self) -> int:
        with suppress(OSError):
            text = (self._folder / ("memory.events" if self._is_v2 else "memory.oom_control")).read_text()
            return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)
        return 0


class Memory:
    """A fake cloud's control groups, below one of its own that has its PID in its name."""

    def __init__(self) -> None:
        """Raises OSError where there are none to be had."""
        self._is_v2 = not _V1.is_dir()
        top = _V2 if self._is_v2 else _V1
        _sweep(top)
        self._folder = top / f"{_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
        self._folder.mkdir()
        try:
            if self._is_v2:
                for folder in (top, self._folder):
                    (folder / "cgroup.subtree_control").write_text("+memory")
            MemoryGroup(self._folder / "trial", 1 << 30, is_v2=self._is_v2).remove()
        except BaseException:
            self.close()
            raise

    def group(self, name: str, limit_bytes: int) -> MemoryGroup:
        """Raises OSError."""
        return MemoryGroup(self._folder / name, limit_bytes, is_v2=self._is_v2)

    def close(self) -> None:
        _remove(self._folder)


def _sweep(top: Path) -> None:
    """Remove what fake clouds that were killed have left."""
    for folder in top.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            _remove(folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        for below in folder.iterdir():
            if below.is_dir():
                with suppress(OSError):
                    below.rmdir()
        folder.rmdir()
