"""A user mends with kubectl what a pod was made of: its image, its pull secret, what its environment comes from."""

import pytest

from tests.local.conftest import pod


async def waits(world, name: str, reason: str) -> dict:
    async def shown():
        found = await world.pod(name)
        entries = found["status"].get("containerStatuses") or [{}]
        waiting = entries[0].get("state", {}).get("waiting") or {}
        return found if waiting.get("reason") == reason else None

    return await world.until(shown, within_s=60, what=f"{name} waits with {reason}")


async def groups_of(world, uid: str) -> list[dict]:
    return [group for group in await world.groups() if uid in group["tags"].values()]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_image_is_mended_and_the_pod_runs(world):
    await world.apply(pod("typo", "echo right; sleep 60", image="busybx"))
    found = await waits(world, "typo", "ImagePullBackOff")
    await world.kubectl("-n", "vk", "set", "image", "pod/typo", "c=busybox")
    running = await world.phase("typo", "Running", within_s=60)
    assert running["status"]["containerStatuses"][0]["image"] == "busybox"
    assert running["status"]["containerStatuses"][0]["restartCount"] == 0
    [group] = await groups_of(world, found["metadata"]["uid"])
    assert group["id"] == running["metadata"]["annotations"]["k8s.aliyun.com/eci-instance-id"]
    assert "InstanceReplaced" in {each["reason"] for each in await world.events(found["metadata"]["uid"])}
    await world.kubectl("-n", "vk", "delete", "pod", "typo")
    await world.until_gone(found["metadata"]["uid"])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_image_is_mended_while_the_provider_is_down(world):
    await world.apply(pod("down", "sleep 60", image="busybx"))
    found = await waits(world, "down", "ImagePullBackOff")
    await world.crash()
    await world.kubectl("-n", "vk", "set", "image", "pod/down", "c=busybox")
    await world.restart()
    await world.phase("down", "Running", within_s=60)
    assert len(await groups_of(world, found["metadata"]["uid"])) == 1
    await world.kubectl("-n", "vk", "delete", "pod", "down", "--now")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_running_container_begins_anew_with_its_new_image(world):
    manifest = pod("rolls", "sleep 600", image="busybox", restartPolicy="Always")
    manifest["spec"]["terminationGracePeriodSeconds"] = 1
    manifest["spec"]["containers"].append({"name": "stays", "image": "busybox", "command": ["sleep", "600"]})
    await world.apply(manifest)
    before = await world.phase("rolls", "Running")
    await world.kubectl("-n", "vk", "set", "image", "pod/rolls", "c=perl:5.36")

    async def rolled():
        now = (await world.pod("rolls"))["status"]["containerStatuses"]
        is_new = now[0]["image"] == "perl:5.36" and now[0]["restartCount"] > 0
        return now if is_new and now[0].get("state", {}).get("running") else None

    rolls, stays = await world.until(rolled, within_s=60)
    assert (rolls["restartCount"], stays["restartCount"]) == (1, 0)
    assert stays["state"] == before["status"]["containerStatuses"][1]["state"]
    assert len(await groups_of(world, before["metadata"]["uid"])) == 1
    await world.kubectl("-n", "vk", "delete", "pod", "rolls", "--now")


@pytest.mark.asyncio(loop_scope="module")
async def test_what_can_only_be_refused_is_refused_aloud_and_the_pod_runs_on(world):
    await world.apply(pod("once", "sleep 600"))
    found = await world.phase("once", "Running")
    await world.kubectl("-n", "vk", "set", "image", "pod/once", "c=perl:5.36")

    async def told():
        reasons = [each["reason"] for each in await world.events(found["metadata"]["uid"])]
        return "SpecChangeNotApplied" in reasons

    await world.until(told, within_s=90)
    now = await world.phase("once", "Running")
    assert now["status"]["containerStatuses"][0]["image"] == "busybox"
    [said] = [each for each in now["status"]["conditions"] if each["type"] == "InstanceUpToDate"]
    assert said["status"] == "False"
    await world.kubectl("-n", "vk", "delete", "pod", "once", "--now")


@pytest.mark.parametrize("by_file", [False, True], ids=["environment", "subPath"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_crash_loop_ends_with_the_config_map_that_caused_it(world, by_file):
    name = "loop-file" if by_file else "loop-env"
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "vk"}}
    await world.apply({**made, "data": {"MODE": "bad"}})
    reads = "$(cat /mode)" if by_file else "$MODE"
    manifest = pod(name, f'echo "mode {reads}"; [ "{reads}" = good ] || exit 3; sleep 600', restartPolicy="Always")
    if by_file:
        manifest["spec"]["volumes"] = [{"name": "v", "configMap": {"name": name}}]
        mount = {"name": "v", "mountPath": "/mode", "subPath": "MODE"}
        manifest["spec"]["containers"][0]["volumeMounts"] = [mount]
    else:
        manifest["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": name}}]
    await world.apply(manifest)
    await waits(world, name, "CrashLoopBackOff")
    await world.apply({**made, "data": {"MODE": "good"}})

    async def runs():
        now = (await world.pod(name))["status"]["containerStatuses"][0]
        return now["state"].get("running") and "mode good" in await world.kubectl("-n", "vk", "logs", name)

    await world.until(runs, within_s=90)
    await world.kubectl("-n", "vk", "delete", "pod", name, "--now")


LOGIN_IMAGES = """
[[image]]
name = "app"
command = ["sh", "-c", "sleep 600"]
login = "user:right"
"""


async def test_a_pull_secret_that_is_made_after_the_pod_is_used(make, tmp_path):
    file = tmp_path / "images.toml"
    file.write_text(LOGIN_IMAGES)
    world = await make(images=file)
    manifest = pod("secret", image="registry.example.com/private/app:1")
    manifest["spec"]["imagePullSecrets"] = [{"name": "login"}]
    await world.apply(manifest)
    found = await waits(world, "secret", "ImagePullBackOff")
    arguments = ("--docker-server=registry.example.com", "--docker-username=user", "--docker-password=right")
    await world.kubectl("-n", "vk", "create", "secret", "docker-registry", "login", *arguments)
    await world.phase("secret", "Running", within_s=60)
    assert len(await groups_of(world, found["metadata"]["uid"])) == 1
