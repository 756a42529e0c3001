"""Which nodes each of several replicas serves: as even as numbers allow, and with as few moves as that takes. Pure.

All replicas work this out for themselves, from what they see of the leases. Where their views differ the leases decide,
and the next look is better.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """holders: node → replica whose lease of it lasts. replicas: those that live. overdue: nodes that nobody has taken
    for so long that whoever can is to."""

    nodes: Collection[str]
    holders: Mapping[str, str]
    replicas: Collection[str]
    own: str
    overdue: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """What one replica is to do. take: nodes that are free. release: nodes of its own that others are to have."""

    take: frozenset[str] = frozenset()
    release: frozenset[str] = frozenset()


def share_of(standing: Standing) -> Share:
    """A free node goes to whoever has the fewest; who has more than his share gives away what is too much."""
    counts = dict.fromkeys(sorted({*standing.replicas, standing.own}), 0)
    own: list[str] = []
    free: list[str] = []
    for node in sorted(standing.nodes):
        holder = standing.holders.get(node)
        if holder is None:
            free.append(node)
            continue
        counts[holder] = counts.get(holder, 0) + 1
        if holder == standing.own:
            own.append(node)
    before = dict(counts)
    take = set(standing.overdue) & set(free)
    for node in free:
        fewest = min(sorted(counts), key=counts.__getitem__)
        counts[fewest] += 1
        if fewest == standing.own:
            take.add(node)
    least, rest = divmod(len(standing.nodes), len(before))
    most = least + bool(rest)
    surplus = own[most:]
    is_short = any(count < least for count in before.values())
    first = min((each for each, count in before.items() if count == most), default="")
    if len(own) == most > least and is_short and not free and first == standing.own:
        surplus = own[-1:]  # one of those that have one more than the least: the others keep theirs
    return Share(frozenset(take), frozenset(surplus))
