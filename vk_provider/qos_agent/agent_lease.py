"""The agent's sign of life: its Lease `qos-agent-<node>`, and who of the agents has given none for too long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from vk_provider.errors import Conflict, NotFound
from vk_provider.kube import paths
from vk_provider.kube.client import Json, KubeClient

PREFIX = "qos-agent-"
LABELS = {"app.kubernetes.io/name": "qos-agent"}
SELECTOR = "app.kubernetes.io/name=qos-agent"
RENEW_S = 10.0
SILENT_S = 25.0  # two beats missed; with an election in between, everything is zeroed within 50 s
_TIMEOUT_S = 8.0


class AgentLease:
    """owner_uid: of the node's Node object, with which the Lease goes; empty = not known yet."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        node: str,
        owner_uid: Callable[[], str],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._namespace, self._node = namespace, node
        self._owner_uid = owner_uid
        self._wall = wall
        self._lease: Json | None = None

    async def beat(self) -> None:
        """Renew it, or make it. Raises KubeError; the next beat reads it anew then."""
        known, self._lease = self._lease, None
        if known is None:
            try:
                known = await self._client.get(self._path, timeout_s=_TIMEOUT_S)
            except NotFound:
                known = None
        try:
            if known is None:
                body = self._written({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {}})
                self._lease = await self._client.post(paths.leases(self._namespace), body, timeout_s=_TIMEOUT_S)
            else:
                self._lease = await self._client.put(self._path, self._written(known), timeout_s=_TIMEOUT_S)
        except (Conflict, NotFound):
            return  # somebody wrote it, or took it away: the next beat begins with what is there

    def _written(self, lease: Json) -> Json:
        metadata = {**lease["metadata"], "name": f"{PREFIX}{self._node}", "namespace": self._namespace}
        metadata["labels"] = {**(metadata.get("labels") or {}), **LABELS}
        if uid := self._owner_uid():
            metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": uid}]
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": self._node,
            "leaseDurationSeconds": int(SILENT_S),
            "renewTime": self._wall().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return {**lease, "metadata": metadata, "spec": spec}

    @property
    def _path(self) -> str:
        return paths.lease(self._namespace, f"{PREFIX}{self._node}")


class Silence:
    """Who has been silent for too long: by when a change of a Lease was seen, never by the clock that wrote it."""

    def __init__(self, silent_s: float = SILENT_S) -> None:
        self._silent_s = silent_s
        self._seen: dict[str, tuple[str, float]] = {}  # node → version of its Lease, and when it was first seen

    def observe(self, now_s: float, leases: Iterable[Mapping[str, Any]]) -> list[str]:
        """Nodes whose agent is silent. leases: all that there are; now_s: on a clock that only goes on."""
        seen = dict[str, tuple[str, float]]()
        for lease in leases:
            name = str(lease["metadata"].get("name") or "")
            if not name.startswith(PREFIX):
                continue
            node, version = name.removeprefix(PREFIX), str(lease["metadata"].get("resourceVersion") or "")
            before = self._seen.get(node)
            seen[node] = before if before is not None and before[0] == version else (version, now_s)
        self._seen = seen
        return sorted(node for node, (_, at_s) in seen.items() if now_s - at_s >= self._silent_s)
