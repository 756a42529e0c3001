"""The TimeSeriesPrediction of each node: made where the kind is served, read, and given its status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from vk_provider.errors import Conflict, NotFound
from vk_provider.idle import predictions
from vk_provider.idle.forecast import Algorithm
from vk_provider.idle.offer import Offer
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.model.pod import Json
from vk_provider.preemptible.custom_objects import until_served
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

GROUP = "prediction.crane.io/v1alpha1"
EVERY_S = 60.0
STEP_S = 60
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class PredictionObjects:
    """algorithm: that which an object says, None = none does. offer: whose forecast is written; set by its owner.

    clients: of the nodes that we serve, by name; the load is the account's, so that all of them have the same forecast.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        namespace: str,
        is_external: bool,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._client, self._namespace, self._is_external = client, namespace, is_external
        self._clock, self._jitter = clock, jitter
        self.clients: dict[str, KubeApi] = {}
        self.algorithm: Algorithm | None = None
        self.offer: Offer | None = None
        self._samples: list[tuple[int, float]] = []  # of somebody else's forecast

    async def run(self) -> None:
        """Until cancelled."""
        collection = paths.group(GROUP, "timeseriespredictions", namespace=self._namespace)
        await until_served(self._client, collection, jitter=self._jitter)

        async def rest() -> None:
            await asyncio.sleep(EVERY_S)

        await retry_loop(self._round, name="predictions", jitter=self._jitter, rest=rest)

    def expected_cpu(self, now_s: float) -> float | None:
        """The peak that somebody else forecasts; None where nobody does. What is over counts no more."""
        if not self._is_external:
            return None
        ahead = [value for when_s, value in self._samples if when_s >= now_s]
        return max(ahead, default=None)

    async def _round(self) -> None:
        for name in tuple(self.clients):
            with suppress(Conflict):  # somebody was faster; the next round sees it
                await self._one(name)

    async def _one(self, node: str) -> None:
        name = f"noderesource-{node}"
        path = paths.group(GROUP, "timeseriespredictions", namespace=self._namespace, name=name)
        client = self.clients[node]
        try:
            found = await client.get(path)
        except NotFound:
            if self._is_external:
                self._samples = []
                return
            found = await self._make(client, name, node)
        spec = predictions.prediction(found)
        if self._is_external:
            self._samples = _samples(found)
            return
        cpu = next((each for each in spec.metrics if each.resource == "cpu" and each.algorithm is not None), None)
        self.algorithm = cpu.algorithm if cpu is not None else None
        now = self._clock()
        forecasts = {}
        if cpu is not None and self.offer is not None:
            forecasts[cpu.identifier] = self.offer.forecaster.samples(now.timestamp(), spec.window_s, STEP_S)
        status = predictions.status(spec, forecasts, now=now.astimezone(UTC).strftime(_STAMP))
        await client.patch(f"{path}/status", {"status": status}, content_type="application/merge-patch+json")

    async def _make(self, client: KubeApi, name: str, node: str) -> Json:
        """Raises NotFound where the namespace does not exist: then nobody reads such objects."""
        body = {
            "apiVersion": GROUP,
            "kind": "TimeSeriesPrediction",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {
                "targetRef": {"apiVersion": "v1", "kind": "Node", "name": node},
                "predictionWindowSeconds": 3600,
                "predictionMetrics": [
                    {
                        "resourceIdentifier": "cpu",
                        "type": "ResourceQuery",
                        "resourceQuery": "cpu",
                        "algorithm": {"algorithmType": "dsp", "dsp": {"historyLength": "15d", "sampleInterval": "60s"}},
                    }
                ],
            },
        }
        collection = paths.group(GROUP, "timeseriespredictions", namespace=self._namespace)
        return await client.post(collection, body)


def _samples(found: Json) -> list[tuple[int, float]]:
    """Of the first series of cpu in a status; what cannot be read is left out."""
    for metric in (found.get("status") or {}).get("predictionMetrics") or ():
        if not isinstance(metric, dict) or metric.get("resourceIdentifier") != "cpu" or not metric.get("ready"):
            continue
        for series in metric.get("prediction") or ():
            listed = series.get("samples") if isinstance(series, dict) else None
            return [pair for each in (listed or ())[:10_000] if (pair := _pair(each)) is not None]
    return []


def _pair(sample: object) -> tuple[int, float] | None:
    if not isinstance(sample, dict):
        return None
    try:
        return int(sample.get("timestamp") or 0), float(str(sample.get("value")))
    except ValueError:
        return None
