"""A network of our own for a run: loopback, and one more address that is nobody's.

An API server proxies to no loopback node, so the virtual node needs an address; and ports taken by others are no
matter here. It goes away with the last process in it.
"""

import ctypes
import fcntl
import os
import socket
import struct
from functools import cache
from pathlib import Path

ADDRESS = "198.18.0.1"  # of the block set aside for testing devices
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914
IFF_UP = 1


@cache
def enter() -> str:
    """Move this thread, and all that it starts from now on, there. Returns the address to use.

    Once only: what was started in a first network could not be reached from a second one.
    Where that is not allowed we stay where we are, and the address is loopback's.
    """
    try:
        _unshare()
    except OSError:
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _up(control, b"lo")
        _set_address(control, b"lo:1", ADDRESS)
        _up(control, b"lo:1")
    return ADDRESS


def _unshare() -> None:
    if os.geteuid() == 0:
        _call(CLONE_NEWNET)
        return
    user, group = os.geteuid(), os.getegid()
    _call(CLONE_NEWUSER | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _call(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _set_address(control: socket.socket, name: bytes, address: str) -> None:
    request = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
    fcntl.ioctl(control, SIOCSIFADDR, request)


def _up(control: socket.socket, name: bytes) -> None:
    answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
    flags = struct.unpack("16sH14x", answer)[1]
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | IFF_UP))


def add(address: str, label: str) -> None:
    """One more address of ours in the network that was entered. label: of the loopback device, as in "lo:svc1"."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _set_address(control, label.encode(), address)
        _up(control, label.encode())
