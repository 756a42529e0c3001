"""Where the contract is tested: a small ECI inside the test, and the stand-in cloud as a process of its own.

VK_CONTRACT_ECI_ENDPOINT names another one that already runs (key testid, secret testsecret); it takes the place of
the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.cloud.eciserver import KEY, SECRET, EciServer
from tests.contract.cloud.host import cannot_be_local
from vk_provider.cloud.base import Cloud, SupportsFileUpdate, SupportsPricing, SupportsRestart, SupportsUsage
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import Credentials, FixedCredentials
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.cloud.local.definition import DRIVER as LOCAL
from vk_provider.cloud.local.driver import LocalCloud
from vk_provider.cloud.local.options import LocalOptions

FAKE = ("fakes", "cloud", "--port", "0", "--runtime", "simulated", "--start-delay", "0.2", "--release-delay", "0.2")


class InstantEci(EciServer):
    """Every container runs at once and writes one line; with restart policy Never it has ended, too."""

    def _CreateContainerGroup(self, parameters):
        answer = super()._CreateContainerGroup(parameters)
        group = self.groups[answer["ContainerGroupId"]]
        is_over = parameters["RestartPolicy"] == "Never"
        times = {"StartTime": "2024-01-02T03:04:06Z", "FinishTime": "2024-01-02T03:04:07Z"}
        (container,) = group["Containers"]
        container["CurrentState"] = (
            {"State": "Terminated", "ExitCode": 0, "Reason": "Completed", **times}
            if is_over
            else {"State": "Running", "StartTime": times["StartTime"]}
        )
        group["Status"] = "Succeeded" if is_over else "Running"
        group["SucceededTime"] = "2024-01-02T03:04:07Z" if is_over else ""
        group["Events"] = [{"Reason": "Started", "Message": "Started", "Name": f"x.{len(self.groups):016x}"}]
        self.logs[group["ContainerGroupId"], container["Name"]] = [("2024-01-02T03:04:06.5Z", "simulated line 0")]
        return answer


async def _started_fake(folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    ready = folder / "ready.json"
    scenario = folder / "scenario.toml"
    scenario.write_text("[[rule]]\npull_s = 0.1\nduration_s = 0.5\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *FAKE,
        "--scenario",
        str(scenario),
        "--ready-file",
        str(ready),
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(90):
        while not ready.exists():
            assert process.returncode is None, "the stand-in cloud ended at once"
            await asyncio.sleep(0.05)
    return process, json.loads(ready.read_text())["endpoint"]


@pytest.fixture(params=["instant", "fake", "local"])
def kind(request):
    """Of the cloud under test: two that speak ECI, and this host."""
    if request.param == "local" and (reason := cannot_be_local()):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def lacks(kind):
    """What the cloud does not offer, which the contract then holds it to."""
    return frozenset({SupportsFileUpdate, SupportsRestart, SupportsUsage, SupportsPricing} if kind == "local" else ())


@pytest.fixture
def says(kind):
    """What a container of the contract writes."""
    return b"hello\n" if kind == "local" else b"simulated line 0\n"


@pytest.fixture
async def endpoint(kind, tmp_path):
    if kind == "local":
        yield ""
    elif kind == "instant":
        server = InstantEci()
        await server.start()
        yield server.url
        await server.stop()
    elif given := os.environ.get("VK_CONTRACT_ECI_ENDPOINT"):
        yield given
    else:
        process, url = await _started_fake(tmp_path)
        yield url
        process.terminate()
        await process.wait()


@pytest.fixture
async def make_cloud(kind, endpoint, tmp_path):
    """Builds drivers for nodes of one cluster."""
    made = []

    def make(*, node: str = "node-a", secret: str = SECRET) -> Cloud:
        if kind == "local":
            options = LocalOptions(state=str(tmp_path / "state"), address="127.0.0.1")
            settings = LOCAL.settings(options, Whose(cluster="contract", node=node))
            made.append(LocalCloud(settings))
            return made[-1]
        settings = EciSettings(region="cn-hangzhou", cluster="contract", node=node, endpoint=endpoint)
        client = EciClient(settings, FixedCredentials(Credentials(KEY, secret)))
        made.append(EciCloud(settings, client))
        return made[-1]

    yield make
    for cloud in made:
        if kind == "local":
            for each in await cloud.list():
                await cloud.delete(each.id, force=True)
        await cloud.close()


@pytest.fixture
def cloud(make_cloud):
    return make_cloud()
