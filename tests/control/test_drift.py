"""A pod that is another by now than its instance was made of (faults W2, W3): by virtual time, and across crashes."""

import asyncio
import base64
import json
from datetime import UTC, datetime

import pytest

from tests.control.living_cloud import Life
from tests.control.test_pods import condition, in_no_time, served
from tests.control.world import World
from vk_provider.control import drift
from vk_provider.errors import CloudRefused, CloudUnavailable
from vk_provider.model.instance import (
    ContainerReport,
    ContainerState,
    Instance,
    InstanceStatus,
    MadeOf,
    Owner,
    StateKind,
)
from vk_provider.model.vocabulary import NEUTRAL
from vk_provider.pacing.clock import Now
from vk_provider.translate import digest
from vk_provider.translate.objects import Kind, Objects

POD = "/api/v1/namespaces/web/pods/web"
CONFIG, SECRET = "/api/v1/namespaces/web/configmaps/c", "/api/v1/namespaces/web/secrets/login"
BAD, GOOD = "registry.example.com/perl:wrong", "registry.example.com/perl:right"
ENV = {"containers": [{"name": "main", "image": GOOD, "envFrom": [{"configMapRef": {"name": "c"}}]}]}
FILE = {
    "containers": [
        {"name": "main", "image": GOOD, "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a"}]},
    ],
    "volumes": [{"name": "v", "configMap": {"name": "c"}}],
}
PULL = {"containers": [{"name": "main", "image": GOOD}], "imagePullSecrets": [{"name": "login"}]}
TWO = {"containers": [{"name": "main", "image": GOOD}, {"name": "side", "image": BAD}]}


def image(name, container=0):
    def change(pod):
        pod["spec"]["containers"][container]["image"] = name

    return change


def config(world, value):
    made = {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": value}}
    if CONFIG in world.kube.objects:
        world.kube.edit(CONFIG, lambda item: item["data"].update(a=value))
    else:
        world.kube.add(CONFIG, made)


def login(user="u"):
    auths = {"auths": {"registry.example.com": {"username": user, "password": "p"}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(auths).encode()).decode()}
    meta = {"namespace": "web", "name": "login"}
    return {"metadata": meta, "type": "kubernetes.io/dockerconfigjson", "data": data}


def entry(world, number=0):
    return world.kube.pod("web")["status"]["containerStatuses"][number]


def reason(world, number=0):
    return (entry(world, number)["state"].get("waiting") or {}).get("reason")


async def backing_off(world, spec, policy="Always"):
    """A pod whose image cannot be pulled, as its status shows."""
    world.kube.add_pod("web", policy=policy, spec=spec)
    await world.until(lambda: world.kube.pod("web")["status"].get("containerStatuses"))
    await world.until(lambda: reason(world) == "ImagePullBackOff")


def made(world):
    return [each.id for each in world.cloud.instances.values()]


# --- nothing has run yet: another instance takes the place ---


@pytest.mark.parametrize("policy", ["Always", "Never"])
@in_no_time
async def test_an_image_that_is_mended_in_place_is_run(policy):
    world = World(web=Life(runs_s=None))
    world.cloud.bad_images.add(BAD)
    async with world.running():
        await backing_off(world, {"containers": [{"name": "main", "image": BAD}]}, policy)
        world.kube.edit(POD, image(GOOD))
        began = world.time_s
        await world.until(lambda: world.phase("web") == "Running", within_s=60)
        assert world.time_s - began < 30
        assert made(world) == ["eci-2"]
        assert entry(world)["image"] == GOOD
        assert world.kube.pod("web")["metadata"]["annotations"]["virtual-kubelet.io/instance-id"] == "eci-2"
        await asyncio.sleep(300)
        assert len(world.cloud.created) == 2
    [told] = world.kube.events("InstanceReplaced")
    assert "image of container main" in told["message"]
    assert world.complaints() == []


@in_no_time
async def test_an_error_is_shown_beside_the_image_that_it_is_about():
    world = World()
    world.cloud.bad_images |= {BAD, "perl:also-wrong"}
    async with world.running():
        await backing_off(world, {"containers": [{"name": "main", "image": BAD}]})
        world.kube.edit(POD, image("perl:also-wrong"))
        end_s = world.time_s + 60
        while world.time_s < end_s:
            now = entry(world)
            if (now["state"].get("waiting") or {}).get("reason") == "ImagePullBackOff":
                assert now["image"] in now["state"]["waiting"]["message"]
            await asyncio.sleep(0.1)
        assert now["image"] == "perl:also-wrong"
    assert world.complaints() == []


@pytest.mark.parametrize("was_there", [False, True], ids=["made later", "mended"])
@in_no_time
async def test_a_pull_secret_that_comes_later_is_used(was_there):
    world = World()
    world.cloud.needs_login.add(GOOD)
    if was_there:
        world.kube.add(SECRET, {**login(), "data": {".dockerconfigjson": "e30="}})
    async with world.running():
        await backing_off(world, PULL)
        await asyncio.sleep(100)
        assert len(world.cloud.created) == 1
        if was_there:
            world.kube.edit(SECRET, lambda item: item.update(data=login()["data"]))
        else:
            world.kube.add(SECRET, login())
        await world.until(lambda: world.phase("web") == "Running", within_s=60)
        assert made(world) == ["eci-2"]
    assert world.complaints() == []


@in_no_time
async def test_the_provider_finds_after_a_restart_what_changed_while_it_was_down():
    world = World()
    world.cloud.needs_login.add(GOOD)
    async with world.running():
        await backing_off(world, PULL)
    world.kube.add(SECRET, login())
    await asyncio.sleep(100)
    async with world.running():
        await world.until(lambda: world.phase("web") == "Running", within_s=60)
        await asyncio.sleep(300)
        assert len(world.cloud.created) == 2
    assert world.complaints() == []


@in_no_time
async def test_what_does_not_change_a_content_changes_nothing():
    world = World()
    world.cloud.bad_images.add(GOOD)
    config(world, "1")
    world.kube.add(SECRET, login())
    async with world.running():
        await backing_off(world, {**ENV, "imagePullSecrets": [{"name": "login"}]})
        for path in (CONFIG, SECRET, POD):
            world.kube.edit(path, lambda item: item["metadata"].setdefault("annotations", {}).update(note="x"))
        await asyncio.sleep(600)
    async with world.running():
        await asyncio.sleep(600)
    assert len(world.cloud.created) == 1
    assert world.cloud.changes_made == []
    assert world.complaints() == []


@in_no_time
async def test_edits_without_end_make_instances_slower_and_slower_and_never_two_at_once():
    world = World()
    images = [f"perl:wrong-{number}" for number in range(2000)]
    world.cloud.bad_images |= {BAD, *images}
    async with world.running():
        await backing_off(world, {"containers": [{"name": "main", "image": BAD}]})
        for each in images:
            world.kube.edit(POD, image(each))
            await asyncio.sleep(3.0)
            assert len(made(world)) <= 1
        assert 3 <= len(world.cloud.created) <= 16
        await asyncio.sleep(700)
        assert entry(world)["image"] == images[-1]
    assert world.complaints() == []


@in_no_time
async def test_a_note_that_a_user_writes_moves_nothing():
    world = World()
    world.cloud.bad_images.add(BAD)
    async with world.running():
        await backing_off(world, {"containers": [{"name": "main", "image": BAD}]})
        noted = {"virtual-kubelet.io/replaced-instance": "eci-1 1"}
        world.kube.edit(POD, lambda pod: pod["metadata"]["annotations"].update(noted))
        await asyncio.sleep(300)
    assert (len(world.cloud.created), made(world)) == (1, ["eci-1"])
    assert world.complaints() == []


@in_no_time
async def test_an_instance_that_begins_after_all_is_not_thrown_away():
    """The image could be pulled between the last look and the deletion: what runs stays."""
    world = World(cloud_latency_s=2.0)
    world.cloud.bad_images.add(BAD)
    async with world.running():
        await backing_off(world, {"containers": [{"name": "main", "image": BAD}]})
        world.kube.edit(POD, image(GOOD))
        await world.until(
            lambda: "virtual-kubelet.io/replaced-instance" in world.kube.pod("web")["metadata"]["annotations"]
        )
        world.cloud.bad_images.clear()
        world.cloud._start_all("eci-1")
        await world.until(lambda: world.phase("web") == "Running")
        await asyncio.sleep(60)
        assert made(world) == ["eci-1"]
        assert entry(world)["image"] == GOOD, "the running one is updated"
        world.cloud.vanish("eci-1")
        await world.until(lambda: world.phase("web") == "Failed")
    assert world.complaints() == []


# --- something runs: the cloud updates it ---


@in_no_time
async def test_a_running_container_begins_anew_with_its_new_image_and_its_neighbour_runs_on():
    world = World()
    spec = {"containers": [{"name": "main", "image": GOOD}, {"name": "side", "image": "perl:2"}]}
    async with world.running():
        await served(world, spec=spec)
        began = entry(world, 1)["state"]["running"]["startedAt"]
        world.kube.edit(POD, image("perl:new"))
        await world.until(lambda: entry(world)["image"] == "perl:new", within_s=30)
        await world.until(lambda: entry(world)["restartCount"] == 1, within_s=30)
        await asyncio.sleep(300)
        assert entry(world, 1)["state"]["running"]["startedAt"] == began
        assert len(world.cloud.changes_made) == 1
        assert made(world) == ["eci-1"]
    async with world.running():
        await asyncio.sleep(300)
        assert len(world.cloud.changes_made) == 1
    [told] = world.kube.events("Killing")
    assert told["message"] == "Container main definition changed, will be restarted"
    assert world.complaints() == []


@in_no_time
async def test_a_second_container_that_waits_for_its_image_gets_another_while_the_first_runs_on():
    world = World()
    world.cloud.bad_images.add(BAD)
    async with world.running():
        world.kube.add_pod("web", policy="Always", spec=TWO)
        await world.until(lambda: world.kube.pod("web")["status"].get("containerStatuses"))
        await world.until(lambda: reason(world, 1) == "ImagePullBackOff")
        world.kube.edit(POD, image(GOOD, 1))
        await world.until(lambda: "running" in entry(world, 1)["state"], within_s=60)
        assert entry(world)["restartCount"] == 0
    assert world.complaints() == []


@in_no_time
async def test_what_may_not_begin_anew_says_no_once_and_shows_what_runs():
    world = World()
    async with world.running():
        world.kube.add_pod("web", policy="Never", spec={"containers": [{"name": "main", "image": GOOD}]})
        await world.until(lambda: world.phase("web") == "Running")
        world.kube.edit(POD, image("perl:new"))
        await asyncio.sleep(300)
        told = condition(world, "web", "InstanceUpToDate")
        assert (told["status"], told["reason"]) == ("False", "SpecChangeNotApplied")
        assert "image of container main" in told["message"]
        assert entry(world)["image"] == GOOD
        assert world.phase("web") == "Running"
    async with world.running():
        await asyncio.sleep(300)
        assert [each["count"] for each in world.kube.events("SpecChangeNotApplied")] == [1]
        world.kube.edit(POD, image(GOOD))
        await asyncio.sleep(10)
        assert condition(world, "web", "InstanceUpToDate") == {}
    assert world.cloud.changes_made == []
    assert world.complaints() == []


@in_no_time
async def test_a_cloud_that_takes_no_update_is_believed_until_the_pod_changes_again():
    world = World()

    async def refuse(instance_id, workload, change):
        world.cloud.calls.append(f"update {instance_id}")
        raise CloudRefused("IncorrectOperation", code="InvalidAction")

    update, world.cloud.update = world.cloud.update, refuse
    async with world.running():
        await served(world, spec={"containers": [{"name": "main", "image": GOOD}]})
        world.kube.edit(POD, image("perl:new"))
        await asyncio.sleep(600)
        assert world.cloud.calls.count("update eci-1") == 1
        assert "IncorrectOperation" in condition(world, "web", "InstanceUpToDate")["message"]
        assert len(world.kube.events("SpecChangeNotApplied")) == 1
        assert entry(world)["image"] == GOOD
    async with world.running():
        await asyncio.sleep(600)
        assert world.cloud.calls.count("update eci-1") == 2, "another life asks once more"
        assert [each["count"] for each in world.kube.events("SpecChangeNotApplied")] == [1]
        world.cloud.update = update
        world.kube.edit(POD, image("perl:newer"))
        await world.until(lambda: entry(world)["image"] == "perl:newer", within_s=30)
        assert condition(world, "web", "InstanceUpToDate") == {}
    assert world.complaints() == []


@in_no_time
async def test_an_update_that_fails_is_tried_again_slower_and_slower_and_told():
    world = World()
    tries = []

    async def fail(instance_id, workload, change):
        tries.append(world.time_s)
        raise CloudUnavailable("no answer")

    update, world.cloud.update = world.cloud.update, fail
    async with world.running():
        await served(world, spec={"containers": [{"name": "main", "image": GOOD}]})
        world.kube.edit(POD, image("perl:new"))
        await asyncio.sleep(1800)
        assert 5 <= len(tries) <= 14
        assert len(world.kube.events("InstanceUpdateFailed")) == 1
        world.cloud.update = update
        await world.until(lambda: entry(world)["image"] == "perl:new", within_s=400)
    assert world.complaints() == []


# --- what a kubelet reads again at each start ---


@pytest.mark.parametrize("spec", [ENV, FILE], ids=["env", "subPath"])
@pytest.mark.parametrize("restarted", [False, True], ids=["seen", "while it was down"])
@in_no_time
async def test_a_crash_loop_ends_when_its_config_map_is_mended(spec, restarted):
    world = World()
    config(world, "bad")
    shown = world.cloud.shown

    def fails(container):
        env = dict(container.env).get("a") == "bad"
        return env or shown["eci-1"].get("v/a") == "bad"

    world.cloud.crashing = fails
    process = world.start()
    world.kube.add_pod("web", policy="Always", spec=spec)
    await world.until(lambda: world.kube.pod("web")["status"].get("containerStatuses"))
    await world.until(lambda: reason(world) == "CrashLoopBackOff")
    await asyncio.sleep(30)
    if restarted:
        await process.end()
    config(world, "good")
    if restarted:
        process = world.start()
    await world.until(lambda: world.cloud.changes_made, within_s=30)
    await asyncio.sleep(5)
    if spec is FILE:
        world.cloud._start_all("eci-1")  # the cloud's own next try
    await world.until(lambda: "running" in entry(world)["state"], within_s=30)
    await asyncio.sleep(300)
    await process.end()
    assert len(world.cloud.changes_made) == 1
    assert made(world) == ["eci-1"]
    assert world.complaints() == []


@in_no_time
async def test_who_runs_on_runs_on_and_begins_with_the_new_value_when_it_begins_again():
    world = World()
    config(world, "1")
    async with world.running():
        await served(world, spec=ENV)
        await asyncio.sleep(30)
        looked = world.kube.counts()["GET configmaps"]
        config(world, "2")
        await asyncio.sleep(300)
        assert world.cloud.changes_made == []
        assert world.kube.counts()["GET configmaps"] == looked, "nobody looks while it does not matter"
        world.cloud.crash("eci-1")  # and the cloud begins it again with what it has
        await world.until(lambda: world.cloud.environment("eci-1")["a"] == "2", within_s=30)
        await asyncio.sleep(300)
        assert len(world.cloud.changes_made) == 1
        assert world.phase("web") == "Running"
        looked = world.kube.counts()["GET configmaps"]
        config(world, "3")
        await asyncio.sleep(300)
        assert (len(world.cloud.changes_made), world.kube.counts()["GET configmaps"]) == (1, looked)
    assert world.complaints() == []


@in_no_time
async def test_a_restart_without_a_change_is_none_of_ours():
    world = World()
    config(world, "1")
    async with world.running() as process:
        await served(world, spec=ENV)
        for _ in range(3):
            world.cloud.crash("eci-1")
            await asyncio.sleep(60)
        assert world.cloud.changes_made == []
        assert process.controller.awaited_objects == 0
    assert world.complaints() == []


# --- the pure parts ---

UID = "11111111-2222-4333-8444-555555555555"


def a_pod(**spec):
    meta = {"namespace": "web", "name": "p", "uid": "u"}
    return {"metadata": meta, "spec": {"containers": [{"name": "main", "image": "perl"}], **spec}}


def an_object(uid=UID, **data):
    return {"metadata": {"uid": uid, "resourceVersion": "1", "annotations": {}}, "data": data}


def test_a_content_is_known_by_its_own_uid_alone_and_not_by_its_version():
    one = digest.content_of(an_object(a="1"))
    other_version = an_object(a="1")
    other_version["metadata"].update(resourceVersion="2", annotations={"x": "y"})
    assert digest.content_of(other_version) == one
    assert digest.content_of(an_object(a="2")) != one
    assert digest.content_of(an_object("another", a="1")) != one, "else a value could be guessed by trying"
    assert digest.content_of(None) == "absent"


def test_whose_image_it_is_belongs_to_the_digest():
    def pod(*names):
        return {"spec": {"containers": [{"name": name, "image": f"img-{name}"} for name in names]}}

    swapped = pod("a", "b")
    swapped["spec"]["containers"][0]["name"], swapped["spec"]["containers"][1]["name"] = "b", "a"
    assert digest.images(pod("a", "b")) != digest.images(swapped)


@pytest.mark.parametrize("count", [1, 20, 21, 40])
def test_a_digest_fits_into_a_tag_and_names_what_changed(count):
    names = [f"c{number}" for number in range(count)]
    env = [{"secretRef": {"name": "s"}}]
    pod = a_pod(containers=[{"name": name, "image": "perl", "envFrom": env} for name in names])
    pod["spec"]["imagePullSecrets"] = [{"name": "s"}]
    held = digest.made_of(pod, Objects(secrets={("web", "s"): an_object(a="1")}), NEUTRAL)
    assert max(len(held.images), len(held.values)) <= 128
    assert digest.other_images(pod, held) == frozenset()
    pod["spec"]["containers"][-1]["image"] = "perl:2"
    assert digest.other_images(pod, held) == ({names[-1]} if count <= 20 else set(names))
    wants = digest.values(pod, {(Kind.SECRET, ("web", "s")): digest.content_of(an_object(a="2"))}, NEUTRAL)
    assert digest.other_values(pod, held, wants) == set(names)
    assert digest.other_logins(held, wants)


def test_of_what_says_nothing_of_itself_nothing_is_concluded():
    pod = a_pod(imagePullSecrets=[{"name": "s"}])
    wants = digest.values(pod, {(Kind.SECRET, ("web", "s")): "x"}, NEUTRAL)
    for text in ("", "2abcdefabcdef", "x"):
        unknown = MadeOf(text, text)
        assert digest.other_images(pod, unknown) == digest.other_values(pod, unknown, wants) == frozenset()
        assert not digest.other_logins(unknown, wants)


def report(kind, count=0, *, name="main", code=None, last=None, reason=""):
    state = ContainerState(kind, reason=reason, exit_code=code)
    return ContainerReport(name, state, last_state=last, restart_count=count)


ENDED = ContainerState(StateKind.TERMINATED, exit_code=1)
NEVER_BEGAN = report(StateKind.WAITING, reason="ImagePullBackOff")
RUNS = report(StateKind.RUNNING)
PULLS = report(StateKind.WAITING, name="b", reason="ImagePullBackOff")
LOOPS = report(StateKind.WAITING, 2, last=ENDED, reason="CrashLoopBackOff")


@pytest.mark.parametrize(
    ("policy", "reports", "drifted", "expected"),
    [
        ("Always", [NEVER_BEGAN], {"images": {"main"}}, drift.MakeWay),
        ("Always", [NEVER_BEGAN], {"values": {"main"}}, drift.MakeWay),
        ("Never", [NEVER_BEGAN], {"logins": True}, drift.MakeWay),
        ("Always", [RUNS], {"images": {"main"}}, drift.Change),
        ("Never", [RUNS], {"images": {"main"}}, drift.Cannot),
        ("Always", [RUNS], {"values": {"main"}}, drift.Same),
        ("Always", [report(StateKind.RUNNING, 1)], {"values": {"main"}}, drift.Change),
        ("Always", [LOOPS], {"values": {"main"}}, drift.Change),
        ("OnFailure", [LOOPS], {"values": {"main"}}, drift.Change),
        ("Always", [RUNS], {"logins": True}, drift.Same),
        ("OnFailure", [report(StateKind.TERMINATED, code=0)], {"images": {"main"}, "values": {"main"}}, drift.Same),
        ("Never", [report(StateKind.TERMINATED, code=1)], {"images": {"main"}}, drift.Same),
        (
            "Always",
            [RUNS, PULLS],
            {"logins": True},
            drift.Change,
        ),
        (
            "Never",
            [RUNS, PULLS],
            {"logins": True},
            drift.Cannot,
        ),
        ("Always", [], {"images": {"main"}}, drift.Change),
    ],
)
def test_the_decision(policy, reports, drifted, expected):
    pod = a_pod(restartPolicy=policy, containers=[{"name": "main", "image": "a"}, {"name": "b", "image": "a"}])
    status = InstanceStatus.PENDING if reports == [NEVER_BEGAN] else InstanceStatus.RUNNING
    instance = Instance("eci-1", Owner(), status, containers=reports)
    found = drift.SpecDrift(
        MadeOf("1", "1"),
        frozenset(drifted.get("images", ())),
        frozenset(drifted.get("values", ())),
        drifted.get("logins", False),
    )
    now = Now(datetime(2026, 1, 1, tzinfo=UTC), 100.0)
    assert isinstance(drift.decide(pod, instance, found, drift.Attempts(), now), expected)
    soon = Now(datetime(2026, 1, 1, tzinfo=UTC), 1.0)
    early = drift.decide(pod, instance, found, drift.Attempts(), soon)
    assert isinstance(early, drift.Later if expected in (drift.MakeWay, drift.Change) else expected)
    bounded = drift.decide(pod, instance, found, drift.Attempts(updates=False, replaced=drift.MOST_REPLACED), now)
    assert isinstance(bounded, drift.Same if expected is drift.Same else drift.Cannot)
