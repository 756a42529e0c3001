"""`/configz`: how this node is set up, in the words of a kubelet's own configuration. Holds no secret and no path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

Json = dict[str, Any]


def configuration(
    *, port: int, max_pods: int, cluster_dns: tuple[str, ...], cluster_domain: str, anonymous: bool
) -> Json:
    """KubeletConfiguration v1beta1, as far as it means anything here. port: 0 = not chosen beforehand, and not told.
    anonymous: everybody is answered."""
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        **({"port": port} if port else {}),
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": anonymous},
            "webhook": {"enabled": not anonymous, "cacheTTL": "2m0s"},
        },
        "authorization": {"mode": "AlwaysAllow" if anonymous else "Webhook"},
        "clusterDomain": cluster_domain,
        "clusterDNS": list(cluster_dns),
        "maxPods": max_pods,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m0s",
        "nodeLeaseDurationSeconds": 40,
        "enableServer": True,
        "enableDebuggingHandlers": True,
        "registerNode": True,
    }


def page(shown: Mapping[str, Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:  # noqa: ARG001 -- there is one answer
        return web.json_response({"kubeletconfig": shown})

    return handle
