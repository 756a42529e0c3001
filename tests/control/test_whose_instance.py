"""Whose an instance is, its tags alone say: no answer of a create, and nothing that a tenant may write on a pod."""

import asyncio
from dataclasses import replace

import pytest

from tests.control.pure_time import play
from tests.control.world import World
from vk_provider.model.instance import Instance, InstanceStatus, Owner
from vk_provider.model.pod import INSTANCE_ID_ANNOTATION

FOREIGN = "eci-of-others"


class MistakenCloud:
    """The world's cloud, but creates for pods in `answers` are answered with the id that stands there, whatever was
    made. touched: ids that calls other than listings named."""

    def __init__(self, cloud):
        self._cloud = cloud
        self.answers = {}
        self.makes_none = False
        self.touched = []

    async def create(self, workload):
        wrong = self.answers.get(workload.owner.name)
        if wrong is None:
            return await self._cloud.create(workload)
        if not self.makes_none:
            await self._cloud.create(workload)
        return Instance(wrong, workload.owner, InstanceStatus.SCHEDULING, proven=False)

    async def foreign(self, instance_ids):
        return set(instance_ids) & {FOREIGN}

    async def delete(self, instance_id, *, force=False):
        self.touched.append(instance_id)
        return await self._cloud.delete(instance_id, force=force)

    async def is_gone(self, instance_id, container):
        self.touched.append(instance_id)
        return await self._cloud.is_gone(instance_id, container)

    def __getattr__(self, name):
        return getattr(self._cloud, name)


def world_of_mistakes():
    world = World()
    world.cloud = MistakenCloud(world.cloud)
    return world


def noted(world, name):
    return world.kube.pod(name)["metadata"]["annotations"].get(INSTANCE_ID_ANNOTATION, "")


@pytest.mark.parametrize("makes_none", [False, True])
def test_a_create_that_is_answered_with_another_pods_instance_takes_nothing_from_it(makes_none):
    async def story():
        world = world_of_mistakes()
        async with world.running():
            world.kube.add_pod("first", policy="Always")
            await world.until(lambda: world.phase("first") == "Running")
            world.cloud.answers["second"], world.cloud.makes_none = "eci-1", makes_none
            world.kube.add_pod("second", policy="Always")
            await asyncio.sleep(60)
            assert noted(world, "first") == "eci-1"
            assert world.phase("first") == "Running"
            assert noted(world, "second") == ("" if makes_none else "eci-2")
            assert world.phase("second") == ("Pending" if makes_none else "Running")
            world.kube.delete_pod("second")
            await world.until(lambda: world.phase("second") == "gone")
            await asyncio.sleep(120)
            assert world.phase("first") == "Running"
            assert "eci-1" not in world.cloud.touched
            assert world.complaints() == []

    play(story())


def test_two_pods_whose_creates_are_answered_with_one_id_never_share_it():
    async def story():
        world = world_of_mistakes()
        world.cloud.answers = {"first": "eci-2", "second": "eci-2"}  # which is the second one's
        async with world.running():
            world.kube.add_pod("first", policy="Always")
            world.kube.add_pod("second", policy="Always")
            await world.until(lambda: (world.phase("first"), world.phase("second")) == ("Running", "Running"))
            await asyncio.sleep(60)
            assert (noted(world, "first"), noted(world, "second")) == ("eci-1", "eci-2")
            assert world.cloud.touched == []
            assert world.complaints() == []

    play(story())


def test_an_id_that_is_not_this_clusters_is_let_go_of_and_the_pods_owner_is_told():
    async def story():
        world = world_of_mistakes()
        world.cloud.answers["web"], world.cloud.makes_none = FOREIGN, True
        async with world.running():
            world.kube.add_pod("web", policy="Always")
            await asyncio.sleep(300)
            assert world.phase("web") == "Pending"
            assert noted(world, "web") == ""
            (told,) = world.kube.events("CloudAPIUnavailable")
            assert "not this pod's" in told["message"]
            assert FOREIGN not in told["message"]
            del world.cloud.answers["web"]
            await world.until(lambda: world.phase("web") == "Running")
            assert noted(world, "web") == "eci-1"
            assert FOREIGN not in world.cloud.touched

    play(story())


def test_a_pod_that_is_deleted_before_its_instances_tags_were_seen_has_it_looked_at_first():
    async def story():
        world = world_of_mistakes()
        world.cloud.answers["web"] = "eci-1"
        async with world.running():
            world.kube.add_pod("web", policy="Always")
            await world.until(lambda: world.cloud.created)
            before = len(world.cloud.calls)
            world.kube.delete_pod("web")
            await world.until(lambda: world.phase("web") == "gone")
            calls = world.cloud.calls[before:]
            assert calls.index("describe") < calls.index("delete eci-1")
            await asyncio.sleep(60)
            assert world.complaints() == []

    play(story())


@pytest.mark.parametrize("written", ["eci-1", FOREIGN, "eci-9", "no id at all", "x" * 5000])
@pytest.mark.parametrize("ends", [False, True])
def test_an_id_that_a_tenant_wrote_leads_nowhere(written, ends):
    """To another pod's instance, to one of another cluster, to none."""

    async def story():
        world = world_of_mistakes()
        async with world.running():
            world.kube.add_pod("victim", policy="Always")
            await world.until(lambda: world.phase("victim") == "Running")
            world.kube.add_pod("own", policy="Always")
            await world.until(lambda: world.phase("own") == "Running")
            path = "/api/v1/namespaces/web/pods/own"
            world.kube.edit(path, lambda pod: pod["metadata"]["annotations"].update({INSTANCE_ID_ANNOTATION: written}))
            if ends:
                world.cloud.vanish("eci-2")
                await world.until(lambda: world.phase("own") == "Failed")
                assert all("eci-1" not in str(each) for each in world.kube.pod("own")["status"]["containerStatuses"])
            else:
                await asyncio.sleep(60)
                assert noted(world, "own") == "eci-2"  # put right
            world.kube.delete_pod("own")
            await world.until(lambda: world.phase("own") == "gone")
            await asyncio.sleep(120)
            assert world.phase("victim") == "Running"
            assert not {"eci-1", FOREIGN} & set(world.cloud.touched)
            assert list(world.cloud.instances) == ["eci-1"]

    play(story())


def test_an_id_that_changes_all_the_time_costs_the_cloud_little():
    async def story():
        world = world_of_mistakes()
        async with world.running():
            world.kube.add_pod("own", policy="Always")
            await world.until(lambda: world.phase("own") == "Running")
            before = world.cloud.calls.count("find")
            path = "/api/v1/namespaces/web/pods/own"
            for number in range(300):
                written = {INSTANCE_ID_ANNOTATION: f"eci-x{number}"}
                world.kube.edit(path, lambda pod, more=written: pod["metadata"]["annotations"].update(more))
                await asyncio.sleep(0.2)
            assert world.cloud.calls.count("find") - before <= 60 / 5 + 1

    play(story())


def test_of_two_owners_the_tags_name_the_one():
    async def story():
        world = world_of_mistakes()
        process = world.start()
        told = []
        store = process.instances
        store._changed = told.append
        shown = Instance("eci-1", Owner("c", "vk", "web", "a", "a"), InstanceStatus.RUNNING)
        claimed = replace(shown, owner=replace(shown.owner, name="b", uid="b"), proven=False)
        store.put(claimed)
        assert (store.of("b"), list(store.unproven)) == ((claimed,), ["eci-1"])
        store.put(shown)
        assert (store.of("a"), store.of("b"), list(store.unproven)) == ((shown,), (), [])
        store.put(claimed)
        assert (store.of("a"), store.of("b")) == ((shown,), ())
        assert told == ["b", "b", "a"]
        await process.end()

    play(story())
