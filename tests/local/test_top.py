"""kubectl top: what the node and its pods use, by way of the embedded cluster's metrics API."""

import pytest

from tests.local.conftest import NODE_NAME, pod

COUNT = "while true; do i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; sleep 0.1; done"

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_top(world):
    await world.apply(pod("busy", COUNT))
    await world.phase("busy", "Running")

    async def measured():
        return (await world.api.get("/apis/metrics.k8s.io/v1beta1/namespaces/vk/pods"))["items"]

    await world.until(measured, within_s=120)
    lines = (await world.kubectl("top", "pods", "-n", "vk")).splitlines()
    assert lines[0].split() == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    name, cpu, memory = lines[1].split()
    assert (name, cpu.endswith("m"), memory.endswith("Mi")) == ("busy", True, True)
    assert int(cpu.removesuffix("m")) > 0

    async def node_measured():
        return (await world.api.get("/apis/metrics.k8s.io/v1beta1/nodes"))["items"]

    await world.until(node_measured, within_s=60)
    assert NODE_NAME in await world.kubectl("top", "nodes")
    assert "busy" in await world.kubectl("top", "pods", "-n", "vk", "--containers")
    assert "busy" in await world.kubectl("get", "pods.metrics.k8s.io", "-n", "vk")
