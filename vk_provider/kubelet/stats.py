"""The pages of figures: `/stats/summary` and `/metrics/{resource,cadvisor,probes}`.

They are made from the figure book and the pods as known; no scrape asks the cloud (M4). Each page is made piece by
piece, for thousands of pods at once would hold up everything else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from vk_provider.kubelet import cadvisor, resource_metrics, summary
from vk_provider.kubelet.exposition import Page, labels
from vk_provider.kubelet.running_pods import InstanceOf, RunningPod, running_pods
from vk_provider.kubelet.usage_stats import UsageStats
from vk_provider.metrics import CONTENT_TYPE
from vk_provider.model.probe import ProbeCount

Json = dict[str, Any]
Route = tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]  # method, path, handler

PODS_AT_ONCE = 50
_FALSE = ("0", "false")
_PROBES = {"prober_probe_total": ("counter", "Probes that the provider makes, by result; the cloud tells no counts.")}


async def _at_once() -> None:
    """For those who have nothing to wait for."""


class StatsPages:
    """settled: gives newly started pods a moment to get their first figures; it is bounded by itself.

    started_at: of the node, RFC 3339 UTC. probe_counts: of the probes that the provider makes.
    """

    def __init__(
        self,
        *,
        node_name: str,
        started_at: str,
        all_pods: Callable[[], Iterable[Json]],
        instance_of: InstanceOf,
        book: UsageStats,
        probe_counts: Callable[[], Iterable[ProbeCount]] = tuple,
        settled: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        self._node_name = node_name
        self._started_at = started_at
        self._all_pods = all_pods
        self._instance_of = instance_of
        self._book = book
        self._probe_counts = probe_counts
        self._settled = settled

    def routes(self) -> Sequence[Route]:
        return (
            ("GET", "/stats/summary", self._summary),
            ("POST", "/stats/summary", self._summary),  # as old metrics-servers ask
            ("GET", "/metrics/resource", self._resource),
            ("GET", "/metrics/cadvisor", self._cadvisor),
            ("GET", "/metrics/probes", self._probes),
        )

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        brief = request.query.get("only_cpu_and_memory", "0").lower() not in _FALSE
        await self._settled()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        node = summary.node_stats(self._node_name, self._started_at, self._book.node)
        await response.write(b'{"node":' + json.dumps(node).encode() + b',"pods":[')
        comma = ""
        async for pods in self._pieces():
            texts = [json.dumps(summary.pod_stats(pod, only_cpu_and_memory=brief)) for pod in pods]
            await response.write((comma + ",".join(texts)).encode())
            comma = ","
        await response.write(b"]}\n")
        await response.write_eof()
        return response

    async def _resource(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- all there is, always
        await self._settled()
        page = resource_metrics.new_page()
        resource_metrics.add_node(page, self._book.node, failed=not self._book.is_current)
        async for pods in self._pieces():
            for pod in pods:
                resource_metrics.add_pod(page, pod)
        return _answer(page)

    async def _cadvisor(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- all there is, always
        await self._settled()
        page = cadvisor.new_page()
        async for pods in self._pieces():
            for pod in pods:
                cadvisor.add_pod(page, pod)
        return _answer(page)

    async def _probes(self, request: web.Request) -> web.Response:  # noqa: ARG002 -- there is nothing to choose from
        page = Page(_PROBES)
        for each in self._probe_counts():
            found = labels(
                container=each.container,
                namespace=each.namespace,
                pod=each.pod,
                pod_uid=each.pod_uid,
                probe_type=each.kind.capitalize(),
                result=each.result,
            )
            page.add("prober_probe_total", found, each.count)
        return _answer(page)

    async def _pieces(self) -> AsyncIterator[Sequence[RunningPod]]:
        """Non-empty groups of pods, with room for other work between them."""
        pods = list(self._all_pods())
        for start in range(0, len(pods), PODS_AT_ONCE):
            found = list(running_pods(pods[start : start + PODS_AT_ONCE], self._instance_of, self._book))
            if found:
                yield found
            await asyncio.sleep(0)


def _answer(page: Page) -> web.Response:
    return web.Response(body=page.text().encode(), headers={"Content-Type": CONTENT_TYPE})
