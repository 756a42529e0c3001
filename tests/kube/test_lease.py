"""The node's Lease on virtual time: when it beats, whom it belongs to, what it survives."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from tests.kube.apiserver import Answer, refuse, running, serving, until
from tests.kube.virtual import virtual_time
from vk_provider.node.node_lease import NodeLease, micro_time

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE = f"{LEASES}/vk"
START = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


class Leases:
    """One Lease as an API server keeps it, with optimistic concurrency."""

    def __init__(self, server):
        self.stored = None
        self.version = 0
        server.on("GET", LEASE, self.get)
        server.on("PUT", LEASE, self.put)
        server.on("POST", LEASES, self.post)

    def get(self, seen):
        return self.stored or refuse(404, reason="NotFound")

    def post(self, seen):
        return refuse(409, reason="AlreadyExists") if self.stored else self.write(seen.body)

    def put(self, seen):
        if self.stored is None:
            return refuse(404, reason="NotFound")
        if seen.body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            return refuse(409, reason="Conflict")
        return self.write(seen.body)

    def write(self, body):
        self.version += 1
        self.stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.stored

    @property
    def owners(self):
        return self.stored["metadata"]["ownerReferences"]


def new_lease(client, uid=lambda: "uid-1", **options):
    loop = asyncio.get_running_loop()
    return NodeLease(
        client, "vk", owner_uid=uid, clock=lambda: START + timedelta(seconds=loop.time()), jitter=lambda: 0.5, **options
    )


def test_micro_time_always_has_six_digits():
    assert micro_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"


@virtual_time
async def test_the_lease_is_made_and_then_renewed_every_ten_seconds():
    async with serving() as (server, client):
        leases = Leases(server)
        lease = new_lease(client)
        async with running(lease.run()):
            await until(lambda: len(server.of("PUT")) >= 6)
        made = server.of("POST")[0]
        assert made.body == {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "vk",
                "namespace": "kube-node-lease",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "vk", "uid": "uid-1"}],
            },
            "spec": {"holderIdentity": "vk", "leaseDurationSeconds": 40, "renewTime": "2026-01-02T03:04:05.000006Z"},
        }
        beats = [seen.at for seen in server.of("PUT")][:6]
        assert beats == pytest.approx([10, 20, 30, 40, 50, 60], abs=0.2)
        assert server.of("PUT")[0].body["spec"]["renewTime"].startswith("2026-01-02T03:04:15.")
        assert len(server.of("GET")) == 1, "the cached lease is written, not read again"
        assert lease.renewed_at == pytest.approx(server.of("PUT")[-1].at, abs=0.1)
        assert leases.stored["spec"]["holderIdentity"] == "vk"


@pytest.mark.parametrize(("jitter", "interval_s"), [(0.0, 9.6), (0.999999, 10.4)])
def test_beats_vary_by_four_percent(jitter, interval_s):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            Leases(server)
            lease = NodeLease(client, "vk", owner_uid=lambda: "uid-1", jitter=lambda: jitter)
            async with running(lease.run()):
                await until(lambda: len(server.of("PUT")) >= 3)
            assert [seen.at for seen in server.of("PUT")][:3] == pytest.approx(
                [interval_s, 2 * interval_s, 3 * interval_s], abs=0.05
            )

    run()


@virtual_time
async def test_no_lease_is_made_before_the_node_has_a_uid():
    async with serving() as (server, client):
        leases = Leases(server)
        uid = ""
        lease = new_lease(client, uid=lambda: uid)
        async with running(lease.run()):
            await asyncio.sleep(25)
            assert server.seen == []
            uid = "uid-1"
            lease.owner_changed()
            await until(lambda: leases.stored)
            assert server.of("POST")[0].at == pytest.approx(25, abs=0.1)


@virtual_time
async def test_a_node_made_anew_owns_the_lease_at_once():
    async with serving() as (server, client):
        leases = Leases(server)
        uid = "uid-1"
        lease = new_lease(client, uid=lambda: uid)
        async with running(lease.run()):
            await until(lambda: leases.stored)
            await asyncio.sleep(3)
            uid = "uid-2"
            lease.owner_changed()
            await until(lambda: leases.owners[0]["uid"] == "uid-2", within_s=1)
        assert leases.owners == [{"apiVersion": "v1", "kind": "Node", "name": "vk", "uid": "uid-2"}]


@virtual_time
async def test_a_lease_that_somebody_wrote_is_read_and_renewed_in_the_same_beat():
    async with serving() as (server, client):
        leases = Leases(server)
        async with running(new_lease(client).run()):
            await until(lambda: leases.stored)
            leases.write({**leases.stored, "metadata": {**leases.stored["metadata"], "labels": {"foreign": "kept"}}})
            await until(lambda: len(server.of("PUT")) >= 2)
        first, second = server.of("PUT")[:2]
        assert second.at == pytest.approx(first.at, abs=0.05)
        assert leases.stored["metadata"]["labels"] == {"foreign": "kept"}


@virtual_time
async def test_a_deleted_lease_is_made_again():
    async with serving() as (server, client):
        leases = Leases(server)
        async with running(new_lease(client).run()):
            await until(lambda: leases.stored)
            leases.stored = None
            await until(lambda: leases.stored)
        assert [seen.at for seen in server.of("POST")] == pytest.approx([0, 10], abs=0.2)


@virtual_time
async def test_five_tries_a_beat_and_then_the_next_beat():
    async with serving() as (server, client):
        leases = Leases(server)
        async with running(new_lease(client).run()):
            await until(lambda: leases.stored)
            server.forget("PUT", LEASE)
            server.on("PUT", LEASE, *[refuse(500)] * 7, leases.put)
            await until(lambda: len(server.of("PUT")) >= 8)
        assert [seen.at for seen in server.of("PUT")][:8] == pytest.approx([10] * 5 + [20] * 3, abs=0.2)


@virtual_time
async def test_a_hung_server_leaves_time_for_a_second_try_within_the_lease():
    async with serving() as (server, client):
        leases = Leases(server)
        async with running(new_lease(client).run()):
            await until(lambda: leases.stored)
            server.forget("PUT", LEASE)
            server.on("PUT", LEASE, lambda seen: asyncio.Event().wait(), leases.put)
            await until(lambda: len(server.of("PUT")) >= 2)
        assert [seen.at for seen in server.of("PUT")][:2] == pytest.approx([10, 20], abs=0.2)


@virtual_time
async def test_a_missing_namespace_is_waited_for_with_growing_pauses():
    async with serving() as (server, client):
        leases = Leases(server)
        server.forget("POST", LEASES)
        server.on("POST", LEASES, *[refuse(404, reason="NotFound")] * 9, leases.post)
        async with running(new_lease(client).run()):
            await until(lambda: leases.stored)
        times = [seen.at for seen in server.of("POST")]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 7, 7], abs=0.05)


@virtual_time
async def test_a_lease_of_an_earlier_run_is_taken_up():
    async with serving() as (server, client):
        leases = Leases(server)
        leases.write({"metadata": {"name": "vk"}, "spec": {"holderIdentity": "vk", "renewTime": "long ago"}})
        async with running(new_lease(client).run()):
            await until(lambda: server.of("PUT"))
        assert server.of("POST") == []
        assert leases.owners[0]["uid"] == "uid-1"


@virtual_time
async def test_an_answer_that_is_no_object_is_a_failed_try():
    async with serving() as (server, client):
        leases = Leases(server)
        server.forget("GET", LEASE)
        server.on("GET", LEASE, Answer(200, b"<html>"), leases.get)
        assert await new_lease(client).beat()
        assert len(server.of("GET")) == 2
