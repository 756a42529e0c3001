"""Killed at any await and started again, whatever was under way: every pod reaches its right end with one instance."""

import asyncio
import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.living_cloud import Life
from tests.control.pure_time import play
from tests.control.world import Fate, World
from tests.thorough import THOROUGH, examples, thorough

STEPS = 10  # calls have two steps each, and the shortest story has more
JOB = Life(runs_s=5)
QUIET_S = 150.0  # two sweeps, the age at which an orphan is old enough, and the second request for a deletion


async def job(world):
    world.kube.add_pod("job")
    await world.until(lambda: world.phase("job") == "Succeeded")


async def job_then_deleted(world):
    await job(world)
    world.kube.delete_pod("job")


async def served_then_deleted(world):
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.phase("web") in ("Running", "Failed"))
    world.kube.delete_pod("web")
    await world.until(lambda: world.phase("web") == "gone")


async def deleted_while_starting(world):
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.cloud.created)
    world.kube.delete_pod("web")
    await world.until(lambda: world.phase("web") == "gone")


async def force_deleted(world):
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.phase("web") == "Running")
    world.kube.delete_pod("web", grace_s=0)
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.phase("web") == "Running")


async def vanished(world):
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.phase("web") == "Running")
    world.cloud.vanish("eci-1")
    await world.until(lambda: world.phase("web") == "Failed")


async def replaced(world):
    world.kube.add_pod("unlucky")
    await world.until(lambda: world.phase("unlucky") == "Succeeded")


async def sold_out(world):
    """Stock comes back after the first answer: whoever forgot that another way was taken would start a second one."""
    world.cloud.sold_out_once.add("job")
    await job(world)


async def refused(world):
    world.kube.add_pod("odd", spec={"hostNetwork": True})
    await world.until(lambda: world.phase("odd") == "Failed")


CONFIG = "/api/v1/namespaces/web/configmaps/c"
SHOWS = {
    "containers": [{"name": "main", "image": "perl", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    "volumes": [
        {
            "name": "v",
            "projected": {
                "sources": [
                    {"configMap": {"name": "c"}},
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
                ]
            },
        }
    ],
}


async def edited(world):
    world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
    world.kube.add_pod("web", policy="Always", spec=SHOWS)
    await world.until(lambda: world.phase("web") == "Running")
    world.kube.edit(CONFIG, lambda item: item["data"].update(a="2"))
    await world.until(lambda: world.cloud.shown["eci-1"]["v/a"] == "2")


async def token_renewed(world):
    await edited(world)
    first = world.cloud.shown["eci-1"]["v/token"]
    await world.until(lambda: world.cloud.shown["eci-1"]["v/token"] != first)


WRONG, RIGHT = "perl:wrong", "perl:right"
LOGIN = "/api/v1/namespaces/web/secrets/login"


async def image_mended(world):
    """While it cannot be pulled: another instance takes the place."""
    world.cloud.bad_images.add(WRONG)
    world.kube.add_pod("web", policy="Always", spec={"containers": [{"name": "main", "image": WRONG}]})
    await world.until(lambda: world.cloud.instances and world.cloud.instances["eci-1"].containers[0].state.reason)
    await asyncio.sleep(3)
    world.kube.edit("/api/v1/namespaces/web/pods/web", lambda pod: pod["spec"]["containers"][0].update(image=RIGHT))
    await world.until(lambda: world.phase("web") == "Running")


async def login_made_later(world):
    world.cloud.needs_login.add("docker.io/library/perl")
    spec = {
        "containers": [{"name": "main", "image": "docker.io/library/perl"}],
        "imagePullSecrets": [{"name": "login"}],
    }
    world.kube.add_pod("web", policy="Always", spec=spec)
    await world.until(lambda: world.cloud.instances and world.cloud.instances["eci-1"].containers[0].state.reason)
    await asyncio.sleep(3)
    auths = base64.b64encode(b'{"auths":{"docker.io":{"username":"u","password":"p"}}}').decode()
    data = {".dockerconfigjson": auths}
    meta = {"namespace": "web", "name": "login"}
    world.kube.add(LOGIN, {"metadata": meta, "type": "kubernetes.io/dockerconfigjson", "data": data})
    await world.until(lambda: world.phase("web") == "Running")


async def image_of_a_running_pod(world):
    await served_now(world)
    world.kube.edit("/api/v1/namespaces/web/pods/web", lambda pod: pod["spec"]["containers"][0].update(image=RIGHT))
    await world.until(lambda: world.cloud.instances["eci-1"].containers[0].image == RIGHT)
    await asyncio.sleep(30)
    assert world.cloud.instances["eci-1"].containers[0].restart_count == 1


async def served_now(world):
    world.kube.add_pod("web", policy="Always")
    await world.until(lambda: world.phase("web") == "Running")


async def deleted_while_it_makes_way(world):
    world.cloud.bad_images |= {WRONG, RIGHT}
    world.kube.add_pod("web", policy="Always", spec={"containers": [{"name": "main", "image": WRONG}]})
    await world.until(lambda: world.cloud.instances and world.cloud.instances["eci-1"].containers[0].state.reason)
    await asyncio.sleep(3)
    world.kube.edit("/api/v1/namespaces/web/pods/web", lambda pod: pod["spec"]["containers"][0].update(image=RIGHT))
    await asyncio.sleep(4)
    world.kube.delete_pod("web")
    await world.until(lambda: world.phase("web") == "gone")


STORIES = {
    "its image is mended": (image_mended, {"web": "Running"}),
    "its pull secret is made later": (login_made_later, {"web": "Running"}),
    "its image is changed while it runs": (image_of_a_running_pod, {"web": "Running"}),
    "deleted while it makes way": (deleted_while_it_makes_way, {"web": "gone"}),
    "its ConfigMap is edited": (edited, {"web": "Running"}),
    "its token is renewed": (token_renewed, {"web": "Running"}),
    "a Job's pod": (job, {"job": "Succeeded"}),
    "a Job's pod, deleted afterwards": (job_then_deleted, {"job": "gone"}),
    "a server, deleted": (served_then_deleted, {"web": "gone"}),
    "deleted while it starts": (deleted_while_starting, {"web": "gone"}),
    "force-deleted, and a namesake": (force_deleted, {"web": "Running"}),
    "its instance vanishes": (vanished, {"web": "Failed"}),
    "never placed, twice": (replaced, {"unlucky": "Succeeded"}),
    "its first way is out of stock": (sold_out, {"job": "Succeeded"}),
    "refused": (refused, {"odd": "Failed"}),
}
LIVES = {"job": JOB, "unlucky": Life(runs_s=5, unplaced=2)}


async def lived(story, kill_at, *, down_s):
    """The world after the story, in which the first process died at that step; and the steps it got to."""
    world = World(**LIVES)
    first = Fate(kill_at)
    process = world.start(first)
    telling = asyncio.create_task(story(world))
    dying = asyncio.create_task(first.dead.wait())
    await asyncio.wait([telling, dying], return_when=asyncio.FIRST_COMPLETED)
    if not first.dead.is_set():
        await asyncio.wait([dying], timeout=QUIET_S)
    await process.end()
    dying.cancel()
    await asyncio.sleep(down_s)
    second = world.start()
    try:
        await telling
        await asyncio.sleep(QUIET_S)
    finally:
        await second.end()
    return world, first.steps, second


@thorough
@pytest.mark.parametrize("down_s", [1.0, 40.0])
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_step(name, down_s):
    """In `make test` at every other one for the short absence, and at those between them for the long one."""
    story, ends = STORIES[name]
    first, apart = (1, 1) if THOROUGH else (1 + (down_s > 1), 2)
    for kill_at in itertools.count(first, apart):
        world, reached, last = play(lived(story, kill_at, down_s=down_s))
        where = f"{name}, killed at step {kill_at}"
        assert world.complaints() == [], where
        assert {pod: world.phase(pod) for pod in ends} == ends, where
        live = {pod["metadata"]["uid"] for pod in world.kube.pods()}
        assert set(last.controller._memories) <= live, f"{where}: records stay for ever"
        if reached < kill_at:
            break
    assert kill_at > STEPS, "the harness killed hardly anything"


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Succeeded", "Failed", "served", "deleted", "forced", "vanished"]),
            st.integers(0, 20),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.integers(1, 120), max_size=4),
    st.sampled_from([0.0, 0.3]),
)
def test_many_pods_and_many_deaths(fates, deaths, lag_s):
    world, ends = play(_mixed(fates, deaths, lag_s))
    assert world.complaints() == []
    assert {name: world.phase(name) for name in ends} == ends


async def _mixed(fates, deaths, lag_s):
    lives, ends = {}, {}
    for number, (fate, _, unplaced) in enumerate(fates):
        lasts = fate in ("served", "deleted", "forced", "vanished")
        lives[f"p{number}"] = Life(runs_s=None if lasts else 4.0, exit_code=int(fate == "Failed"), unplaced=unplaced)
        ends[f"p{number}"] = {"served": "Running", "vanished": "Failed"}.get(
            fate, "gone" if fate in ("deleted", "forced") else fate
        )
    world = World(kube_latency_s=0.01, cloud_latency_s=0.05, **lives)
    world.kube.watch_lag_s = lag_s
    deeds = [asyncio.create_task(_deed(world, f"p{n}", *fate[:2])) for n, fate in enumerate(fates)]
    for kill_at in deaths:
        fate = Fate(kill_at)
        process = world.start(fate)
        await asyncio.wait([asyncio.create_task(fate.dead.wait())], timeout=30)
        await process.end()
    last = world.start()
    await asyncio.gather(*deeds)
    await asyncio.sleep(400)
    await last.end()
    return world, ends


async def _deed(world, name, fate, at_s):
    """What users and the cloud do to this pod."""
    await asyncio.sleep(at_s / 4)
    uid = world.kube.add_pod(name, policy="Never" if fate in ("Succeeded", "Failed") else "Always")
    if fate == "forced":
        await asyncio.sleep(at_s)
        world.kube.delete_pod(name, grace_s=0)
        return
    if fate == "deleted":
        await asyncio.sleep(at_s)
        world.kube.delete_pod(name)
        return
    if fate == "vanished":
        await world.until(lambda: world.phase(name) == "Running", within_s=4000)
        for each in list(world.cloud.instances.values()):
            if each.owner.uid == uid:
                world.cloud.vanish(each.id)
