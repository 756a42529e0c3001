"""The few requests to the kernel's rtnetlink that the network of a fake cloud needs: links, addresses, routes.

A program started for each of them would take ten times as long, and a few hundred groups begin at once. A message
here is the bytes of one request but for its head; `Kernel.ask` sends several in one call, and they are carried out in
order. Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

IPv4Network = ipaddress.IPv4Network
IPv4Address = ipaddress.IPv4Address
LOOPBACK = 1  # the index of `lo` in every namespace

_REQUEST, _ACK, _DUMP, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_ERROR, _DONE = 2, 3
_NEW_LINK, _DELETE_LINK, _GET_LINK, _SET_LINK = 16, 17, 18, 19
_NEW_ADDRESS, _NEW_ROUTE, _GET_ROUTE = 20, 24, 26
_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34
_RULE_FROM_LINK, _RULE_PRIORITY, _UNREACHABLE, _AFTER_LOCAL = 3, 6, 7, 32000
_LINK_ADDRESS, _LINK_NAME, _LINK_MASTER, _LINK_INFO, _LINK_ALIAS, _LINK_FAMILIES = 1, 3, 10, 18, 20, 26
_LINK_GROUP, _LINK_NAMESPACE = 27, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_INET_SETTINGS, _FORWARDING = 1, 1
_INET6_HOW_TO_NAME_ITSELF, _NOT_AT_ALL = 8, b"\x01"
_IFF_UP = 1
_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_FLAGS, _NO_ROUTE = 1, 2, 8, 0x200
_ROUTE_TO, _ROUTE_DEVICE, _ROUTE_VIA = 1, 4, 5
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_ALL, _SCOPE_LINK, _UNICAST = 254, 4, 0, 253, 1
_RECEIVE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """One link of this machine."""

    index: int
    name: str
    alias: str


class Kernel:
    """A socket to the network namespace the calling thread was in when it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, *messages: Message) -> None:
        """Do all of them. Raises OSError for the first that the kernel refused; the others are done all the same."""
        self._send(*(Message(each.kind, each.flags | _ACK, each.body) for each in messages))
        codes: list[int] = []
        while len(codes) < len(messages):
            codes += [struct.unpack_from("i", body)[0] for kind, body in self._receive() if kind == _ERROR]
        bad = next((-code for code in codes if code), 0)
        if bad:
            raise OSError(bad, os.strerror(bad))

    def links(self) -> list[Found]:
        found = []
        for body in self._dump(_GET_LINK, _link()):
            named = dict(_attributes(body[16:]))
            index = struct.unpack_from("i", body, 4)[0]
            found.append(Found(index, _text(named.get(_LINK_NAME, b"")), _text(named.get(_LINK_ALIAS, b""))))
        return found

    def routes(self) -> list[IPv4Network]:
        """Where IPv4 routes of any table lead, the default route left out."""
        found = []
        for body in self._dump(_GET_ROUTE, struct.pack("BBBBBBBBI", socket.AF_INET, *[0] * 8)):
            length = body[1]
            target = dict(_attributes(body[12:])).get(_ROUTE_TO)
            if body[0] == socket.AF_INET and length and target is not None:
                found.append(IPv4Network((target, length), strict=False))
        return found

    def refusals(self) -> list[str]:
        """Names of the links of all rules like `refuse_to_forward`'s, whether the links are there or not."""
        found = []
        for body in self._dump(_GET_RULE, _rule_head()):
            named = dict(_attributes(body[12:]))
            if body[7] == _UNREACHABLE and named.get(_RULE_PRIORITY) == _number(_AFTER_LOCAL):
                found.append(_text(named.get(_RULE_FROM_LINK, b"")))
        return found

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._send(Message(kind, _DUMP, body))
        while True:
            for answer, content in self._receive():
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -struct.unpack_from("i", content)[0]
                    raise OSError(code, os.strerror(code))
                yield content

    def _send(self, *messages: Message) -> None:
        packed = []
        for each in messages:
            self._number += 1
            head = struct.pack("IHHII", 16 + len(each.body), each.kind, each.flags | _REQUEST, self._number, 0)
            packed.append(head + each.body)
        self._socket.send(b"".join(packed))

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        data = self._socket.recv(_RECEIVE_BYTES)
        while data:
            length, kind = struct.unpack_from("IH", data)
            yield kind, data[16:length]
            data = data[_aligned(length) :]


def new_bridge(name: str, *, alias: str, hardware: bytes) -> tuple[Message, ...]:
    """A bridge that is down, its alias and address its own from the first moment."""
    info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, b"bridge"))
    own = _attribute(_LINK_NAME, _zero(name))
    return (
        Message(_NEW_LINK, _CREATE | _EXCL, _link() + own + _attribute(_LINK_ADDRESS, hardware) + info),
        Message(_SET_LINK, 0, _link() + own + _attribute(_LINK_ALIAS, alias.encode())),
    )


def new_pair(name: str, *, bridge: int, group: int, peer: str, peer_index: int, hardware: bytes, into: int) -> Message:
    """Two linked devices, both down: `name` here, in a group of links and at a bridge; `peer` in namespace `into`."""
    there = _link(peer_index) + _attribute(_LINK_NAME, _zero(peer)) + _attribute(_LINK_ADDRESS, hardware)
    data = _attribute(_VETH_PEER, there + _attribute(_LINK_NAMESPACE, _number(into)))
    body = _link() + _attribute(_LINK_NAME, _zero(name)) + _attribute(_LINK_MASTER, _number(bridge))
    body += _attribute(_LINK_GROUP, _number(group))
    info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, data)
    return Message(_NEW_LINK, _CREATE | _EXCL, body + _attribute(_LINK_INFO, info))


def up(index: int) -> Message:
    return Message(_SET_LINK, 0, _link(index, up=True))


def up_quietly(index: int = 0, name: str = "") -> tuple[Message, ...]:
    """Up, without an IPv6 address of its own making and the announcements that go with it. By index or by name."""
    inet6 = _attribute(socket.AF_INET6, _attribute(_INET6_HOW_TO_NAME_ITSELF, _NOT_AT_ALL))
    own = _attribute(_LINK_NAME, _zero(name)) if name else b""
    # In two, since in one message the kernel would set the link up first.
    return (
        Message(_SET_LINK, 0, _link(index) + own + _attribute(_LINK_FAMILIES, inet6)),
        Message(_SET_LINK, 0, _link(index, up=True) + own),
    )


def refuse_to_forward(name: str, index: int) -> tuple[Message, ...]:
    """What comes in by this link is for this machine or refused with an answer, whatever else this machine forwards.

    The rule outlives the link. A link that forwards nothing at all would answer nothing.
    """
    settings = _attribute(_INET_SETTINGS, _attribute(_FORWARDING, _number(1)))
    inet = _attribute(_LINK_FAMILIES, _attribute(socket.AF_INET, settings))
    return Message(_NEW_RULE, _CREATE | _EXCL, _refusal(name)), Message(_SET_LINK, 0, _link(index) + inet)


def delete_refusal(name: str) -> Message:
    """ENOENT when there is none."""
    return Message(_DELETE_RULE, 0, _refusal(name))


def delete_link(index: int) -> Message:
    return Message(_DELETE_LINK, 0, _link(index))


def delete_links(group: int) -> Message:
    """All links of a group at once; ENODEV when there is none."""
    return Message(_DELETE_LINK, 0, _link() + _attribute(_LINK_GROUP, _number(group)))


def new_address(index: int, address: IPv4Address, length: int, *, with_route: bool) -> Message:
    """with_route: also a route to the whole network, whoever may have one to the same already."""
    body = struct.pack("BBBBi", socket.AF_INET, length, 0, 0, index)
    body += _attribute(_ADDRESS, address.packed) + _attribute(_ADDRESS_LOCAL, address.packed)
    return Message(
        _NEW_ADDRESS, _CREATE | _EXCL, body if with_route else body + _attribute(_ADDRESS_FLAGS, _number(_NO_ROUTE))
    )


def new_route(index: int, to: IPv4Network, via: IPv4Address | None = None) -> Message:
    """EEXIST when there is a route to exactly this network."""
    scope = _SCOPE_LINK if via is None else _SCOPE_ALL
    fixed = (socket.AF_INET, to.prefixlen, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, 0)
    body = struct.pack("BBBBBBBBI", *fixed) + _attribute(_ROUTE_DEVICE, _number(index))
    if to.prefixlen:
        body += _attribute(_ROUTE_TO, to.network_address.packed)
    if via is not None:
        body += _attribute(_ROUTE_VIA, via.packed)
    return Message(_NEW_ROUTE, _CREATE | _EXCL, body)


def is_missing(error: OSError) -> bool:
    return error.errno in (errno.ENODEV, errno.ENOENT)


def _rule_head(action: int = 0) -> bytes:
    return struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, action, 0)


def _refusal(name: str) -> bytes:
    body = _rule_head(_UNREACHABLE) + _attribute(_RULE_FROM_LINK, _zero(name))
    return body + _attribute(_RULE_PRIORITY, _number(_AFTER_LOCAL))


def _link(index: int = 0, *, up: bool = False) -> bytes:
    flag = _IFF_UP if up else 0
    return struct.pack("BxHiII", socket.AF_UNSPEC, 0, index, flag, flag)


def _attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return struct.pack("HH", length, kind) + content + bytes(_aligned(length) - length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[max(4, _aligned(length)) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(value: int) -> bytes:
    return struct.pack("I", value)


def _zero(text: str) -> bytes:
    return text.encode() + b"\0"


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode(errors="replace")
