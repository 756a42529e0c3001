"""`vk-provider status | explain | doctor | instances` and the live page, against a running provider."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from fakes.up import ACCESS_KEY, NODE_NAME, SECRET_KEY, dashboard_url
from tests.local.conftest import make_world, pod
from tests.verbs import PROGRAMS, Verbs
from vk_provider.snapshot.document import Snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async with AsyncExitStack() as stack:
        yield await make_world(
            stack,
            tmp_path_factory.mktemp("local"),
            dashboard_port=0,
            provider_arguments=("--log-format=json",),
        )


def verbs(world) -> Verbs:
    settings = {
        "ECI_ACCESS_KEY": ACCESS_KEY,
        "ECI_SECRET_KEY": SECRET_KEY,
        "ECI_REGION": "cn-hangzhou",
        "ECI_ENDPOINT": world.local.endpoint,
    }
    return Verbs(world.local.kubeconfig, settings)


async def vk(world, *words: str, code: int = 0, program: str = "vk-provider") -> str:
    """What it prints into a pipe."""
    return await asyncio.to_thread(verbs(world).piped, *words, code=code, program=program)


async def shown(world, *words: str, code: int = 0) -> str:
    """What it shows in a terminal of 80 columns."""
    return await asyncio.to_thread(verbs(world).shown, *words, code=code)


async def document(world, *words: str, code: int = 0):
    """What it prints with -o json, as it is published."""
    return await asyncio.to_thread(verbs(world).document, *words, code=code)


async def test_a_running_pod_is_seen_everywhere(world):
    await world.apply(pod("steady", "sleep 3600"))
    await world.phase("steady", "Running")

    async def known():
        found = await document(world, "status")
        return found and found[0]["podCounts"]["byPhase"].get("Running")

    await world.until(known)
    [shot] = await document(world, "status")
    assert (shot["node"], shot["isReady"], shot["cloud"]["isHealthy"]) == (NODE_NAME, True, True)
    assert f"{NODE_NAME}  ready" in await vk(world, "status")
    assert f"{NODE_NAME}  ready" in await shown(world, "status")
    [instance] = [each["instance"] for each in await document(world, "instances") if each["name"] == "steady"]
    assert instance in await vk(world, "instances")
    assert instance in await shown(world, "instances")
    found = await document(world, "explain", "vk/steady")
    assert found["explanation"]["pod"]["instance"] == instance
    assert f"the pod runs on instance {instance}" in await vk(world, "explain", "steady", "-n", "vk")
    assert f"the pod runs on instance {instance}" in await shown(world, "explain", "vk/steady")
    assert f"{NODE_NAME}  ready" in await vk(world, "eci", "status", program="kubectl")


async def test_a_refused_pod_is_told_which_field_it_is(world):
    await world.apply(pod("refused", "sleep 1", hostPID=True))
    await world.phase("refused", "Failed")
    assert "hostPID" in await vk(world, "explain", "vk/refused")
    assert "hostPID" in await shown(world, "explain", "vk/refused")
    assert "there is no pod vk/none" in await vk(world, "explain", "vk/none", code=1)


async def test_doctor_on_what_is_well_and_on_what_is_not(world):
    for text in (await vk(world, "doctor"), await shown(world, "doctor")):
        for line in (
            "ok    API server",
            "ok    permissions",
            "ok    kubelet API",
            "ok    cloud credentials",
            "ok    quota",
        ):
            assert line in text
    fault = {"action": "CreateContainerGroup", "kind": "error", "code": "InvalidVSwitchId.NotFound"}
    await world.cloud("faults", "POST", {**fault, "http_status": 404, "count": 1})
    red = await document(world, "doctor", code=1)
    assert [each["check"] for each in red["findings"] if each["verdict"] == "failed"] == ["vSwitch"]
    red = await document(world, "doctor", "--node-name=another", code=1)
    assert {each["check"] for each in red["findings"] if each["verdict"] == "failed"} == {"node"}


async def test_orphans_are_deleted_only_when_somebody_agrees(world):
    assert "no orphans" in await vk(world, "instances", "--delete-orphans", "--yes")


async def test_what_cannot_be_written_ends_with_1(world):
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230 -- a device
        words = [str(PROGRAMS / "vk-provider"), "status"]
        process = await asyncio.create_subprocess_exec(
            *words, env=verbs(world).env, stdout=full, stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(process.communicate(), 120)
    assert (process.returncode, b"cannot write: No space left on device" in said) == (1, True)


async def test_the_log_has_pod_instance_and_node_as_members(world):
    """Of each record of the hot path: of whatever the tests before this one have made it say."""
    lines = [json.loads(line) for line in world.local.provider.log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= each.keys() for each in lines)
    of_pods = [each for each in lines if each["logger"].startswith(("vk_provider.control.reconciler", _PERFORM))]
    assert [each for each in of_pods if each.get("node") != NODE_NAME or not each.get("pod")] == []
    [created] = [each for each in of_pods if "created pod=vk/steady" in each["message"]]
    assert created["pod"] == "vk/steady"
    assert created["instance"].startswith("eci-")
    assert created["pod_uid"] == (await world.pod("steady"))["metadata"]["uid"]
    assert isinstance(created["took_s"], float)


_PERFORM = "vk_provider.control.perform"


@asynccontextmanager
async def page(world):
    async with aiohttp.ClientSession() as session:
        yield session, dashboard_url(world.local).rstrip("/")


async def test_the_live_page_is_there_and_shows_what_status_shows(world):
    async def is_served():
        return bool(dashboard_url(world.local))

    await world.until(is_served)
    async with page(world) as (session, url):
        async with session.get(f"{url}/") as answer:
            assert answer.status == 200
            assert "<script src=" in await answer.text()
        async with session.get(f"{url}/snapshot") as answer:
            shot = msgspec.json.decode(await answer.read(), type=Snapshot)
            assert shot.node == NODE_NAME
        async with session.get(f"{url}/snapshot", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
