"""`vk-provider status`: what the provider of each virtual node does now. Pure but for asking it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from vk_provider.commands import terminal
from vk_provider.commands.cluster import Reader, all_snapshots, virtual_nodes
from vk_provider.commands.terminal import BOLD, GREEN, RED, YELLOW, Style, amount, duration, row, table, wrapped
from vk_provider.snapshot.document import PodSummary, Snapshot
from vk_provider.snapshot.pods import instant

_MOST_GROUPS, _MOST_ORPHANS, _MOST_BUDGETS = 8, 5, 4


async def collect(client: Reader, node: str = "") -> Sequence[tuple[str, Snapshot | str]]:
    """By node its snapshot, or why there is none. node: empty = all of them. Raises KubeError."""
    nodes = [node] if node else list(await virtual_nodes(client))
    return list(zip(nodes, await all_snapshots(client, nodes), strict=True))


def text(found: Sequence[tuple[str, Snapshot | str]], style: Style = terminal.PLAIN) -> str:
    if not found:
        return "\n".join(wrapped("no virtual node of this provider is registered here", style)) + "\n"
    blocks = [
        [f"{style.paint(BOLD, node)}  {style.paint(RED, 'no answer')}", *wrapped(each, style)]
        if isinstance(each, str)
        else [*_of_node(each, style)]
        for node, each in found
    ]
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def _of_node(shot: Snapshot, style: Style) -> Iterator[str]:
    failing = [each for each in shot.checks if not each.is_healthy]
    word, colour = ("ready", GREEN) if shot.is_ready else ("not ready", RED)
    yield f"{style.paint(BOLD, shot.node)}  {style.paint(colour, word)}"
    yield from row("version", f"{shot.build.version}, up {_age(shot.build.started_at, shot.at)}", style)
    yield from row("leadership", _leadership(shot), style, colour="" if shot.leadership.is_leader else RED)
    yield from row("cloud", _cloud(shot), style, colour=RED if shot.cloud.is_healthy is False else "")
    for check in failing:
        yield from row(check.name, f"{check.message} (for {duration(check.age_s)})", style, colour=RED)
    yield from row("queue", _queue(shot), style, colour=YELLOW if shot.queue.oldest_s > 60 else "")
    phases = ", ".join(f"{count} {phase}" for phase, count in shot.pod_counts.by_phase.items())
    yield from row("pods", f"{shot.pod_counts.total}{f' ({phases})' if phases else ''}", style)
    statuses = ", ".join(f"{count} {status}" for status, count in shot.instances.by_status.items())
    yield from row("instances", f"{shot.instances.total}{f' ({statuses})' if statuses else ''}", style)
    for cost in shot.costs:
        told = f"{amount(cost.per_hour)} {cost.currency}/h, {amount(cost.since_start)} {cost.currency} since the start"
        yield from row("cost", f"about {told}", style)
    if shot.instances.orphans_total or shot.instances.orphans_deleted:
        yield from row("orphans", _orphans(shot), style, colour=YELLOW if shot.instances.orphans_total else "")
    if shot.certificate_expires_at:
        left = duration(_seconds(shot.at, shot.certificate_expires_at))
        yield from row("certificate", f"until {shot.certificate_expires_at} ({left} left)", style)
    busiest = sorted(shot.budgets, key=lambda each: -each.used / each.allowed)[:_MOST_BUDGETS]
    if any(each.used for each in busiest):
        used = (f"{each.action} {each.used}/{each.allowed}" for each in busiest if each.used)
        yield from row("calls/min", ", ".join(used), style)
    if shot.pod_counts.waiting:
        yield ""
        yield from _waiting(shot, style)


def _leadership(shot: Snapshot) -> str:
    known = shot.leadership
    if not known.lease:
        return "alone (no election)"
    left = "" if known.remaining_s is None else f", {known.remaining_s:.0f} s of the lease left"
    return f"{'leads' if known.is_leader else 'does not lead'} by lease {known.lease}{left}"


def _cloud(shot: Snapshot) -> str:
    state = {True: "answers", False: "fails", None: "not asked yet"}[shot.cloud.is_healthy]
    where = f" {shot.cloud.region}" if shot.cloud.region else ""
    why = f": {shot.cloud.message}" if shot.cloud.message and shot.cloud.is_healthy is False else ""
    return f"{shot.cloud.name}{where} {state}{why}"


def _queue(shot: Snapshot) -> str:
    known = shot.queue
    oldest = f", the oldest for {known.oldest_s:.1f} s" if known.depth else ""
    failing = f"; {known.failing} pods' last reconcile failed" if known.failing else ""
    return f"{known.depth} in line{oldest}, {known.delayed} due later{failing}"


def _orphans(shot: Snapshot) -> str:
    shown = [each.instance for each in shot.instances.orphans[:_MOST_ORPHANS]]
    more = "" if len(shown) == shot.instances.orphans_total else ", …"
    return f"{shot.instances.orphans_total} now ({', '.join(shown)}{more}); {shot.instances.orphans_deleted} deleted"


def _waiting(shot: Snapshot, style: Style) -> Iterator[str]:
    groups = shot.pod_counts.waiting
    rows = [(each.reason, str(each.count), (each.examples or ("",))[0], each.message) for each in groups[:_MOST_GROUPS]]
    yield from table(("NOT RUNNING", "PODS", "AS", "WHY"), rows, style)
    if len(groups) > _MOST_GROUPS:
        yield f"and {len(groups) - _MOST_GROUPS} more reasons"
    yield from wrapped("`vk-provider explain NAMESPACE/POD` says more of one.", style)


def instances_table(pods: Sequence[PodSummary], at: str, style: Style) -> list[str]:
    rows = [
        (
            each.instance,
            f"{each.namespace}/{each.name}" + (" (orphan)" if each.is_orphan else ""),
            each.instance_status,
            each.sku,
            _age(each.placed_at or each.created_at, at),
            f"{each.per_hour:.4f} {each.currency}/h" if each.currency else "",
        )
        for each in pods
    ]
    return table(("INSTANCE", "POD", "STATUS", "SIZE", "AGE", "PRICE"), rows, style, whole=1)


def _age(since: str, at: str) -> str:
    return duration(_seconds(since, at)) if since else ""


def _seconds(since: str, until: str) -> float:
    began, end = instant(since), instant(until) or datetime.now(UTC)
    return (end - began).total_seconds() if began is not None else 0.0
