"""The way to a running provider: through the API server to the kubelet API of its node.

So nothing of the provider has to be reachable from where one asks, and Kubernetes' own rights (`get nodes/proxy`)
decide who may see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from vk_provider.errors import KubeError, NotFound
from vk_provider.kube import objects, paths
from vk_provider.snapshot.document import Explanation, Snapshot
from vk_provider.snapshot.routes import EXPLAIN_PATH, SNAPSHOT_PATH

Json = dict[str, Any]

NODE_LABEL = "type=virtual-kubelet"
IDENTITY_ANNOTATION = "vk-provider.io/identity"
TIMEOUT_S = 10.0
_MOST_NODES = 50
_MOST_EVENTS = 500


class Reader(Protocol):
    """What of the API server's client is needed here."""

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = ...) -> Json: ...

    async def post(
        self, path: str, body: Json, *, params: Mapping[str, str] | None = None, timeout_s: float = ...
    ) -> Json: ...


class NoAnswer(Exception):
    """The provider of a node cannot be asked; the message says why, and what to do."""


class NoProvider(NoAnswer):
    """The API server has no such node, or what answers at its address does not know the question."""


async def virtual_nodes(client: Reader) -> Sequence[str]:
    """Names of the nodes that a provider of ours has registered. Raises KubeError."""
    answer = await client.get(paths.nodes(), params={"labelSelector": NODE_LABEL}, timeout_s=TIMEOUT_S)
    found = [node for node in answer.get("items") or () if is_ours(node)]
    return sorted(node["metadata"]["name"] for node in found)[:_MOST_NODES]


def is_ours(node: Json) -> bool:
    """Whether a provider of ours has registered it."""
    return IDENTITY_ANNOTATION in (node["metadata"].get("annotations") or {})


async def snapshot_of(client: Reader, node: str, *, with_pods: bool = False) -> Snapshot:
    """Raises NoAnswer."""
    params = {"pods": "true"} if with_pods else {}
    return msgspec.convert(await _query(client, node, SNAPSHOT_PATH, params), Snapshot)


async def explanation_of(client: Reader, node: str, namespace: str, name: str) -> Explanation | None:
    """None: the provider does not have the pod (yet). Raises NoAnswer."""
    params = {"namespace": namespace, "name": name}
    try:
        return msgspec.convert(await _query(client, node, EXPLAIN_PATH, params), Explanation)
    except NotFound:
        return None


async def _query(client: Reader, node: str, path: str, params: Mapping[str, str]) -> Json:
    where = f"{paths.node(node)}/proxy{path}"
    try:
        return await client.get(where, params=params, timeout_s=TIMEOUT_S)
    except NotFound:
        if path == EXPLAIN_PATH:
            raise
        raise NoProvider(f"there is no node {node}, or its kubelet is no provider of ours") from None
    except KubeError as error:
        raise NoAnswer(why_unanswered(node, error)) from error


def why_unanswered(node: str, error: KubeError) -> str:
    if error.status == 403:
        return f"you may not ask the provider of node {node}: it takes the right to get nodes/proxy ({error})"
    return (
        f"the provider of node {node} does not answer through the API server ({error}); see that it runs, that it"
        " leads, and that the API server reaches the node's address and port; `vk-provider doctor` looks closer"
    )


async def events_of(client: Reader, namespace: str, uid: str) -> Sequence[Json]:
    """The newest last; empty where they may not be read."""
    params = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(_MOST_EVENTS)}
    try:
        answer = await client.get(paths.events(namespace), params=params, timeout_s=TIMEOUT_S)
        found = [each for each in objects.checked_items(answer, "events") if isinstance(each, dict)]
    except KubeError:
        return ()
    return sorted(found, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))


async def all_snapshots(client: Reader, nodes: Sequence[str]) -> Sequence[Snapshot | str]:
    """For each node its snapshot, or why there is none."""

    async def one(node: str) -> Snapshot | str:
        try:
            return await snapshot_of(client, node)
        except NoAnswer as error:
            return str(error)

    return await asyncio.gather(*map(one, nodes))
