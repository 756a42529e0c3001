"""A small ECI and drivers that talk to it."""

from __future__ import annotations

import pytest

from tests.cloud.eciserver import KEY, SECRET, EciServer
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import Credentials, FixedCredentials
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import EciSettings


@pytest.fixture
async def eci():
    server = EciServer()
    await server.start()
    yield server
    await server.stop()


class Observed(list):
    """What the client told its observer: (action, code)."""

    def __call__(self, action: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.append((action, code))


@pytest.fixture
async def make_client(eci):
    """Builds clients whose back-off is as short as its rules allow; closes them at the end."""
    made = []

    def make(*, credentials=None, observe=None, heard=None, **settings):
        made.append(
            EciClient(
                EciSettings(
                    **{
                        "region": "cn-hangzhou",
                        "cluster": "test-cluster",
                        "node": "virtual-kubelet",
                        "endpoint": eci.url,
                        **settings,
                    }
                ),
                credentials or FixedCredentials(Credentials(KEY, SECRET)),
                jitter=lambda: 0.0,
                first_pause_s=0.01,
                **({} if observe is None else {"observe": observe}),
                **({} if heard is None else {"heard": heard}),
            )
        )
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def cloud(eci, make_client):
    client = make_client()
    return EciCloud(client.settings, client)
