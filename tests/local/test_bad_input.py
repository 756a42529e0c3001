"""Bad input: each gives a message a person can act on, where that person looks, and other pods go on."""

import asyncio
import contextlib
import sys
from contextlib import AsyncExitStack

import pytest

from fakes.processes import Child
from tests.local.conftest import pod

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def warning(world, name, reason, part):
    """The Warning event of a pod that has this reason and says this."""

    async def told():
        found = await world.pods(fieldSelector=f"metadata.name={name}")
        events = await world.events(found[0]["metadata"]["uid"]) if found else []
        return [each for each in events if each["reason"] == reason and part in each["message"]]

    events = await world.until(told, within_s=90, what=f"event {reason} of {name} says {part!r}")
    assert events[0]["type"] == "Warning"


async def test_an_unsupported_volume_fails_the_pod_by_name_and_others_go_on(world):
    volumes = [
        {"name": "host", "hostPath": {"path": "/etc"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    mounts = [{"name": "host", "mountPath": "/host"}, {"name": "claim", "mountPath": "/claim"}]
    containers = [{"name": "c", "image": "busybox", "command": ["true"], "volumeMounts": mounts}]
    await world.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "vk"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    refused = pod("hostpath", volumes=volumes[:1])
    refused["spec"]["containers"] = [{**containers[0], "volumeMounts": mounts[:1]}]
    await world.apply(refused, pod("fine", "true"))
    seen = await world.phase("hostpath", "Failed")
    assert "spec.volumes[0].hostPath" in seen["status"]["message"]
    await warning(world, "hostpath", seen["status"]["reason"], "spec.volumes[0].hostPath")
    assert "hostPath" in await world.kubectl("-n", "vk", "describe", "pod", "hostpath")
    await world.phase("fine", "Succeeded")


async def test_a_size_over_the_largest_names_the_largest(world):
    large = pod("large", "true")
    large["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "65", "memory": "1Gi"}}
    await world.apply(large)
    seen = await world.phase("large", "Failed")
    assert "64" in seen["status"]["message"]
    await warning(world, "large", seen["status"]["reason"], "64")


async def test_a_reference_to_nothing_waits_and_recovers_when_it_is_there(world):
    waiting = pod("waits", "echo $COLOUR")
    waiting["spec"]["containers"][0]["env"] = [
        {"name": "COLOUR", "valueFrom": {"secretKeyRef": {"name": "paint", "key": "colour"}}}
    ]
    await world.apply(waiting)
    await warning(world, "waits", "Failed", 'secret "paint" not found')
    seen = await world.pod("waits")
    state = seen["status"]["containerStatuses"][0]["state"]["waiting"]
    assert (seen["status"]["phase"], state["reason"]) == ("Pending", "CreateContainerConfigError")
    assert "CreateContainerConfigError" in await world.kubectl("-n", "vk", "get", "pod", "waits")
    await world.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "paint", "namespace": "vk"},
            "stringData": {"colour": "blue"},
        }
    )
    await world.phase("waits", "Succeeded", within_s=90)
    assert await world.kubectl("-n", "vk", "logs", "waits") == "blue\n"


async def test_an_unknown_image_is_a_pull_error_as_kubectl_shows_it(world):
    await world.apply(pod("nowhere", image="registry.example/no/such:1"))

    async def shown():
        table = await world.kubectl("-n", "vk", "get", "pod", "nowhere")
        return table if "ErrImagePull" in table or "ImagePullBackOff" in table else None

    await world.until(shown, within_s=90)
    await warning(world, "nowhere", "Failed", "registry.example/no/such:1")


async def test_a_daemon_set_pod_gets_a_clear_refusal_and_no_instance(world):
    """The controller's own pod: one that names the DaemonSet and lacks its labels would be released by it."""
    labels = {"app": "agent"}
    spec = {
        "containers": [{"name": "c", "image": "busybox"}],
        "nodeSelector": {"type": "virtual-kubelet"},
        "tolerations": [{"operator": "Exists"}],
    }
    await world.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": "vk"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        }
    )
    (daemon,) = await world.until(lambda: world.pods(labelSelector="app=agent"), what="the DaemonSet's pod")
    await warning(world, daemon["metadata"]["name"], "DaemonSetNotSupported", "DaemonSet")
    uid = daemon["metadata"]["uid"]
    assert not [group for group in await world.groups() if uid in group["tags"].values()]


async def test_no_stock_and_no_quota_are_told_and_waited_for(world):
    for fault, method, body, reason in (
        ("nostock", "POST", {"on": True}, "NoStock"),
        ("quota", "POST", {"cpu": 0}, "QuotaExceeded"),
    ):
        name = fault
        await world.cloud(fault, method, body)
        await world.apply(pod(name, "true"))
        await warning(world, name, reason, "")
        assert (await world.pod(name))["status"]["phase"] == "Pending"
        await world.cloud(fault, method, {"on": False} if fault == "nostock" else {"cpu": 100000})
        await world.phase(name, "Succeeded", within_s=60)


async def test_an_outage_of_the_cloud_shows_on_the_node_and_the_pods_and_passes(world):
    async def condition(wanted):
        node = await world.api.get("/api/v1/nodes/virtual-kubelet")
        conditions = {each["type"]: each for each in node["status"]["conditions"]}
        assert conditions["Ready"]["status"] == "True", "a cloud outage must not evict pods"
        return conditions["CloudAPIAvailable"] if conditions["CloudAPIAvailable"]["status"] == wanted else None

    await world.cloud("outage", "POST", {"on": True})
    await world.until(lambda: condition("False"), within_s=60)
    await world.apply(pod("outage", "true"))
    await warning(world, "outage", "CloudAPIUnavailable", "")
    await world.cloud("outage", "POST", {"on": False})
    await world.until(lambda: condition("True"), within_s=60)
    await world.phase("outage", "Succeeded", within_s=60)


@contextlib.asynccontextmanager
async def provider(world, tmp_path, *arguments, env=None, name="other"):
    """A second provider, with settings of its own."""
    async with AsyncExitStack() as stack:
        child = await Child.start(
            name,
            [
                "vk_provider",
                "run",
                f"--kubeconfig={world.local.kubeconfig}",
                f"--node-name={name}",
                "--node-ip=127.0.0.1",
                "--kubelet-port=0",
                *arguments,
            ],
            directory=tmp_path,
            env={"ECI_ACCESS_KEY": "testid", "ECI_SECRET_KEY": "testsecret", **(env or {})},
        )
        stack.push_async_callback(child.stop)
        yield child


@pytest.mark.parametrize(
    ("name", "env", "endpoint", "reason", "part"),
    [
        ("wrong-secret", {"ECI_SECRET_KEY": "wrong"}, None, "CloudAPIDenied", "ECI_SECRET_KEY"),
        ("wrong-id", {"ECI_ACCESS_KEY": "nobody"}, None, "CloudAPIDenied", "ECI_ACCESS_KEY"),
        ("no-cloud", {}, "http://127.0.0.1:9", "CloudAPIUnavailable", "127.0.0.1:9"),
    ],
)
async def test_a_cloud_that_cannot_be_used_is_told_on_node_and_terminal(
    world, tmp_path, name, env, endpoint, reason, part
):
    arguments = [f"--eci-endpoint={endpoint or world.local.endpoint}"]
    async with provider(world, tmp_path, *arguments, env=env, name=name) as child:

        async def told():
            described = await world.kubectl("describe", "node", name, check=False)
            return described if reason in described and part in described else None

        described = await world.until(told, within_s=60, what=f"node says {reason} and {part}: {child.tail(5)}")
        assert "testsecret" not in described
        assert reason in child.log.read_text()
        assert child.ended is None, "the node lives on, or its pods would be evicted"


async def test_a_node_that_is_somebody_elses_is_left_alone(world, tmp_path):
    async with provider(world, tmp_path, f"--eci-endpoint={world.local.endpoint}", name="worker-1") as child:
        assert await asyncio.wait_for(child.wait(), 30) == 2
        assert "--adopt-node" in child.tail()


async def test_a_wrong_file_ends_with_2_and_says_where(tmp_path):
    file = tmp_path / "vk.toml"
    file.write_text('node_nam = "x"\n')
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vk_provider",
        "run",
        f"--config={file}",
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"unknown key node_nam; did you mean node_name?" in told
