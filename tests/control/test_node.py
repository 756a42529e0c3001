"""Our Node: registered, kept as it should be, and what of others on it stays, by the second."""

import asyncio
import copy
import functools
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.control.memory_kube import MemoryKube
from tests.control.pure_time import play
from vk_provider.errors import ConfigError, Conflict, KubeUnavailable
from vk_provider.health import Fault
from vk_provider.kube.recorder import Recorder
from vk_provider.node.node_controller import HEARTBEAT_S, NodeController
from vk_provider.translate.node import IDENTITY_ANNOTATION, CloudHealth, NodeSpec, Taint

NODE = "/api/v1/nodes/vk"
SPEC = NodeSpec(
    name="vk",
    identity="c/vk",
    addresses=["10.0.0.1"],
    kubelet_port=10250,
    server_version="v1.29.3",
    capacity={"cpu": "100", "memory": "200Gi", "pods": "50"},
    taints=[Taint("virtual-kubelet.io/provider", "alibabacloud")],
)
WELL = CloudHealth(ok=True, reason="CloudAPIAnswers", message="the cloud API answers")
ILL = CloudHealth(ok=False, reason="CloudAPIUnavailable", message="connection refused")


def in_no_time(story):
    @functools.wraps(story)
    def run(*args, **more):
        return play(story(*args, **more))

    return run


def now():
    return datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())


class World:
    """A Node controller, its API server, and what it tells others."""

    def __init__(self, *, adopt=False, notices=(), capacity=()):
        self.kube = MemoryKube(clock=now)
        self.recorder = Recorder(self.kube, clock=now, jitter=lambda: 0.0)
        self.health = WELL
        self.owners = []
        self.controller = NodeController(
            client=self.kube,
            spec=SPEC,
            recorder=self.recorder,
            adopt=adopt,
            notices=notices,
            capacity=capacity,
            jitter=lambda: 0.0,
            clock=now,
        )
        self.controller.watch_health(lambda: self.health)
        self.controller.on_owner_change(lambda: self.owners.append(self.controller.uid))

    @property
    def node(self):
        return self.kube.objects[NODE]

    def condition(self, type_):
        return next(each for each in self.node["status"]["conditions"] if each["type"] == type_)

    def writes(self):
        return [(method, path) for method, path, _ in self.kube.seen if method != "GET" and "/nodes" in path]

    def reasons(self):
        return [each["reason"] for each in self.kube.events()]

    @asynccontextmanager
    async def running(self):
        tasks = [asyncio.create_task(self.controller.run()), asyncio.create_task(self.recorder.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks)
            for task in done:
                if not task.cancelled():
                    task.result()


@in_no_time
async def test_it_registers_once_with_everything_on_it():
    world = World(notices=[("MissingClusterDNS", "no DNS")])
    async with world.running():
        await asyncio.sleep(100)
    assert world.writes() == [("POST", "/api/v1/nodes")]
    assert world.controller.registered.is_set()
    assert world.owners == [world.node["metadata"]["uid"]]
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("CloudAPIAvailable")["status"] == "True"
    assert world.node["spec"]["taints"] == [
        {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
    ]
    assert sorted(world.reasons()) == ["MissingClusterDNS", "Starting"]


@in_no_time
async def test_conditions_are_refreshed_every_five_minutes_and_nothing_else_is_written():
    world = World()
    async with world.running():
        await asyncio.sleep(3 * HEARTBEAT_S + 50)
        beats = world.kube.bodies("PATCH", "/nodes/vk/status")
        assert len(beats) == 3, "N20: the lease is the heart, this is for those who read conditions"
        age = now() - datetime.fromisoformat(world.condition("Ready")["lastHeartbeatTime"])
        assert age.total_seconds() <= HEARTBEAT_S + 10
        born = world.condition("Ready")["lastTransitionTime"]
        assert born == "2026-01-02T03:00:00Z", "a heartbeat is no transition"


class Offer:
    """A CapacitySource of which a test says what it offers."""

    def __init__(self, **resources):
        self.resources = resources

    def current(self):
        return {f"example.com/{name}": text for name, text in self.resources.items()}


@in_no_time
async def test_what_a_capacity_source_offers_is_on_the_node_within_a_round_and_goes_with_it():
    offer = Offer(cpu="8", memory="16")
    world = World(capacity=[offer])
    async with world.running():
        await asyncio.sleep(20)
        for name in ("capacity", "allocatable"):
            shown = world.node["status"][name]
            assert shown == {**SPEC.capacity, "example.com/cpu": "8", "example.com/memory": "16"}
        offer.resources = {"cpu": "3"}
        world.controller.reconcile_now()
        await asyncio.sleep(1)
        assert world.node["status"]["allocatable"] == {**SPEC.capacity, "example.com/cpu": "3"}
        offer.resources = {}
        await asyncio.sleep(20)
        assert world.node["status"]["capacity"] == SPEC.capacity


@in_no_time
async def test_a_node_of_an_earlier_life_is_taken_over_with_what_others_put_on_it():
    world = World()
    async with world.running():
        await asyncio.sleep(20)

    def by_others(node):
        node["metadata"]["labels"]["team"] = "blue"
        node["spec"]["taints"] = [{"key": "maintenance", "effect": "NoSchedule"}]
        node["spec"]["unschedulable"] = True
        node["status"]["conditions"].append({"type": "NetworkUnavailable", "status": "False"})

    world.kube.edit(NODE, by_others)
    left = copy.deepcopy(world.node)
    second = World()
    second.kube = second.controller._client = world.kube
    async with second.running():
        await asyncio.sleep(HEARTBEAT_S + 20)
    assert world.node["spec"] == left["spec"], "taints and cordon are others' once the node exists"
    assert world.node["metadata"]["labels"] == left["metadata"]["labels"]
    assert {"type": "NetworkUnavailable", "status": "False"} in world.node["status"]["conditions"]
    assert [path for method, path in world.writes() if method == "POST"] == ["/api/v1/nodes"]
    assert second.owners == [world.node["metadata"]["uid"]]


@in_no_time
async def test_a_node_deleted_is_made_again_and_the_lease_is_told_its_new_uid():
    world = World()
    async with world.running():
        await asyncio.sleep(20)
        world.kube.remove(NODE)
        await asyncio.sleep(11)
        assert NODE in world.kube.objects, "within one round"
        assert len(set(world.owners)) == 2
        assert world.owners[-1] == world.node["metadata"]["uid"]


@in_no_time
async def test_two_that_register_at_once_end_with_one_node():
    world = World()
    post = world.kube.post

    async def lost_race(path, body, **more):
        if path == "/api/v1/nodes":
            await post(path, copy.deepcopy(body))
            raise Conflict("exists", status=409)
        return await post(path, body, **more)

    world.kube.post = lost_race
    async with world.running():
        await asyncio.sleep(20)
        assert world.owners == [world.node["metadata"]["uid"]]


@in_no_time
async def test_a_real_machine_of_our_name_is_not_touched():
    world = World()
    machine = {"metadata": {"name": "vk"}, "spec": {}, "status": {"conditions": []}}
    world.kube.add(NODE, machine)
    with pytest.raises(ConfigError, match="--adopt-node"):
        async with world.running():
            await asyncio.sleep(20)
    assert world.writes() == []
    assert not world.controller.registered.is_set()


@in_no_time
async def test_it_is_taken_over_and_marked_when_the_operator_says_so():
    world = World(adopt=True)
    world.kube.add(NODE, {"metadata": {"name": "vk"}, "spec": {}, "status": {"conditions": []}})
    async with world.running():
        await asyncio.sleep(20)
    assert world.node["metadata"]["annotations"][IDENTITY_ANNOTATION] == "c/vk"
    assert world.condition("Ready")["status"] == "True"


@in_no_time
async def test_an_outage_of_the_cloud_shows_at_once_evicts_nobody_and_is_told_once():
    """N24: Ready=False would evict every pod, and they are well."""
    world = World()
    async with world.running():
        await asyncio.sleep(25)
        world.health = ILL
        world.controller.reconcile_now()
        await asyncio.sleep(0.5)
        assert (world.condition("CloudAPIAvailable")["status"], world.condition("Ready")["status"]) == ("False", "True")
        assert world.condition("CloudAPIAvailable")["message"] == "connection refused"
        await asyncio.sleep(3600)
        assert world.condition("Ready")["status"] == "True"
        world.health = WELL
        world.controller.reconcile_now()
        await asyncio.sleep(20)
        assert world.condition("CloudAPIAvailable")["status"] == "True"
    assert world.reasons() == ["Starting", "CloudAPIUnavailable", "CloudAPIAvailable"]


@in_no_time
async def test_what_the_outage_is_said_to_be_by_changing_words_is_not_told_each_time():
    """A cloud in trouble words it in turns; an hour of that must not be an event and a write every few seconds."""
    world = World()
    async with world.running():
        await asyncio.sleep(25)
        for number in range(360):
            world.health = CloudHealth(ok=False, reason="CloudAPIUnavailable", message=f"refused at port {number}")
            world.controller.reconcile_now()
            await asyncio.sleep(10)
        assert world.reasons().count("CloudAPIUnavailable") == 1
        events = world.kube.events("CloudAPIUnavailable")
        assert [each["count"] for each in events] == [1]


@in_no_time
async def test_an_api_server_that_is_away_is_tried_again_ever_more_slowly_and_then_all_is_as_before():
    world = World()

    def silent(method, path, body):
        raise KubeUnavailable("no answer")

    world.kube.trouble = silent
    async with world.running():
        await asyncio.sleep(600)
        assert 60 < len([path for _, path, _ in world.kube.seen if path == NODE]) < 110, "every 7 s in the end"
        assert not world.controller.registered.is_set()
        world.kube.trouble = lambda *_: None
        await asyncio.sleep(8)
        assert world.controller.registered.is_set()


@in_no_time
async def test_a_ready_condition_that_a_controller_set_to_unknown_is_put_right_within_a_round():
    world = World()
    async with world.running():
        await asyncio.sleep(25)

        def silenced(node):
            for each in node["status"]["conditions"]:
                if each["type"] == "Ready":
                    each.update(status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting.")

        world.kube.edit(NODE, silenced)
        await asyncio.sleep(11)
        assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("True", "KubeletReady")


@in_no_time
async def test_what_is_wrong_with_ourselves_shows_on_the_node_which_stays_ready():
    """The watch of pods is refused: whoever looks at the node sees it, and nothing is evicted for it."""
    world = World()
    trouble = []
    world.controller.watch_own_health(lambda: trouble[0] if trouble else None)
    async with world.running():
        await asyncio.sleep(25)
        assert world.condition("ProviderHealthy")["status"] == "True"
        trouble.append(Fault("WatchFailing", "/api/v1/pods cannot be watched since 2026-01-02T03:00:00Z: 403", 60.0))
        await asyncio.sleep(11)
        own = world.condition("ProviderHealthy")
        assert (own["status"], own["reason"], "403" in own["message"]) == ("False", "WatchFailing", True)
        assert world.condition("Ready")["status"] == "True"
        writes = len(world.writes())
        await asyncio.sleep(250)
        assert len(world.writes()) <= writes + 1, "told once, not in every round"
        trouble.clear()
        await asyncio.sleep(11)
        assert world.condition("ProviderHealthy")["status"] == "True"
    assert world.reasons() == ["Starting", "WatchFailing", "ProviderWorks"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda node: node.update(status=[]),
        lambda node: node["status"].update(conditions={"Ready": "True"}),
        lambda node: node["status"].update(conditions=[None, "x", {"status": "True"}, {"type": 5}]),
        lambda node: node["status"].update(capacity=[], allocatable="none", nodeInfo=7),
        lambda node: node["status"].update(capacity={"cpu": "lots", "memory": None}),
        lambda node: node["metadata"].update(uid=None),
        lambda node: node["metadata"].update(annotations=[]),
    ],
)
@in_no_time
async def test_a_node_that_is_malformed_ends_nothing_and_is_put_right_when_it_can_be_read(harm):
    world = World()
    async with world.running():
        await asyncio.sleep(25)
        sound = copy.deepcopy(world.node)
        harm(world.node)
        await asyncio.sleep(60)
        world.kube.objects[NODE] = sound
        sound["status"]["conditions"] = []
        await asyncio.sleep(20)
        assert world.condition("Ready")["status"] == "True"


@in_no_time
async def test_two_providers_of_one_name_do_not_write_over_each_other_for_ever():
    world, other = World(), World()
    other.kube = other.recorder._client = other.controller._client = world.kube
    other.controller._spec = replace(SPEC, addresses=["10.0.0.2"])
    async with world.running():
        await asyncio.sleep(30)
        async with other.running():
            await asyncio.sleep(1200)
            began = len(world.kube.bodies("PATCH", "/nodes/vk/status"))
            await asyncio.sleep(3000)
            writes = len(world.kube.bodies("PATCH", "/nodes/vk/status")) - began
            assert writes <= 11, "heartbeats of one"
            assert world.node["status"]["addresses"][0] == {"type": "InternalIP", "address": "10.0.0.1"}
            assert "NodeContested" in world.reasons()
    async with other.running():
        await asyncio.sleep(3 * HEARTBEAT_S)
        assert world.node["status"]["addresses"][0] == {"type": "InternalIP", "address": "10.0.0.2"}
