"""What a container's process may do: its capabilities, its user, and the calls that are closed to it.

Runs in the spawner's children, for a container's first process and for each that enters it later, so that the two
never differ.
"""

import errno
import os
import resource
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fakes.cloud import syscalls

# What container runtimes leave to root inside a container: a80425fb.
DEFAULT_CAPABILITIES = 0xA804_25FB
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
_LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"
_LOAD, _MASK, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # instructions of BPF
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where the kernel has them for a filter
_X32 = 0x4000_0000
# By the kernel's name of an architecture: the calls that make a device node, each with the place of its mode (the
# device follows), and those of the kernel's key rings, which know users but no containers.
_CALLS: Mapping[int, tuple[Mapping[int, int], Sequence[int]]] = {
    0xC000_003E: ({133: 1, 259: 2}, (248, 249, 250)),  # x86_64
    0x4000_0003: ({14: 1, 297: 2}, (286, 287, 288)),  # i386
    0xC000_00B7: ({33: 2}, (217, 218, 219)),  # aarch64
    0x4000_0028: ({14: 1, 324: 2}, (309, 310, 311)),  # arm
}


def last_capability() -> int:
    with open(_LAST_CAPABILITY, encoding="ascii") as file:  # noqa: PTH123 - the spawner has no pathlib
        return int(file.read())


def limit(limits: Mapping[str, int]) -> None:
    """limits: by the names of `resource`, each soft and hard."""
    for name, value in limits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (lowered, lowered))


def take(wanted: Mapping[str, Any], last: int) -> None:
    """Become the container's user with the container's capabilities, for good.

    wanted: `uid`, `gid`, `capabilities` (a mask), `switch` (whether this process may change users, else it is the
    wanted one already), `bounded` (whether it has capabilities to give up), `filter` (whether device nodes and key
    rings are to be closed), `no_new_privileges` (whether set-uid programs are run as any other). last: the last
    capability that the kernel knows.
    """
    mask = int(wanted["capabilities"])
    if wanted["filter"]:
        syscalls.filter_calls(closed_calls())
    if wanted["switch"]:
        os.setgroups([])
        os.setresgid(wanted["gid"], wanted["gid"], wanted["gid"])
    if wanted["bounded"]:
        _bound(mask, last, needed=not wanted["no_new_privileges"])
    if wanted["switch"]:
        os.setresuid(wanted["uid"], wanted["uid"], wanted["uid"])
    if wanted["bounded"]:
        syscalls.set_capabilities(mask if wanted["uid"] == 0 else 0)
    if wanted["no_new_privileges"]:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _bound(mask: int, last: int, *, needed: bool) -> None:
    """Give up for good what is not in the mask. needed: else it is only one lock more, and not everybody's to have."""
    for number in range(last + 1):
        if not mask >> number & 1:
            try:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
            except PermissionError:
                if needed:
                    raise


def closed_calls() -> bytes:
    """A filter for a root that is this machine's own root: it makes no device nodes, for nothing but the flags of its
    mounts would keep it from opening them, and sees no key rings, which would be those of this machine's root.
    """
    program: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for architecture, (nodes, rings) in _CALLS.items():
        section = [*_of_architecture(architecture, nodes, rings)]
        program += [(_EQUAL, 0, len(section), architecture), *section]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def _of_architecture(
    architecture: int, nodes: Mapping[int, int], rings: Sequence[int]
) -> Iterator[tuple[int, int, int, int]]:
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    yield (_LOAD, 0, 0, _NUMBER)
    if architecture == 0xC000_003E:
        yield from ((_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    for number in rings:
        yield from ((_EQUAL, 0, 1, number), refuse)
    for number, place in nodes.items():
        mode, device = _ARGUMENTS + 8 * place, _ARGUMENTS + 8 * (place + 1)
        yield from (
            (_EQUAL, 0, 8, number),
            (_LOAD, 0, 0, device),
            (_EQUAL, 5, 0, 0),  # device 0:0 is none: a whiteout of overlay file systems
            (_LOAD, 0, 0, mode),
            (_MASK, 0, 0, 0o170000),
            (_EQUAL, 1, 0, stat.S_IFBLK),
            (_EQUAL, 0, 1, stat.S_IFCHR),
            refuse,
            allow,
        )
    yield allow
