"""`--cloud local`: this host as a virtual node of the embedded cluster, with no cloud at all."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from fakes.api_client import ApiClient
from fakes.processes import Child
from fakes.up import is_ready
from tests.contract.cloud.host import cannot_be_local

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(cannot_be_local()), reason=cannot_be_local()),
]
NODE = "this-host"
PODS = "/api/v1/namespaces/vk/pods"


class Host:
    """A running cluster of one virtual node."""

    def __init__(self, stack, directory, api):
        self.api = api
        self._stack, self._directory = stack, directory
        self.provider = None

    async def start(self):
        """The provider, with what an earlier one has left."""
        words = ("vk_provider", "run", "--cloud=local", f"--local-state={self._directory / 'state'}")
        settings = (f"--kubeconfig={self._directory / 'kubeconfig'}", f"--node-name={NODE}", "--node-ip=127.0.0.1")
        others = ("--kubelet-port=0", "--serving-certificate=self-signed", "--poll-interval-s=0.2", "--log-level=debug")
        self.provider = await Child.start("provider", [*words, *settings, *others], directory=self._directory)
        self._stack.push_async_callback(self.provider.stop)
        await self.api.wait_for(f"/api/v1/nodes/{NODE}", is_ready, within_s=60, alive=self.provider)

    async def create(self, name, *command, policy="Never", **spec):
        container = {"name": "c", "image": "host", "command": list(command), **spec.pop("container", {})}
        body = {"metadata": {"name": name}, "spec": {**_place(), "restartPolicy": policy, "containers": [container]}}
        body["spec"] |= spec
        return await self.api.create(PODS, body)

    async def phase(self, name, wanted, *, within_s=90):
        def reached(pod):
            return pod["status"].get("phase") == wanted

        return await self.api.wait_for(f"{PODS}/{name}", reached, within_s=within_s, alive=self.provider)

    async def log(self, name):
        return await self.api.text(f"{PODS}/{name}/log")

    async def gone(self, name):
        async with asyncio.timeout(120):
            while await self._is_there(name):  # noqa: ASYNC110 - what is watched for is that nothing is there
                await asyncio.sleep(0.1)

    async def _is_there(self, name):
        return any(each["metadata"]["name"] == name for each in (await self.api.get(PODS))["items"])

    def instances(self, name):
        """Directories of the instances that were made for the pod."""
        specs = self._directory.glob("state/instances/*/spec.json")
        return [each.parent for each in specs if json.loads(each.read_text())["owner"]["name"] == name]


def _place():
    key = "virtual-kubelet.io/provider"
    return {
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": [{"key": key, "operator": "Exists"}],
        "automountServiceAccountToken": False,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("host")
    async with AsyncExitStack() as stack:
        kubeconfig, ready = tmp_path / "kubeconfig", tmp_path / "kube.ready"
        words = ["fakes", "kube", "--port=0", f"--kubeconfig={kubeconfig}", f"--ready-file={ready}"]
        kube = await Child.start("kube", words, directory=tmp_path)
        stack.push_async_callback(kube.stop)
        await kube.ready(ready, within_s=90)
        api = await stack.enter_async_context(ApiClient.from_kubeconfig(kubeconfig))
        made = Host(stack, tmp_path, api)
        await made.start()
        await api.create("/api/v1/namespaces", {"metadata": {"name": "vk"}})
        yield made
        for pod in (await api.get(PODS))["items"]:
            await api.delete(f"{PODS}/{pod['metadata']['name']}", gracePeriodSeconds="0")
            await made.gone(pod["metadata"]["name"])


async def test_the_founding_job_runs_without_a_cloud_and_shows_its_digits(host):
    command = ["perl", "-Mbignum=bpi", "-wle", "print bpi(100)"]
    resources = {"requests": {"cpu": "16", "memory": "32Gi"}}
    container = {"name": "pi", "image": "perl", "command": command, "resources": resources}
    template = {"spec": {**_place(), "restartPolicy": "Never", "containers": [container]}}
    jobs = "/apis/batch/v1/namespaces/vk/jobs"
    await host.api.create(jobs, {"metadata": {"name": "pi"}, "spec": {"backoffLimit": 4, "template": template}})

    def complete(job):
        return any(each["type"] == "Complete" for each in job["status"].get("conditions") or ())

    await host.api.wait_for(f"{jobs}/pi", complete, within_s=60, alive=host.provider)
    (pod,) = (await host.api.get(PODS, labelSelector="job-name=pi"))["items"]
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0
    assert status["containerID"].startswith("process://")
    assert (await host.log(pod["metadata"]["name"])).startswith("3.14159265358979323846264338327950288419716939937510")
    node = await host.api.get(f"/api/v1/nodes/{NODE}")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "process://1.0.0"


async def test_a_pod_lives_through_the_provider_s_death_and_its_end_is_told(host):
    await host.api.create(
        "/api/v1/namespaces/vk/configmaps", {"metadata": {"name": "cfg"}, "data": {"greeting": "hello from a file\n"}}
    )
    volumes = [{"name": "cfg", "configMap": {"name": "cfg"}}, {"name": "scratch", "emptyDir": {}}]
    mounts = [{"name": "cfg", "mountPath": "/etc/cfg"}, {"name": "scratch", "mountPath": "/work"}]
    script = (
        "cat /etc/cfg/greeting; until [ -e /work/go ]; do sleep 0.1; done; echo over > /dev/termination-log; exit 3"
    )
    container = {"volumeMounts": mounts, "env": [{"name": "A", "value": "b"}]}
    await host.create("lasts", "sh", "-c", script, container=container, volumes=volumes)
    pod = await host.phase("lasts", "Running")
    host.provider.kill()
    await host.provider.wait()
    await host.start()
    again = await host.phase("lasts", "Running")
    first, second = (each["status"]["containerStatuses"][0]["containerID"] for each in (pod, again))
    assert first == second
    (instance,) = host.instances("lasts")
    (instance / "volumes/scratch/go").touch()
    ended = (await host.phase("lasts", "Failed"))["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (3, "over\n")
    assert await host.log("lasts") == "hello from a file\n"
    assert len(host.instances("lasts")) == 1, "created once"


async def test_what_this_host_cannot_do_is_refused_with_its_fields(host):
    await host.create("cannot", "true", container={"command": [], "securityContext": {"runAsUser": 1000}})
    message = (await host.phase("cannot", "Failed"))["status"]["message"]
    assert "spec.containers[0].command" in message
    assert "spec.containers[0].securityContext" in message


async def test_a_deleted_pod_is_stopped_within_its_grace(host):
    await host.create("stops", "sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done", policy="Always")
    await host.phase("stops", "Running")
    await host.api.delete(f"{PODS}/stops")
    await host.gone("stops")
