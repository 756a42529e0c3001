"""`vk-provider instances`: what runs and what it costs; with `--delete-orphans` those without a pod are deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from vk_provider.cloud.base import Cloud, describe_error
from vk_provider.commands import terminal
from vk_provider.commands.cluster import Reader, snapshot_of, virtual_nodes
from vk_provider.commands.status import instances_table
from vk_provider.commands.terminal import Style, wrapped
from vk_provider.errors import CloudError, KubeError, NotFound
from vk_provider.kube import paths
from vk_provider.snapshot.document import PodSummary, Snapshot


async def collect(client: Reader, node: str = "") -> Sequence[Snapshot]:
    """With all pods. Raises KubeError, NoAnswer."""
    nodes = [node] if node else await virtual_nodes(client)
    return [await snapshot_of(client, each, with_pods=True) for each in nodes]


def as_json(found: Sequence[Snapshot]) -> str:
    """A list of PodSummary: of each instance."""
    return msgspec.json.format(msgspec.json.encode(_instances(found)), indent=2).decode() + "\n"


def _instances(found: Sequence[Snapshot]) -> list[PodSummary]:
    return [pod for shot in found for pod in shot.pods if pod.instance]


def text(found: Sequence[Snapshot], style: Style = terminal.PLAIN) -> str:
    there = _instances(found)
    if not there:
        return "no instances\n"
    lines = instances_table(there, max(shot.at for shot in found), style)
    rates: dict[str, float] = {}
    for shot in found:
        for cost in shot.costs:
            rates[cost.currency] = rates.get(cost.currency, 0.0) + cost.per_hour
    total = ", ".join(f"about {rate:.4f} {currency}/h" for currency, rate in rates.items())
    lines += ["", f"{len(there)} instances{f', {total}' if total else ''}"]
    return "".join(f"{line}\n" for line in lines)


async def orphans_of(client: Reader, cloud: Cloud) -> Sequence[tuple[str, str]]:
    """Instances of the node's that have no pod, each with the pod that it was made for: as the cloud and the API server
    have it at this moment. Nothing that a cache says is enough to delete something.

    Raises CloudError, and KubeError where a pod cannot be read: what is not known to be gone is none.
    """
    found: list[tuple[str, str]] = []
    for instance in await cloud.list():
        owner = instance.owner
        if not (owner.namespace and owner.name and owner.uid and instance.proven) or instance.status.is_ended:
            continue
        try:
            pod = await client.get(paths.pod(owner.namespace, owner.name))
        except NotFound:
            pod = None
        if pod is None or pod["metadata"].get("uid") != owner.uid:
            found.append((instance.id, f"{owner.namespace}/{owner.name}"))
    return found


async def delete_orphans(
    client: Reader, cloud: Cloud, *, is_agreed: Callable[[Sequence[tuple[str, str]]], bool], style: Style
) -> tuple[str, bool]:
    """What was done, and whether all of it went well. is_agreed: asks whoever sits there before one is deleted."""
    try:
        orphans = await orphans_of(client, cloud)
    except (CloudError, KubeError) as error:
        return "\n".join(wrapped(f"nothing was deleted: {describe_error(error)}", style)) + "\n", False
    if not orphans:
        return "no orphans\n", True
    if not is_agreed(orphans):
        return "nothing was deleted\n", False
    lines, is_well = [], True
    for instance, pod in orphans:
        try:
            await cloud.delete(instance, force=True)
            lines.append(f"deleted {instance} of {pod}")
        except CloudError as error:
            is_well = False
            lines += wrapped(f"{instance} of {pod} was not deleted: {describe_error(error)}", style)
    return "".join(f"{line}\n" for line in lines), is_well
