"""A certificate that outlives its process: kept in a Secret, taken up again where it still fits. Virtual time."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest

from tests.kube.apiserver import refuse, running, serving, until
from tests.kube.virtual import virtual_time
from vk_provider.kubelet.certificate_store import MOST, CertificateStore

from .test_serving_certificate import DAY, Signer, Story, now

SECRETS = "/api/v1/namespaces/vk/secrets"
SECRET = f"{SECRETS}/serving"


class Kept:
    """The Secret as an API server keeps it."""

    def __init__(self, server) -> None:
        self.data = None
        server.on("GET", SECRET, lambda _: {"data": self.data} if self.data is not None else refuse(404))
        server.on("PATCH", SECRET, self.patch)
        server.on("POST", SECRETS, self.post)

    def patch(self, seen):
        if self.data is None:
            return refuse(404, reason="NotFound")
        changed = {**self.data, **seen.body["data"]}
        self.data = {key: value for key, value in changed.items() if value is not None}
        return {"data": self.data}

    def post(self, seen):
        self.data = seen.body["data"]
        return seen.body


def story_of(client, *, addresses=("10.0.0.1",), node="vk", **more) -> Story:
    return Story(client, addresses=addresses, store=CertificateStore(client, "vk/serving", node, clock=now), **more)


@virtual_time
async def test_after_a_restart_nobody_is_asked_again():
    async with serving() as (server, client):
        signer, kept = Signer(server, approves=True), Kept(server)
        first = story_of(client)
        async with running(first.run()):
            await until(lambda: kept.data, within_s=30)
        second = story_of(client)
        async with running(second.run()):
            await until(lambda: second.changes, within_s=5)
            assert second.serial() == first.serial()
            await asyncio.sleep(600)
            assert len(signer.asked) == 1
            await asyncio.sleep(DAY.total_seconds())
            assert len(signer.asked) > 1, "renewed in time as ever"


@virtual_time
async def test_replicas_at_other_addresses_keep_theirs_beside_it():
    async with serving() as (server, client):
        signer, kept = Signer(server, approves=True), Kept(server)
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"):
            story = story_of(client, addresses=[address])
            async with running(story.run()):
                await until(lambda story=story: story.changes, within_s=30)
                await asyncio.sleep(1)
        assert len(signer.asked) == 2
        assert len(kept.data) == 4


@pytest.mark.parametrize("harm", ["key", "text", "ended", "nothing"])
@virtual_time
async def test_what_cannot_be_used_is_asked_for_anew(harm):
    async with serving() as (server, client):
        signer, kept = Signer(server, approves=True, life=timedelta(minutes=30)), Kept(server)
        first = story_of(client)
        async with running(first.run()):
            await until(lambda: kept.data, within_s=30)
        match harm:
            case "key":
                (name,) = [each for each in kept.data if each.endswith(".key")]
                kept.data[name] = base64.b64encode(b"no key").decode()
            case "text":
                kept.data = dict.fromkeys(kept.data, "%%%")
            case "ended":
                await asyncio.sleep(1800)
            case "nothing":
                kept.data = None
        second = story_of(client)
        async with running(second.run()):
            await until(lambda: second.changes, within_s=30)
        assert len(signer.asked) == 2
        assert second.serial() != first.serial()


@virtual_time
async def test_an_api_server_that_is_away_is_waited_for_and_one_that_forbids_it_is_not():
    async with serving() as (server, client):
        signer = Signer(server, approves=True)
        server.on("GET", SECRET, refuse(503), refuse(503), refuse(403, message="no"))
        server.on("PATCH", SECRET, refuse(403, message="no"))
        story = story_of(client)
        async with running(story.run()):
            await until(lambda: story.changes, within_s=60)
        assert len(signer.asked) == 1
        assert story.serial()


@virtual_time
async def test_the_secret_does_not_grow_without_end():
    async with serving() as (server, client):
        Signer(server, approves=True)
        kept = Kept(server)
        for number in range(MOST + 5):
            story = story_of(client, addresses=[f"10.0.0.{number}"])
            async with running(story.run()):
                await until(lambda story=story: story.changes, within_s=30)
                await asyncio.sleep(1)
        assert len(kept.data) == 2 * MOST
