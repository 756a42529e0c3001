"""A network for the groups of one fake cloud: a bridge of this machine, and for each group a namespace linked to it.

A group's address can be dialled from this machine and from the other groups of the same cloud; groups reach every
address of this machine but loopback's. Nothing is forwarded further: a group that asks for another machine is told at
once that there is no way.

A namespace has no name: it is there while this process holds it open or something runs in it, so that the kernel
removes it, and both ends of its link, however this process ends. Only a bridge and its routing rule can be left
behind; the next fake cloud removes them. A bridge is known by its name and alias, and its owner holds a socket of the
same name while it lives.
"""

import asyncio
import ctypes
import errno
import ipaddress
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from fakes.cloud import netlink
from fakes.cloud.netlink import IPv4Address, IPv4Network, Kernel

Traffic = dict[str, int]

_RANGES = [IPv4Network(text) for text in ("10.64.0.0/12", "172.16.0.0/12", "192.168.0.0/16")]
_PREFIX = 22  # 1,024 addresses, as many as a bridge has ports
_ALIAS = "network of a fake ECI cloud"
_NAME = re.compile(r"vkbr\d+(-\d+)?")
_DEVICE = "eth0"
_DEVICE_INDEX = 2
_GROUP_BASE = 0x766B_0000  # of the links at one bridge: this plus the bridge's index
_COUNTERS_KEPT_S = 0.2
_CLONE_NEWNET = 0x4000_0000
_DEFAULT = IPv4Network("0.0.0.0/0")
_libc = ctypes.CDLL(None, use_errno=True)


class Link:
    """One group's namespace and its way to the bridge. Once closed, it goes with the last process in it."""

    def __init__(self, name: str, namespace: int) -> None:
        self.name = name  # of the end that this machine sees
        self.namespace = namespace  # open at it

    def close(self) -> None:
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


class Network:
    """Links are made one after another by a thread of its own; all else is for the event loop's thread.

    cidr: the network in use. bridge: the name of the bridge, which has the network's first address.
    """

    def __init__(self, cidr: str | None = None) -> None:
        """cidr: exactly this network, instead of the first free one.

        Raises OSError when this machine or this user cannot have such a network, or the one asked for is taken.
        """
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._kernel = Kernel()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._numbers = itertools.count(1)
        self._links: set[Link] = set()
        self._guard = threading.Lock()
        self._counters: tuple[float, dict[str, Traffic]] = (-1.0, {})
        self.bridge = ""
        self._bridge = 0
        try:
            _sweep(self._kernel)
            self._build(cidr)
            self._worker.submit(self._make, self._addresses[-2]).result().close()
        except BaseException:
            self.close()
            raise

    @property
    def cidr(self) -> str:
        return str(self._addresses)

    def connect(self, address: str) -> asyncio.Future[Link]:
        """A new namespace where `eth0` has this address. The future fails with OSError; it is not to be cancelled."""
        return asyncio.get_running_loop().run_in_executor(self._worker, self._make, IPv4Address(address))

    def disconnect(self, link: asyncio.Future[Link]) -> None:
        """Close a link now, or as soon as it is there."""

        def close(made: asyncio.Future[Link]) -> None:
            if not made.cancelled() and made.exception() is None:
                with self._guard:
                    self._links.discard(made.result())
                made.result().close()

        if link.done():
            close(link)
        else:
            link.add_done_callback(close)

    def traffic(self, link: Link) -> Traffic:
        """What went through a link so far, as its group counts it; empty when it is gone."""
        read_at, counters = self._counters
        if time.monotonic() - read_at > _COUNTERS_KEPT_S:
            counters = _counters(Path("/proc/thread-self/net/dev").read_text())
            self._counters = (time.monotonic(), counters)
        return counters.get(link.name, {})

    def close(self) -> None:
        """Remove everything; nothing must run in a link any more."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        for link in self._links:
            link.close()
        self._links.clear()
        if self._bridge:
            _remove(self._kernel, self.bridge, self._bridge)
            self._bridge = 0
        self._kernel.close()
        self._lock.close()
        os.close(self._home)

    def _build(self, cidr: str | None) -> None:
        """Make the bridge and find a network for it: of two fakes that want the same one, the kernel lets one have it.

        That is so since all take theirs from one grid, so that two are the same or apart.
        """
        self.bridge = name = self._claim_name()
        hardware = b"\x02\x01" + os.urandom(4)
        self._kernel.ask(*netlink.new_bridge(name, alias=_ALIAS, hardware=hardware))
        self._bridge = socket.if_nametoindex(name)
        self._kernel.ask(*netlink.refuse_to_forward(name, self._bridge), *netlink.up_quietly(self._bridge))
        taken = self._kernel.routes()
        for addresses in [_ipv4(cidr)] if cidr else _grid():
            if any(addresses.overlaps(other) for other in taken):
                continue
            try:
                self._kernel.ask(netlink.new_route(self._bridge, addresses))
            except FileExistsError:
                continue
            self._addresses, self._gateway = addresses, addresses[1]
            address = netlink.new_address(self._bridge, self._gateway, addresses.prefixlen, with_route=False)
            self._kernel.ask(address)
            return
        what = f"the network {cidr} is" if cidr else "all private networks are"
        raise OSError(errno.EADDRINUSE, f"{what} in use on this machine")

    def _claim_name(self) -> str:
        for number in itertools.count():
            name = f"vkbr{os.getpid()}-{number}" if number else f"vkbr{os.getpid()}"
            with suppress(OSError):
                self._lock.bind(f"\0{name}")
                return name
        raise AssertionError("unreachable")

    def _make(self, address: IPv4Address) -> Link:
        """In the worker's thread."""
        name = f"vk{self._bridge}-{next(self._numbers)}"
        namespace, inside = self._new_namespace()
        try:
            self._kernel.ask(
                netlink.new_pair(
                    name,
                    bridge=self._bridge,
                    group=_GROUP_BASE + self._bridge,
                    peer=_DEVICE,
                    peer_index=_DEVICE_INDEX,
                    hardware=b"\x02\x00" + address.packed,  # so that what others remember of an address stays true
                    into=namespace,
                )
            )
            inside.ask(
                netlink.up(netlink.LOOPBACK),
                *netlink.up_quietly(_DEVICE_INDEX),
                netlink.new_address(_DEVICE_INDEX, address, self._addresses.prefixlen, with_route=True),
            )
            self._kernel.ask(*netlink.up_quietly(name=name))
            inside.ask(netlink.new_route(_DEVICE_INDEX, _DEFAULT, self._gateway))
        except BaseException:
            os.close(namespace)
            raise
        finally:
            inside.close()
        link = Link(name, namespace)
        with self._guard:
            self._links.add(link)
        return link

    def _new_namespace(self) -> tuple[int, Kernel]:
        """A file that stands for it, and a socket into it. This thread is back home afterwards."""
        if _libc.unshare(_CLONE_NEWNET) != 0:
            raise _os_error()
        try:
            namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return namespace, Kernel()
            except BaseException:
                os.close(namespace)
                raise
        finally:
            _enter(self._home)


def _grid() -> Iterator[IPv4Network]:
    for wide in _RANGES:
        yield from wide.subnets(new_prefix=_PREFIX)


def _ipv4(cidr: str) -> IPv4Network:
    found = ipaddress.ip_network(cidr)
    if not isinstance(found, IPv4Network):
        raise OSError(errno.EAFNOSUPPORT, f"{cidr} is not an IPv4 network")
    if found.prefixlen > 30:
        raise OSError(errno.EINVAL, f"the network {cidr} has no room for groups")
    return found


def _sweep(kernel: Kernel) -> None:
    """Remove the bridges whose owners have died, and rules whose bridges have gone."""
    ours = {link.name: link.index for link in kernel.links() if link.alias == _ALIAS and _NAME.fullmatch(link.name)}
    orphans = {name for name in kernel.refusals() if _NAME.fullmatch(name)}
    for name in ours.keys() | orphans:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as lock:
            try:
                lock.bind(f"\0{name}")
            except OSError:
                continue  # it lives, or another one is removing it
            _remove(kernel, name, ours.get(name, 0))


def _remove(kernel: Kernel, name: str, bridge: int) -> None:
    """bridge: its index, or 0 when only the rule is left."""
    links = [netlink.delete_links(_GROUP_BASE + bridge), netlink.delete_link(bridge)] if bridge else []
    for message in (*links, netlink.delete_refusal(name)):
        try:
            kernel.ask(message)
        except OSError as error:
            if not netlink.is_missing(error):
                raise


def _counters(table: str) -> dict[str, Traffic]:
    """Read /proc/net/dev. What this machine's end of a link receives, its group has sent."""
    found = {}
    for line in table.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        found[name.strip()] = {
            f"{way}{what}": numbers[start + place]
            for way, start in (("Tx", 0), ("Rx", 8))
            for place, what in enumerate(("Bytes", "Packets", "Errors", "Drops"))
        }
    return found


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise _os_error()


def _os_error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
