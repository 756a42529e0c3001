"""metrics.k8s.io: what nodes and pods use now, read from every kubelet's /metrics/resource as metrics-server does.

A rate of CPU needs two samples; until there are two that differ, there are no metrics of that node or container, unless
the container is younger than the interval: then its start is the first of the two.
Source: metrics-server pkg/scraper/client/resource and pkg/storage, v0.7.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from fakes.kube import errors
from fakes.kube.api import Api, ApiError
from fakes.kube.clock import stamp
from fakes.kube.content import answer
from fakes.kube.objects import Call
from fakes.kube.proxy import Kubelets
from fakes.kube.quantity import canonical
from fakes.kube.reads import labels_of
from fakes.kube.resources import Resource
from fakes.kube.seed import HOLLOW
from fakes.kube.tables import table

Json = dict[str, Any]

log = logging.getLogger(__name__)

_READ = ("get", "list")
NODES = Resource(
    kind="NodeMetrics", plural="nodes", group="metrics.k8s.io", version="v1beta1", namespaced=False, verbs=_READ
)
PODS = Resource(kind="PodMetrics", plural="pods", group="metrics.k8s.io", version="v1beta1", verbs=_READ)

_SCRAPE_S = 10.0
_YOUNGEST_S = 10.0
"""A container's start tells its rate only after so long."""
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)(?: (\d+))?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Point:
    """One measurement. cpu_s: core-seconds since the start. started: seconds since the epoch, 0 for unknown."""

    at: float
    cpu_s: float
    memory: int
    started: float = 0.0


Places = dict[tuple[str, ...], Point]
"""By (node,), or by (namespace, pod, container)."""


@dataclass
class _Series:
    """The last two points of everything measured on one node."""

    last: Places = field(default_factory=dict)
    before: Places = field(default_factory=dict)

    def add(self, points: Places, resolution_s: float) -> None:
        """Take in a scrape; what is not in it is forgotten."""
        before: Places = {}
        for place, new in points.items():
            old, older = self.last.get(place), self.before.get(place)
            if new.started and _YOUNGEST_S <= new.at - new.started < resolution_s:
                before[place] = Point(new.started, 0, 0, new.started)
            elif old is None or (new.started and new.started >= old.at):
                continue  # seen for the first time, or started anew
            elif new.at > old.at:
                before[place] = old
            elif older is not None:
                before[place] = older
        self.last, self.before = points, before


class Metrics:
    """interval_s: seconds between scrapes of each kubelet. Hollow nodes have none."""

    def __init__(self, api: Api, kubelets: Kubelets, *, interval_s: float) -> None:
        self._api = api
        self._kubelets = kubelets
        self._interval_s = interval_s
        self._series: dict[str, _Series] = {}
        api.catalog.add(NODES)
        api.catalog.add(PODS)

    async def run(self) -> None:
        """Scrape until cancelled."""
        while True:
            nodes = [node for node in self._api.list("nodes")[0] if labels_of(node).get(HOLLOW) != "true"]
            self._series = {node["metadata"]["name"]: self._of(node) for node in nodes}
            await asyncio.gather(*(self._scrape(node) for node in nodes))
            await asyncio.sleep(self._interval_s)

    def _of(self, node: Json) -> _Series:
        return self._series.get(node["metadata"]["name"]) or _Series()

    async def _scrape(self, node: Json) -> None:
        name = node["metadata"]["name"]
        try:
            async with asyncio.timeout(_SCRAPE_S):
                text = await self._kubelets.text(node, "/metrics/resource")
        except (ApiError, OSError, TimeoutError) as lost:
            log.info("no metrics of node=%s error=%s", name, lost)
            return
        self._series[name].add(read(text, name, self._api.clock().timestamp()), self._interval_s)

    async def serve(self, call: Call, request: web.Request) -> web.StreamResponse:
        """`GET nodes` and `GET pods`, one or all that the selectors match. Raises ApiError 404, 405."""
        del request
        if call.asked.verb not in _READ:
            raise errors.method_not_allowed()
        resource = call.row.plural
        if call.asked.verb == "get":
            obj = self._api.get(resource, call.asked.name, call.namespace)
            found = self._shown(call.row, obj)
            if found is None:
                shown = "/".join(filter(None, [call.asked.namespace, call.asked.name]))
                raise errors.not_found(resource, call.row.group, shown)
            return answer(found if call.form.shape != "Table" else self._table(call, [found]))
        objects, _ = self._api.list(
            resource,
            call.namespace,
            label_selector=call.query.get("labelSelector", ""),
            field_selector=call.query.get("fieldSelector", ""),
        )
        items = [found for obj in objects if (found := self._shown(call.row, obj)) is not None]
        if call.form.shape == "Table":
            return answer(self._table(call, items))
        kind = {"kind": f"{call.row.kind}List", "apiVersion": call.row.api_version}
        return answer({**kind, "metadata": {}, "items": items})

    def _table(self, call: Call, items: list[Json]) -> Json:
        include = call.query.get("includeObject", "Metadata")
        now, version = self._api.clock(), call.form.version
        return table(call.row, items, now, version=version, include=include, metadata={}, head=True)

    def _shown(self, row: Resource, obj: Json) -> Json | None:
        """The metrics of a node or pod; None as long as there are none."""
        meta = obj["metadata"]
        if row is NODES:
            found = self._usage(meta["name"], (meta["name"],))
            return None if found is None else {**self._head(row, meta, *found[1]), "usage": found[0]}
        node = obj["spec"].get("nodeName", "")
        series = self._series.get(node)
        places = [one for one in series.last if one[:2] == (meta["namespace"], meta["name"])] if series else []
        usages = {place[2]: self._usage(node, place) for place in places}
        known = {name: usage for name, usage in usages.items() if usage is not None}
        if not usages or len(known) < len(usages):
            return None
        first = min((window for _, window in known.values()), key=lambda window: window[0])
        containers = [{"name": name, "usage": usage} for name, (usage, _) in known.items()]
        return {**self._head(row, meta, *first), "containers": containers}

    def _usage(self, node: str, place: tuple[str, ...]) -> tuple[Json, tuple[float, float]] | None:
        """(usage, (when it was measured, seconds over which))."""
        series = self._series.get(node)
        last, before = (series.last.get(place), series.before.get(place)) if series else (None, None)
        if last is None or before is None or last.cpu_s < before.cpu_s or last.at <= before.at:
            return None
        window = last.at - before.at
        nanos = int((last.cpu_s - before.cpu_s) / window * 1e9)
        usage = {"cpu": canonical(f"{nanos}n"), "memory": _bytes(last.memory)}
        return usage, (last.at, window)

    def _head(self, row: Resource, meta: Json, at: float, window_s: float) -> Json:
        kept = {name: meta[name] for name in ("name", "namespace", "labels") if meta.get(name)}
        return {
            "kind": row.kind,
            "apiVersion": row.api_version,
            "metadata": {**kept, "creationTimestamp": stamp(self._api.clock())},
            "timestamp": stamp(datetime.fromtimestamp(at, UTC)),
            "window": _duration(window_s),
        }


def _bytes(amount: int) -> str:
    return canonical(f"{amount // 1024}Ki") if amount % 1024 == 0 else str(amount)


def _duration(seconds: float) -> str:
    """As Go writes it, to the millisecond."""
    minutes, rest = divmod(round(seconds, 3), 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{round(rest, 3):g}s"


def read(text: str, node: str, now: float) -> Places:
    """The points of a kubelet's page; a sample without a time is of `now`. What lacks CPU or memory is left out."""
    cpu: dict[tuple[str, ...], tuple[float, float]] = {}
    memory: dict[tuple[str, ...], int] = {}
    started: dict[tuple[str, ...], float] = {}
    for name, labels, value, at in _samples(text, now):
        place = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        match name:
            case "node_cpu_usage_seconds_total":
                cpu[(node,)] = (value, at)
            case "node_memory_working_set_bytes":
                memory[(node,)] = int(value)
            case "container_cpu_usage_seconds_total":
                cpu[place] = (value, at)
            case "container_memory_working_set_bytes":
                memory[place] = int(value)
            case "container_start_time_seconds":
                started[place] = value
            case _:
                continue
    return {
        place: Point(at, value, memory[place], started.get(place, 0.0))
        for place, (value, at) in cpu.items()
        if place in memory
    }


def _samples(text: str, now: float) -> Iterator[tuple[str, Mapping[str, str], float, float]]:
    for line in text.splitlines():
        found = _SAMPLE.match(line) if not line.startswith("#") else None
        if found is None:
            continue
        with contextlib.suppress(ValueError):
            labels = dict(_LABEL.findall(found[2] or ""))
            yield found[1], labels, float(found[3]), int(found[4]) / 1000 if found[4] else now
