"""The snapshot as read-only answers of the kubelet API: `/debug/vk/snapshot` and `/debug/vk/explain`.

The kubelet API has asked who it is and whether they may (`nodes/proxy`) before anything here is called, so
`kubectl get --raw /api/v1/nodes/NODE/proxy/debug/vk/snapshot` shows it to whoever may see the node's pods anyhow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from vk_provider.snapshot.collector import SnapshotCollector
from vk_provider.snapshot.document import Shape
from vk_provider.snapshot.explanation import Explainer

SNAPSHOT_PATH, EXPLAIN_PATH = "/debug/vk/snapshot", "/debug/vk/explain"
_encode = msgspec.json.Encoder().encode

Route = tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]


def routes(collector: SnapshotCollector, explainer: Callable[[], Explainer | None]) -> Sequence[Route]:
    """explainer: None as long as no pod is reconciled yet."""

    async def snapshot(request: web.Request) -> web.StreamResponse:
        return answer(collector.snapshot(with_pods=request.query.get("pods") == "true"))

    async def explain(request: web.Request) -> web.StreamResponse:
        namespace, name = request.query.get("namespace", ""), request.query.get("name", "")
        asked = explainer()
        if asked is None:
            return web.json_response({"message": "no pod is reconciled yet"}, status=503)
        found = asked.explain(namespace, name)
        if found is None:
            return web.json_response({"message": f"no pod {namespace}/{name} is on this node"}, status=404)
        return answer(found)

    return (("GET", SNAPSHOT_PATH, snapshot), ("GET", EXPLAIN_PATH, explain))


def answer(value: Shape) -> web.Response:
    return web.Response(
        body=_encode(value), content_type="application/json", headers={"X-Content-Type-Options": "nosniff"}
    )
