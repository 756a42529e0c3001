"""Every group the service knows, and the orders in which they are asked for.

What is always true: a group is in `_by_id` exactly when it is in the creation order and in the change order once each;
a view holds exactly the known groups that match its region and tags. Listing a page costs the page, not the store.
"""

import ipaddress
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterator

from fakes.cloud.group import ENDED, SCHEDULE_FAILED, Group

Selector = tuple[str, frozenset[tuple[str, str | None]]]
RETAIN_ALL_S = 3600.0
RETAIN_NEWEST = 100
RETAIN_SCHEDULE_FAILED_S = 24 * 3600.0
MAX_VIEWS = 32
CIDR = "10.64.0.0/12"
_OWN_ADDRESSES = 10  # the first of a subnet are the cloud's


class View:
    """The creation numbers of the groups of one region that bear some tags, ascending."""

    def __init__(self, selector: Selector) -> None:
        self.region, self.tags = selector
        self.seqs: list[int] = []

    def matches(self, group: Group) -> bool:
        if group.region != self.region:
            return False
        return all(key in group.tags and value in (None, group.tags[key]) for key, value in self.tags)

    def add(self, seq: int) -> None:
        insort(self.seqs, seq)

    def discard(self, seq: int) -> None:
        place = bisect_left(self.seqs, seq)
        if place < len(self.seqs) and self.seqs[place] == seq:
            del self.seqs[place]


class Store:
    """One writer, `lifecycle`; many readers. cidr: where the groups' addresses come from."""

    def __init__(self, cidr: str = CIDR) -> None:
        self._by_id: dict[str, Group] = {}
        self._by_seq: dict[int, Group] = {}
        self._by_change: dict[int, Group] = {}
        self._changes: list[int] = []  # ascending; entries of older changes are removed as a group changes again
        self._views: OrderedDict[Selector, View] = OrderedDict()
        self._ended: OrderedDict[str, Group] = OrderedDict()  # by end, oldest first
        self._unscheduled: OrderedDict[str, Group] = OrderedDict()
        self._change_seq = 0
        self._network = ipaddress.ip_network(cidr)
        self._usable = self._network.num_addresses - _OWN_ADDRESSES - 1
        if self._usable < 1:
            raise ValueError(f"the network {cidr} has no room for groups")
        self._next_ip = 0
        self._ips: set[str] = set()
        self.used_cpu = 0.0
        self.version = 0  # grows with every change of any group

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._by_seq.values()))

    def get(self, group_id: str) -> Group | None:
        return self._by_id.get(group_id)

    def add(self, group: Group, now: float) -> None:
        self._by_id[group.id] = group
        self._by_seq[group.seq] = group
        self.used_cpu += group.cpu
        for view in self._views.values():
            if view.matches(group):
                view.add(group.seq)
        self.touch(group, now)

    def touch(self, group: Group, now: float) -> None:
        """Note that something a caller can see has changed."""
        if group.id not in self._by_id:
            return
        group.shown = None
        self._drop_change(group)
        self.version += 1
        self._change_seq += 1
        group.change_seq = self._change_seq
        newest = self._by_change[self._changes[-1]].changed_at if self._changes else now
        group.changed_at = max(now, newest)  # so that the order of changes is also the order of their times
        self._changes.append(group.change_seq)
        self._by_change[group.change_seq] = group

    def retag(self, group: Group, tags: dict[str, str]) -> None:
        group.tags = tags
        self.version += 1
        for view in self._views.values():
            view.discard(group.seq)
            if view.matches(group):
                view.add(group.seq)

    def resize(self, group: Group, cpu: float, memory_gib: float) -> None:
        self.used_cpu += cpu - group.cpu
        group.cpu, group.memory_gib = cpu, memory_gib

    def end(self, group: Group) -> None:
        """The group has come to its end and is only remembered; its vCPU and address are free."""
        (self._unscheduled if group.status == SCHEDULE_FAILED else self._ended)[group.id] = group
        self._free(group)

    def remove(self, group: Group) -> None:
        if group.ended_at is None:
            self._free(group)
        self._ended.pop(group.id, None)
        self._unscheduled.pop(group.id, None)
        del self._by_id[group.id], self._by_seq[group.seq]
        self._drop_change(group)
        self.version += 1
        for view in self._views.values():
            view.discard(group.seq)

    def expired(self, now: float) -> list[Group]:
        """Ended groups to be forgotten: over an hour old and not among the newest hundred; oldest first."""
        surplus = len(self._ended) - RETAIN_NEWEST
        out = []
        for place, group in enumerate(self._ended.values()):
            if place >= surplus or not _older(group, now, RETAIN_ALL_S):
                break
            out.append(group)
        for group in self._unscheduled.values():
            if not _older(group, now, RETAIN_SCHEDULE_FAILED_S):
                break
            out.append(group)
        return out

    def view(self, region: str, tags: frozenset[tuple[str, str | None]]) -> View:
        """The view for a filter; made on first use and kept up to date from then on."""
        selector = (region, tags)
        view = self._views.get(selector)
        if view is None:
            view = View(selector)
            view.seqs = [seq for seq, group in self._by_seq.items() if view.matches(group)]
            self._views[selector] = view
            if len(self._views) > MAX_VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(selector)
        return view

    def created_after(self, view: View, seq: int) -> Iterator[Group]:
        """Groups of a view in order of creation, from the first one after `seq`."""
        for place in range(bisect_right(view.seqs, seq), len(view.seqs)):
            yield self._by_seq[view.seqs[place]]

    def changed_since(self, when: float, after: int) -> Iterator[Group]:
        """Groups changed at or after `when`, in order of change, from the first one after change number `after`."""
        start = bisect_left(self._changes, when, key=lambda number: self._by_change[number].changed_at)
        start = max(start, bisect_right(self._changes, after))
        for place in range(start, len(self._changes)):
            yield self._by_change[self._changes[place]]

    def has_ip(self) -> bool:
        return len(self._ips) < self._usable

    def take_ip(self) -> str:
        """An address no live group has; to be called only while there is one."""
        while True:
            address = str(self._network[_OWN_ADDRESSES + self._next_ip % self._usable])
            self._next_ip += 1
            if address not in self._ips:
                self._ips.add(address)
                return address

    def _free(self, group: Group) -> None:
        self.used_cpu -= group.cpu
        self._ips.discard(group.ip)

    def _drop_change(self, group: Group) -> None:
        if self._by_change.pop(group.change_seq, None) is not None:
            del self._changes[bisect_left(self._changes, group.change_seq)]


def _older(group: Group, now: float, seconds: float) -> bool:
    return group.ended_at is not None and now - group.ended_at > seconds


def is_live(group: Group) -> bool:
    return group.status not in ENDED
