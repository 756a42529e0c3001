"""Files of running instances follow their sources: by virtual time, at which second."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.control.living_cloud import Life
from tests.control.memory_kube import STAMP
from tests.control.pure_time import play
from tests.control.world import BIRTH, World
from tests.thorough import THOROUGH, thorough
from vk_provider.errors import CloudRefused, CloudUnavailable, KubeError

CONFIG, SECRET = "/api/v1/namespaces/web/configmaps/c", "/api/v1/namespaces/web/secrets/s"
TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}}
SHOWN = {"name": "c", "configMap": {"name": "c"}}
SECRETS = {"name": "s", "secret": {"secretName": "s"}}
LABELS = {"name": "l", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
NOTES = {
    "name": "n",
    "downwardAPI": {"items": [{"path": "all", "fieldRef": {"fieldPath": "metadata.annotations"}}]},
}


def spec(*volumes, **mount):
    mounts = [{"name": each["name"], "mountPath": f"/{each['name']}", **mount} for each in volumes]
    return {"containers": [{"name": "main", "image": "perl", "volumeMounts": mounts}], "volumes": list(volumes)}


def edit(world, value, path=CONFIG):
    world.kube.edit(path, lambda item: item["data"].update(a=value))


async def served(world, *volumes, name="web", data="1", **mount):
    """A pod that runs, with these volumes."""
    for path in (CONFIG, SECRET):
        if path not in world.kube.objects:
            world.kube.add(path, {"metadata": {"namespace": "web", "name": path[-1]}, "data": {"a": data}})
    world.kube.add_pod(name, policy="Always", labels={"tier": "1"}, spec=spec(*volumes, **mount))
    await world.until(lambda: world.phase(name) == "Running")
    await asyncio.sleep(30)
    assert world.cloud.updates == []


def told(story):
    async def tell():
        world = World()
        async with world.running():
            await story(world)
        assert world.complaints() == []
        return world

    return play(tell())


@pytest.mark.parametrize(
    ("volume", "change", "shown"),
    [
        pytest.param(SHOWN, lambda w: edit(w, "2"), {"c/a": "2"}, id="ConfigMap"),
        pytest.param(SECRETS, lambda w: edit(w, "Mg==", SECRET), {"s/a": "2"}, id="Secret"),
        pytest.param(
            SHOWN, lambda w: w.kube.edit(CONFIG, lambda i: i.update(data={"b": "3"})), {"c/b": "3"}, id="keys"
        ),
        pytest.param(
            LABELS,
            lambda w: w.kube.edit("/api/v1/namespaces/web/pods/web", lambda i: i["metadata"].update(labels={"x": "y"})),
            {"l/labels": 'x="y"'},
            id="label",
        ),
    ],
)
def test_a_change_arrives_by_one_update_within_seconds(volume, change, shown):
    async def story(world):
        await served(world, volume)
        change(world)
        began = world.time_s
        await world.until(lambda: world.cloud.shown["eci-1"] == shown, within_s=10)
        await asyncio.sleep(300)
        assert [each for each, _ in world.cloud.updates] == ["eci-1"]
        assert world.cloud.updates[0][1] - began < 5
        assert world.phase("web") == "Running"

    told(story)


def test_all_that_changed_goes_in_one_call_and_a_burst_is_one_change():
    async def story(world):
        await served(world, SHOWN, SECRETS, TOKEN)
        for number in range(10):
            edit(world, str(number))
            edit(world, "Mg==", SECRET)
            await asyncio.sleep(0.3)
        await asyncio.sleep(60)
        assert len(world.cloud.updates) == 1
        files = world.cloud.shown["eci-1"]
        assert (files["c/a"], files["s/a"]) == ("9", "2")

    told(story)


def test_edits_that_never_pause_still_arrive_and_not_each_by_itself():
    async def story(world):
        await served(world, SHOWN)
        for number in range(120):
            edit(world, str(number))
            await asyncio.sleep(0.5)
        await asyncio.sleep(30)
        assert world.cloud.shown["eci-1"] == {"c/a": "119"}
        assert 2 <= len(world.cloud.updates) <= 6

    told(story)


@pytest.mark.parametrize("mount", [{"subPath": "a"}], ids=["subPath"])
def test_what_a_kubelet_leaves_alone_is_left_alone(mount):
    async def story(world):
        await served(world, SHOWN, **mount)
        edit(world, "2")
        await asyncio.sleep(300)
        assert world.cloud.updates == []
        assert world.kube.counts()["WATCH configmaps"] == 0

    told(story)


def test_an_immutable_object_is_not_watched():
    async def story(world):
        world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}, "immutable": True})
        await served(world, SHOWN)
        looked = world.kube.counts()["GET configmaps"]
        edit(world, "2")
        await asyncio.sleep(3600)
        assert world.cloud.updates == []
        assert world.kube.counts()["GET configmaps"] == looked

    told(story)


def test_a_pod_may_say_no():
    async def story(world):
        await served(world, SHOWN)
        world.kube.edit(
            "/api/v1/namespaces/web/pods/web",
            lambda item: item["metadata"]["annotations"].update({"virtual-kubelet.io/live-configuration": "false"}),
        )
        edit(world, "2")
        await asyncio.sleep(300)
        assert world.cloud.updates == []

    told(story)


def test_all_annotations_as_a_file_come_to_rest():
    """Our own notes are among them, and one of them changes with each update."""

    async def story(world):
        world.kube.add_pod("web", policy="Always", spec=spec(NOTES))
        await world.until(lambda: world.phase("web") == "Running")
        await asyncio.sleep(600)
        assert len(world.cloud.updates) == 0  # what we note is not worth one for each pod
        path = "/api/v1/namespaces/web/pods/web"
        world.kube.edit(path, lambda pod: pod["metadata"]["annotations"].update({"mine": "1"}))
        await asyncio.sleep(600)
        assert len(world.cloud.updates) == 1
        assert "eci-1" in world.cloud.shown["eci-1"]["n/all"]
        assert "live-content" not in world.cloud.shown["eci-1"]["n/all"]

    told(story)


def test_after_a_restart_too_what_we_noted_is_no_reason_for_an_update():
    async def story():
        world = World()
        async with world.running():
            await served(world, NOTES)
        async with world.running():
            await asyncio.sleep(600)
        assert world.cloud.updates == []

    play(story())


def test_one_annotation_of_ours_that_a_pod_asks_for_by_its_name_arrives():
    path = "metadata.annotations['virtual-kubelet.io/instance-id']"
    own = {"name": "n", "downwardAPI": {"items": [{"path": "id", "fieldRef": {"fieldPath": path}}]}}

    async def story(world):
        world.kube.add_pod("web", policy="Always", spec=spec(own))
        await world.until(lambda: world.cloud.shown.get("eci-1") == {"n/id": "eci-1"}, within_s=30)
        await asyncio.sleep(600)
        assert len(world.cloud.updates) == 1

    told(story)


def ends(world, instance_id="eci-1"):
    """When the token in the instance ends, by the world's clock."""
    end = datetime.strptime(world.cloud.shown[instance_id]["t/token"], STAMP).replace(tzinfo=UTC)
    return (end - BIRTH).total_seconds()


def test_a_ten_minute_token_is_renewed_at_80_percent_again_and_again():
    async def story(world):
        await served(world, TOKEN)
        for _ in range(5):
            before = ends(world)
            await world.until(lambda before=before: ends(world) > before)
            assert before - 600 + 480 <= world.time_s <= before - 600 + 480 + 12
        assert len(world.cloud.updates) == 5

    told(story)


def test_after_a_restart_a_token_is_renewed_when_it_was_due_anyway():
    async def story():
        world = World()
        async with world.running():
            await served(world, TOKEN)
        first = ends(world)
        await asyncio.sleep(300)
        async with world.running():
            await asyncio.sleep(60)
            assert world.cloud.updates == []
            await world.until(lambda: ends(world) > first)
            assert first - 120 <= world.time_s <= first - 108
            asked = [call for call in world.cloud.calls if call == "describe"]
        assert len(asked) <= 1, "the pods' own notes tell"

    play(story())


def test_a_token_whose_time_came_while_we_were_away_is_renewed_at_once():
    async def story():
        world = World()
        async with world.running():
            await served(world, TOKEN)
        await asyncio.sleep(1000)
        began = world.time_s
        async with world.running():
            await world.until(lambda: ends(world) > world.time_s)
        assert world.time_s - began < 5

    play(story())


def test_an_edit_made_while_we_were_away_arrives():
    async def story():
        world = World()
        async with world.running():
            await served(world, SHOWN)
        edit(world, "2")
        async with world.running():
            await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "2"}, within_s=10)
            await asyncio.sleep(60)
        assert len(world.cloud.updates) == 1

    play(story())


def test_a_cloud_that_fails_keeps_the_old_and_gets_the_new_later():
    async def story(world):
        await served(world, SHOWN)
        failing = True

        async def update_files(instance_id, volumes):
            if failing:
                world.cloud.calls.append("update in vain")
                raise CloudUnavailable("out of order")
            await update(instance_id, volumes)

        update, world.cloud.update_files = world.cloud.update_files, update_files
        edit(world, "2")
        await asyncio.sleep(600)
        assert world.cloud.shown["eci-1"] == {"c/a": "1"}
        assert 4 <= world.cloud.calls.count("update in vain") <= 9, "it is asked less and less often"
        failing = False
        await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "2"}, within_s=301)
        (event,) = world.kube.events("LiveUpdateFailed")
        assert "stay as they were" in event["message"]

    told(story)


def test_what_the_cloud_cannot_hold_is_told_once_and_the_next_edit_is_tried():
    async def story(world):
        await served(world, SHOWN)
        refusing = True

        async def update_files(instance_id, volumes):
            world.cloud.calls.append("update")
            if refusing:
                raise CloudRefused("file 'a' of volume 'c' is too large")
            await update(instance_id, volumes)

        update, world.cloud.update_files = world.cloud.update_files, update_files
        edit(world, "too large")
        await asyncio.sleep(600)
        assert world.cloud.calls.count("update") == 1
        (event,) = world.kube.events("LiveUpdateRefused")
        assert "too large" in event["message"]
        refusing = False
        edit(world, "2")
        await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "2"}, within_s=30)

    told(story)


def test_a_deleted_object_leaves_the_old_files_until_it_is_back():
    async def story(world):
        await served(world, SHOWN)
        world.kube.remove(CONFIG)
        await asyncio.sleep(120)
        assert world.cloud.shown["eci-1"] == {"c/a": "1"}
        assert 'configmap "c" not found' in world.kube.events("FailedMount")[0]["message"]
        world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "2"}})
        await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "2"}, within_s=30)

    told(story)


def test_a_token_is_renewed_although_what_it_lies_beside_was_deleted_and_that_stays():
    beside = {"configMap": {"name": "c", "items": [{"key": "a", "path": "a"}]}}
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}

    async def story(world):
        await served(world, {"name": "t", "projected": {"sources": [beside, token]}}, SHOWN)
        world.kube.remove(CONFIG)
        for _ in range(2):
            before = ends(world)
            await world.until(lambda before=before: ends(world) > before)
            assert world.time_s < before
        assert {path: text for path, text in world.cloud.shown["eci-1"].items() if "token" not in path} == {
            "c/a": "1",
            "t/a": "1",
        }
        assert len(world.cloud.updates) == 2

    told(story)


def test_what_is_mounted_by_subpath_only_keeps_its_files_in_an_update_for_another_volume():
    """S21. Also when its source is no more; and a renewal is not for the sake of a token that stays as it is."""
    frozen = {"name": "f", "configMap": {"name": "f"}}
    still = {"name": "t", "projected": {"sources": TOKEN["projected"]["sources"]}}
    path = "/api/v1/namespaces/web/configmaps/f"

    async def story(world):
        world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
        world.kube.add(path, {"metadata": {"namespace": "web", "name": "f"}, "data": {"a": "1"}})
        shape = spec(SHOWN, frozen, still)
        for mount in shape["containers"][0]["volumeMounts"][1:]:
            mount["subPath"] = "a"
        world.kube.add_pod("web", policy="Always", spec=shape)
        await world.until(lambda: world.phase("web") == "Running")
        token = world.cloud.shown["eci-1"]["t/token"]
        edit(world, "2", path)
        await asyncio.sleep(3600)
        assert world.cloud.updates == []
        edit(world, "2")
        await asyncio.sleep(60)
        assert world.cloud.shown["eci-1"] == {"c/a": "2", "f/a": "1", "t/token": token}
        world.kube.remove(path)
        edit(world, "3")
        await asyncio.sleep(60)
        assert world.cloud.shown["eci-1"] == {"c/a": "3", "f/a": "1", "t/token": token}
        assert len(world.cloud.updates) == 2

    told(story)


def test_a_claim_that_is_no_more_holds_up_neither_a_token_nor_another_file():
    """Storage that an instance has is mounted for its life: it is sent again as it is there."""
    claim = {"name": "d", "persistentVolumeClaim": {"claimName": "d"}}
    path = "/api/v1/namespaces/web/persistentvolumeclaims/d"
    owner = {"namespace": "web", "name": "d", "uid": "u"}
    nfs = {"nfs": {"server": "files.example.com", "path": "/d"}, "claimRef": owner}

    async def story(world):
        world.kube.add(path, {"metadata": owner, "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}})
        world.kube.add("/api/v1/persistentvolumes/v", {"metadata": {"name": "v"}, "spec": nfs})
        await served(world, claim, TOKEN, SHOWN)
        (stored,) = (each for each in world.cloud.volumes["eci-1"] if each.name == "d")
        assert stored.nfs is not None
        world.kube.remove(path)
        edit(world, "2")
        await world.until(lambda: world.cloud.shown["eci-1"]["c/a"] == "2", within_s=10)
        before = ends(world)
        await world.until(lambda: ends(world) > before)
        assert world.time_s < before
        assert stored in world.cloud.volumes["eci-1"]
        assert world.kube.events("FailedMount") == []

    told(story)


def test_an_optional_object_comes_and_goes():
    async def story(world):
        world.kube.add_pod(
            "web", policy="Always", spec=spec({"name": "c", "configMap": {"name": "c", "optional": True}})
        )
        await world.until(lambda: world.phase("web") == "Running")
        assert world.cloud.shown["eci-1"] == {}
        world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
        await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "1"}, within_s=10)
        world.kube.remove(CONFIG)
        await world.until(lambda: world.cloud.shown["eci-1"] == {}, within_s=20)

    told(story)


def test_a_token_refused_since_the_pod_is_gone_ends_the_pod_here():
    """The deletion has not been heard of: the watch is silent."""

    async def story():
        world = World()
        async with world.running() as process:
            await served(world, TOKEN)
            world.kube.watch_lag_s = 1e5
            world.kube.remove("/api/v1/namespaces/web/pods/web")
            await world.until(lambda: not world.cloud.instances, within_s=1200)
            assert len(process.store) == 0
        assert world.cloud.updates == []

    play(story())


def test_without_the_right_to_watch_a_change_arrives_within_a_minute():
    async def story(world):
        def trouble(method, path, body):
            if method == "WATCH" and "pods" not in path:
                raise KubeError("forbidden", status=403)

        world.kube.trouble = trouble
        await served(world, SHOWN)
        edit(world, "2")
        began = world.time_s
        await world.until(lambda: world.cloud.shown["eci-1"] == {"c/a": "2"}, within_s=70)
        assert world.time_s - began <= 65
        before = world.kube.counts()
        await asyncio.sleep(600)
        assert world.kube.counts()["GET configmaps"] - before["GET configmaps"] <= 11
        assert world.kube.counts()["WATCH configmaps"] == 1

    told(story)


def test_beyond_the_most_watches_objects_are_read_in_turns_and_ended_pods_give_theirs_up():
    async def story():
        world = World(job=Life(runs_s=100.0))
        world.most_watches = 4  # of which one namespace has half
        async with world.running() as process:
            for number in range(6):
                path = f"/api/v1/namespaces/web/configmaps/c{number}"
                world.kube.add(path, {"metadata": {"namespace": "web", "name": f"c{number}"}, "data": {"a": "1"}})
                name = "job" if number == 0 else f"p{number}"
                volume = {"name": "c", "configMap": {"name": f"c{number}"}}
                world.kube.add_pod(name, policy="Never", spec=spec(volume))
                await asyncio.sleep(5)  # so that the first ones have the watches
            assert world.kube.counts()["WATCH configmaps"] == 2
            for number in range(6):
                edit(world, "2", f"/api/v1/namespaces/web/configmaps/c{number}")
            await world.until(lambda: all(each == {"c/a": "2"} for each in world.cloud.shown.values()), within_s=70)
            await world.until(lambda: world.phase("job") == "Succeeded")
            await asyncio.sleep(30)
            assert world.kube.counts()["WATCH configmaps"] == 3, "the place of the one that ended is taken"
            for each in world.kube.pods():
                world.kube.delete_pod(each["metadata"]["name"], grace_s=0)
            await world.until(lambda: not world.cloud.instances)
            assert (process.sources._entries, process.live._known) == ({}, {})

    play(story())


def test_a_namespace_with_a_crowd_of_objects_keeps_nobody_elses_from_being_followed():
    async def story():
        world = World(kube_latency_s=0.5)
        world.most_watches = 4
        async with world.running(workers=16):
            for number in range(40):
                path = f"/api/v1/namespaces/crowd/configmaps/c{number}"
                world.kube.add(path, {"metadata": {"namespace": "crowd", "name": f"c{number}"}, "data": {"a": "1"}})
                volume = {"name": "c", "configMap": {"name": f"c{number}"}}
                world.kube.add_pod(f"p{number}", namespace="crowd", policy="Always", spec=spec(volume))
            await asyncio.sleep(60)
            world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
            world.kube.add_pod("honest", policy="Always", spec=spec(SHOWN))
            await world.until(lambda: world.phase("honest") == "Running")
            await asyncio.sleep(5)
            edit(world, "2")
            began = world.time_s
            (honest,) = [each.id for each in world.cloud.instances.values() if each.owner.name == "honest"]
            await world.until(lambda: world.cloud.shown[honest] == {"c/a": "2"}, within_s=70)
            assert world.time_s - began < 10, "it has a watch"

    play(story())


@thorough
def test_a_thousand_pods_of_one_object_all_get_it_fairly_and_within_the_limits():
    async def story():
        many = 1000 if THOROUGH else 450
        world = World(cloud_latency_s=0.2)
        async with world.running(workers=64):
            world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
            for number in range(many):
                world.kube.add_pod(f"p{number}", policy="Always", spec=spec(SHOWN))
            await world.until(lambda: world.statuses() == {"Running": many})
            await asyncio.sleep(30)
            reads = world.kube.counts()["GET configmaps"]
            edit(world, "2")
            began = world.time_s
            await asyncio.sleep(10)
            world.kube.add_pod("late", policy="Never", spec=spec(SHOWN))
            await world.until(lambda: world.phase("late") == "Running")
            assert world.time_s - began < 20, "new pods do not wait for updates"
            await world.until(lambda: all(each == {"c/a": "2"} for each in world.cloud.shown.values()))
            assert world.time_s - began < 240
            await asyncio.sleep(120)
            counts = Counter(each for each, _ in world.cloud.updates)
            assert set(counts.values()) == {1}, "nobody twice"
            assert len(counts) == many
            times = [at for _, at in world.cloud.updates]
            assert all(later - at > 60 for at, later in zip(times, times[400:], strict=False))
            assert world.kube.counts()["GET configmaps"] - reads < 60
            assert world.kube.counts()["WATCH configmaps"] == 1

    play(story())


def test_one_pods_endless_edits_do_not_hold_up_another():
    async def story():
        world = World()
        async with world.running():
            await served(world, SHOWN)
            other = "/api/v1/namespaces/web/configmaps/d"
            world.kube.add(other, {"metadata": {"namespace": "web", "name": "d"}, "data": {"a": "1"}})
            world.kube.add_pod("calm", policy="Always", spec=spec({"name": "d", "configMap": {"name": "d"}}))
            await world.until(lambda: world.phase("calm") == "Running")

            async def restless():
                for number in range(10_000):
                    edit(world, str(number))
                    await asyncio.sleep(0.2)

            editing = asyncio.create_task(restless())
            await asyncio.sleep(60)
            edit(world, "2", other)
            began = world.time_s
            await world.until(lambda: world.cloud.shown["eci-2"] == {"d/a": "2"}, within_s=20)
            assert world.time_s - began < 6
            editing.cancel()

    play(story())


def test_an_instance_that_ends_while_its_update_is_due_is_left_alone():
    async def story():
        world = World(job=Life(runs_s=60.0))
        world.cloud.update_s = 3.0
        async with world.running():
            world.kube.add(CONFIG, {"metadata": {"namespace": "web", "name": "c"}, "data": {"a": "1"}})
            world.kube.add_pod("job", policy="Never", spec=spec(SHOWN))
            await world.until(lambda: world.time_s > 62.9)
            edit(world, "2")
            await world.until(lambda: world.phase("job") == "Succeeded", within_s=60)
            await asyncio.sleep(300)
        assert world.complaints() == []

    play(story())


def test_no_value_of_a_secret_is_told_by_the_note_on_the_pod():
    async def story(world):
        world.kube.add(SECRET, {"metadata": {"namespace": "web", "name": "s"}, "data": {"a": "aHVudGVyMg=="}})
        await served(world, SECRETS, TOKEN)
        note = world.kube.pod("web")["metadata"]["annotations"]["virtual-kubelet.io/live-content"]
        assert "hunter2" not in note
        world.kube.edit(SECRET, lambda item: item["data"].update(a="b3RoZXI="))
        await asyncio.sleep(30)
        world.kube.edit(SECRET, lambda item: item["data"].update(a="aHVudGVyMg=="))
        await asyncio.sleep(30)
        again = world.kube.pod("web")["metadata"]["annotations"]["virtual-kubelet.io/live-content"]
        assert again.split(",")[1] != note.split(",")[1], "by versions, for equal contents would show as such"

    told(story)
