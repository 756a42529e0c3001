"""File systems in memory, for volumes that ask for one. Where this machine does not allow it there is none."""

import ctypes
import os
from pathlib import Path

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, size: str) -> bool:
    """A file system for everybody at this folder. size: as Kubernetes writes it, `10Mi`; "" = half of this machine's
    memory. False: not allowed here."""
    options = f"mode=0777{f',size={_kernel_size(size)}' if size else ''}"
    return bool(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options.encode()) == 0)


def unmount_below(folder: Path) -> None:
    """All there are below this folder, and what is in them."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place, *_ = line.split()
        if device == "tmpfs" and Path(place).is_relative_to(folder):
            _libc.umount2(place.encode(), _MNT_DETACH)


def _kernel_size(size: str) -> str:
    """Kernels know the letters of powers of two only, and take digits alone as bytes."""
    return size.removesuffix("i").lower() if size.endswith("i") else size
