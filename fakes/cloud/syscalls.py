"""The system calls of Linux that Python has no function for; each raises OSError. Kernel 5.12 or newer.

Imports nothing of the package but this, since the spawner (`spawner.py`) must be small and have one thread.
"""

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_PARENT = 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x0000_8000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x02, 0x08, 0x10
O_PATH = getattr(os, "O_PATH", 0x20_0000)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 15, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
_SIGCHLD = 17
_MNT_DETACH = 2
_AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE = 0x1000, 0x8000, 1
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40
# Since kernel 5 the numbers of new calls are the same on all machines.
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_CLONE, _PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}.get(os.uname().machine, (-1, -1))
_CAPABILITY_VERSION = 0x2008_0522
_libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)  # its calls keep the interpreter's lock, so that a copy of us has it too


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(what: str, *words: object) -> int:
    return _checked(int(_libc.syscall(*words)), what)


def clone(flags: int) -> int:
    """As fork: 0 in the copy, its PID in the caller. Only for a process of one thread."""
    none = ctypes.c_long(0)
    call = ctypes.c_long(_CLONE)
    return _checked(int(_held.syscall(call, ctypes.c_long(flags | _SIGCHLD), none, none, none, none)), "clone")


def setns(file: int, flags: int) -> None:
    _checked(_libc.setns(file, flags), "setns")


def unshare(kinds: int) -> None:
    _checked(_libc.unshare(kinds), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    words = (os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode())
    _checked(_libc.mount(*words), f"mount {kind} at {target}")


def open_beneath(folder: int, path: str, flags: int, *, resolve: int) -> int:
    """openat2: a path below a directory, whatever links are on the way. Returns a new descriptor."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    words = (ctypes.c_long(_OPENAT2), folder, os.fsencode(path or "."), how, ctypes.c_size_t(len(how)))
    return _syscall(f"open {path}", *words)


def attach(source: int, target: int, attributes: int) -> None:
    """Bind the file or directory that `source` is open at (with all mounted below it) over the one of `target`."""
    call, empty = ctypes.c_long(_OPEN_TREE), b""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | _AT_RECURSIVE | _AT_EMPTY_PATH | os.O_CLOEXEC)
    tree = _syscall("open_tree", call, source, empty, flags)
    try:
        set_attributes(tree, attributes)
        flags = ctypes.c_uint(_MOVE_MOUNT_EMPTY_PATHS)
        _syscall("move_mount", ctypes.c_long(_MOVE_MOUNT), tree, empty, target, empty, flags)
    finally:
        os.close(tree)


def set_attributes(file: int, attributes: int) -> None:
    """Give the mount that `file` is open at, and all below it, these attributes beside those it has."""
    if attributes:
        settings = struct.pack("QQQQ", attributes, 0, 0, 0)
        flags, size = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE), ctypes.c_size_t(len(settings))
        _syscall("mount_setattr", ctypes.c_long(_MOUNT_SETATTR), file, b"", flags, settings, size)


def pivot_here() -> None:
    """Make the working directory the root, and let go of the old one."""
    _syscall("pivot_root", ctypes.c_long(_PIVOT_ROOT), b".", b".")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def prctl(option: int, argument: int = 0, *more: int) -> None:
    rest = [ctypes.c_ulong(word) for word in (argument, *more, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *rest), f"prctl {option}")


def set_name(name: str) -> None:
    _libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def filter_calls(program: bytes) -> None:
    """Put the calls of this process and its children under a filter. program: BPF of 8-byte instructions."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _checked(_libc.prctl(PR_SET_SECCOMP, 2, head, 0, 0), "seccomp")


def set_capabilities(mask: int) -> None:
    """These as effective and permitted ones, none to be inherited."""
    low, high = mask & 0xFFFF_FFFF, mask >> 32
    head, sets = struct.pack("Ii", _CAPABILITY_VERSION, 0), struct.pack("6I", low, low, 0, high, high, 0)
    _checked(_libc.capset(head, sets), "capset")
