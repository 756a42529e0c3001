"""A user edits a ConfigMap and a Secret of a running pod."""

import pytest

from tests.local.conftest import pod

SHOWS = {
    "volumes": [
        {"name": "c", "configMap": {"name": "live"}},
        {"name": "s", "secret": {"secretName": "live"}},
    ],
}
MOUNTS = [{"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"}]
TELLS = 'while :; do echo "$(cat /c/a) $(cat /s/a)"; sleep 0.2; done'


def told(kind: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "live", "namespace": "vk"}, "data": data}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_edit_arrives_while_the_pod_runs_on_whatever_becomes_of_the_provider(world):
    await world.apply(told("ConfigMap", a="c1"), told("Secret", a="czE="))
    manifest = pod("live", TELLS, **SHOWS)
    manifest["spec"]["containers"][0]["volumeMounts"] = MOUNTS
    await world.apply(manifest)
    await world.phase("live", "Running")
    watching = await world.start_kubectl("-n", "vk", "get", "pod", "live", "-w", "--no-headers")

    async def shows(words: str) -> None:
        async def shown() -> bool:
            return words in (await world.kubectl("-n", "vk", "logs", "live", "--tail=2", check=False)).splitlines()

        await world.until(shown, within_s=60, what=f"the pod shows {words}")

    await shows("c1 s1")
    await world.apply(told("ConfigMap", a="c2"), told("Secret", a="czI="))
    await shows("c2 s2")
    await world.crash()
    await world.apply(told("ConfigMap", a="c3"))
    await world.restart()
    await shows("c3 s2")
    watching.terminate()
    seen = (await watching.communicate())[0].decode().splitlines()
    assert {line.split()[2] for line in seen} == {"Running"}, "an instance that is being updated runs"
    assert (await world.pod("live"))["status"]["containerStatuses"][0]["restartCount"] == 0
    await world.kubectl("-n", "vk", "delete", "pod", "live")


async def test_switched_off_nothing_changes(make):
    world = await make(provider_arguments=("--live-configuration=false",))
    await world.apply(told("ConfigMap", a="c1"), told("Secret", a="czE="))
    manifest = pod("live", TELLS, **SHOWS)
    manifest["spec"]["containers"][0]["volumeMounts"] = MOUNTS
    await world.apply(manifest)
    found = await world.phase("live", "Running")
    assert "virtual-kubelet.io/live-content" not in found["metadata"]["annotations"]
    await world.apply(told("ConfigMap", a="c2"))
    # Whoever watched would have asked for the object by now: a second pod is through its whole life meanwhile.
    await world.apply(pod("later", "sleep 5"))
    await world.phase("later", "Succeeded")
    entries = (await world.cloud("journal"))["entries"]
    assert not [each for each in entries if each.get("action") == "UpdateContainerGroup"]
