"""The objects of quality of service and forecasts: what is not carried out is reported once, and never acted on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.cloud.series import Constant
from tests.control.pure_time import play
from tests.preemptible.world import World

Json = dict[str, Any]
GROUP = "ensurance.crane.io/v1alpha1"
RULE = {
    "name": "over",
    "metricRule": {"name": "ext_cpu_total_distribute", "value": "110"},
    "avoidanceThreshold": 2,
    "actionName": "slow-down",
}
OBJECTS: dict[str, Json] = {
    "AvoidanceAction": {"throttle": {"cpuThrottle": {"minCPURatio": 10, "stepCPURatio": 10}}},
    "NodeQOS": {"rules": [RULE], "netLimits": {"rxBpsMin": 1, "rxBpsMax": 2, "txBpsMin": 1, "txBpsMax": 2}},
    "PodQOS": {
        "labelSelector": {"matchLabels": {"tier": "gold"}},
        "resourceQOS": {"cpuQOS": {"cpuPriority": 6, "cpuBurst": {"burstQuota": "100"}}},
    },
}


def furnish(world: World) -> None:
    for kind, spec in OBJECTS.items():
        name = "slow-down" if kind == "AvoidanceAction" else "strange"
        world.apply({"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec})


def test_what_is_not_carried_out_is_said_once_on_the_node_and_a_throttle_ends_nobody() -> None:
    async def story() -> None:
        world = World(quota=200, others=60, peak=99.95)
        furnish(world)
        async with world.running():
            await world.until(lambda: world.published() == 80, within_s=60)
            world.job("crunch", cpu=4, parallelism=10)
            await world.until(lambda: world.running_count("crunch") == 10, within_s=60)
            world.cloud.service.others = Constant(150.0)
            await world.until(lambda: world.published() < 40, within_s=20)
            await asyncio.sleep(90)
            said = sorted(event["message"] for event in world.events("UnsupportedQoSField"))
            assert [text.partition(":")[0] for text in said] == [
                "AvoidanceAction slow-down",
                "NodeQOS strange",
                "PodQOS strange",
            ]
            assert ["throttle" in said[0], "netLimits" in said[1], "cpuBurst" in said[2]] == [True] * 3
            assert [event.get("count", 1) for event in world.events("UnsupportedQoSField")] == [1] * 3
            assert any("slow-down" in event["message"] for event in world.events("AvoidanceTriggered"))
            assert world.running_count("crunch") == 10, "a throttle has no counterpart here, and ends nobody"

    play(story())


@pytest.mark.parametrize("kind", ["ExpressionQuery", "MetricQuery"])
def test_a_query_without_a_source_of_data_is_not_ready_and_the_forecast_goes_on(kind: str) -> None:
    async def story() -> None:
        world = World(quota=200, others=60, peak=99.95)
        query = (
            {"expressionQuery": {"expression": "up"}}
            if kind == "ExpressionQuery"
            else {"metricQuery": {"metricName": "up"}}
        )
        metric = {
            "resourceIdentifier": "cpu",
            "type": kind,
            **query,
            "algorithm": {"algorithmType": "percentile", "percentile": {"percentile": "0.5"}},
        }
        world.apply(
            {
                "apiVersion": "prediction.crane.io/v1alpha1",
                "kind": "TimeSeriesPrediction",
                "metadata": {"name": "noderesource-vk", "namespace": "crane-system"},
                "spec": {
                    "targetRef": {"kind": "Node", "name": "vk"},
                    "predictionWindowSeconds": 3600,
                    "predictionMetrics": [metric],
                },
            }
        )
        async with world.running():
            await world.until(lambda: world.published() == 80, within_s=60)
            await asyncio.sleep(130)
            row = world.api.catalog.by_kind("prediction.crane.io/v1alpha1", "TimeSeriesPrediction")
            assert row is not None
            status = world.api.get(row.key_of_store, "noderesource-vk", "crane-system")["status"]
            [ready] = [each for each in status["conditions"] if each["type"] == "Ready"]
            assert (ready["status"], ready["reason"]) == ("False", "PredictFailed")
            assert world.published() == 80, "by the usual forecast"

    play(story())
