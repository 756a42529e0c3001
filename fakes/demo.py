"""The founding story, live: a Job too big for the cluster runs on the virtual node, and stops costing when it is done.

Every step is checked against the API server and the cloud's bill while it is told; exit code 0 means that all of it
happened. The stored digits are only what the Job's real output is compared with.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from fakes import perl
from fakes.api_client import ApiClient, ApiRefused
from fakes.console import Console
from fakes.processes import ChildFailed
from fakes.up import NODE_NAME, Local, Settings, add_cluster_arguments, cluster_of, dashboard_url, is_ready, start

Json = dict[str, Any]

DIGITS = 2000
DIGITS_SHA256 = "956e8e6713e69bacf4593f3f0c0eaef906228bd45cfde4318b53b01794c37ab6"
EVENTS = ("Scheduled", "SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started")
PERL_COMMAND = ("perl", *perl.PROGRAM)
PYTHON_PROGRAM = """\
def digits(count):
    def arctan_inverse(x, unity):
        total = term = unity // x
        n, sign, square = 3, -1, x * x
        while term:
            term //= square
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total
    unity = 10 ** (count + 10)
    pi = 4 * (4 * arctan_inverse(5, unity) - arctan_inverse(239, unity))
    pi = (pi + 5 * 10 ** 10) // 10 ** 11
    text = str(pi)
    return text[0] + "." + text[1:]
print(digits(2000))
"""


class StoryBroken(Exception):
    """A step did not happen as told."""


add_arguments = add_cluster_arguments


async def serve(args: argparse.Namespace) -> int:
    """Tell the story; 0 only if all of it is true."""
    console = Console.of_terminal()
    directory = args.dir or Path(tempfile.mkdtemp(prefix="vk-demo-"))
    try:
        async with AsyncExitStack() as stack:
            await _tell(console, stack, args, directory)
    except (StoryBroken, ChildFailed, ApiRefused, TimeoutError, aiohttp.ClientError) as error:
        console.failed(f"the demo stopped: {error}")
        console.text(f"\n  logs of the parts: {directory}")
        return 1
    if args.dir is None:
        shutil.rmtree(directory, ignore_errors=True)
    console.text("\n  All of it happened just now; nothing is left running.\n")
    return 0


async def _tell(console: Console, stack: AsyncExitStack, args: argparse.Namespace, directory: Path) -> None:
    console.chapter("A cluster, a cloud and a virtual node, all on this machine")
    found = asyncio.ensure_future(perl.find(_cache()))  # takes seconds, so it goes on while the parts start
    stack.callback(found.cancel)
    images = directory / "images.toml"
    directory.mkdir(parents=True, exist_ok=True)
    console.step("looking for a perl that can compute the digits")
    able = await found
    images.write_text(_images(able))
    console.done(f"the Job will run {able.how}" if able else _no_perl())
    settings = Settings(**cluster_of(args, directory), images=images, dashboard_port=0)
    local = await start(stack, settings, lambda part: console.step(f"starting the {part}"))
    console.done(f"how pods' commands run here: {local.containers}")
    api = await stack.enter_async_context(ApiClient.from_kubeconfig(local.kubeconfig))
    story = Story(console, local, api, _job(able is not None))
    await story.nodes()
    await story.too_big()
    await story.on_the_virtual_node()
    await story.digits()
    await story.bill()


class Story:
    """The chapters, in order."""

    def __init__(self, console: Console, local: Local, api: ApiClient, job: Json) -> None:
        self._console = console
        self._local = local
        self._api = api
        self._job = job
        self._pod: Json = {}

    async def nodes(self) -> None:
        await self._api.wait_for(f"/api/v1/nodes/{NODE_NAME}", is_ready, within_s=60, alive=self._local.provider)
        nodes = (await self._api.get("/api/v1/nodes"))["items"]
        workers = [node for node in nodes if node["metadata"]["name"] != NODE_NAME]
        _expect(len(workers) == 2 and all(is_ready(node) for node in workers), "two worker nodes should be Ready")
        self._console.command("kubectl get nodes")
        self._console.table(await self._api.table("/api/v1/nodes"))
        cpus = sum(int(node["status"]["allocatable"]["cpu"]) for node in workers)
        if page := dashboard_url(self._local):
            self._console.done(f"what the provider does is to be seen at {page} as long as this runs")
        self._console.done(f"two workers with {cpus} CPU together, and a virtual node")

    async def too_big(self) -> None:
        self._console.chapter("A Job that asks for 16 CPU and 32 Gi, in a plain namespace")
        self._console.indented(_manifest(self._job))
        await self._api.create("/apis/batch/v1/namespaces/default/jobs", self._job)
        pod = await self._pod_of("default", lambda pod: bool(_unschedulable(pod)))
        message = _unschedulable(pod)
        _expect("Insufficient cpu" in message, f"the scheduler should miss CPU, but says: {message}")
        self._console.command("kubectl get pods")
        self._console.table(await self._api.table("/api/v1/namespaces/default/pods"))
        self._console.done(f"it stays Pending. The scheduler: {message}")

    async def on_the_virtual_node(self) -> None:
        self._console.chapter("The same manifest, in a namespace labelled virtual-node-affinity-injection=enabled")
        labels = {"virtual-node-affinity-injection": "enabled"}
        await self._api.create("/api/v1/namespaces", {"metadata": {"name": "vk", "labels": labels}})
        await self._api.wait_for("/api/v1/namespaces/vk/serviceaccounts/default", lambda _: True, within_s=10)
        await self._api.create("/apis/batch/v1/namespaces/vk/jobs", self._job)
        pod = await self._pod_of("vk", lambda pod: bool(pod["spec"].get("nodeName")))
        _expect(pod["spec"]["nodeName"] == NODE_NAME, f"it was bound to {pod['spec']['nodeName']}")
        self._console.done(f"bound to {NODE_NAME}; its events as they come:")
        await self._follow_events(pod)
        await self._pod_of("vk", lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"), within_s=120)
        job = await self._api.wait_for(
            "/apis/batch/v1/namespaces/vk/jobs/pi", lambda job: bool(job["status"].get("conditions")), within_s=20
        )
        _expect(job["status"].get("succeeded") == 1, f"the Job did not succeed: {job['status']}")
        self._console.command("kubectl -n vk get jobs,pods -o wide")
        self._console.table(await self._api.table("/apis/batch/v1/namespaces/vk/jobs"))
        table = await self._api.table("/api/v1/namespaces/vk/pods")
        self._console.table(table, wide=True)
        _expect("Completed" in table["rows"][0]["cells"], "kubectl should list the pod as Completed")

    async def digits(self) -> None:
        self._console.chapter("Its output, through API server, kubelet API and the cloud's log API")
        name = self._pod["metadata"]["name"]
        self._console.command(f"kubectl -n vk logs {name}")
        text = await self._api.text(f"/api/v1/namespaces/vk/pods/{name}/log")
        digits = text.strip()
        lines = textwrap.wrap(digits, 87)
        self._console.indented("\n".join([*lines[:3], "…", *lines[-1:]]))
        right = hashlib.sha256(digits.encode()).hexdigest() == DIGITS_SHA256
        _expect(right, f"these are not the first {DIGITS} digits of π")
        self._console.done(f"{len(digits) - 1} digits, all right")

    async def bill(self) -> None:
        self._console.chapter("What it cost")
        uid = self._pod["metadata"]["uid"]
        first = await self._charged(uid)
        await asyncio.sleep(2.5)  # the point: time goes on, the charge does not
        second = await self._charged(uid)
        size = f"{second['cpu']:g} vCPU, {second['memory_gib']:g} GiB"
        self._console.done(f"instance {second['id']}: {size}")
        self._console.done(f"{second['billed_seconds']:g} s billed, {second['cost']:.4f} {second['currency']}")
        _expect(first["billed_seconds"] == second["billed_seconds"] > 0, "billing should have stopped with the Job")
        _expect((second["cpu"], second["memory_gib"]) == (16, 32), f"billed as {size}, not as 16 vCPU and 32 GiB")
        self._console.done(f"billing stopped: the instance is {second['status']}, 2.5 s later it cost no more")
        pods = (await self._api.get("/api/v1/namespaces/vk/pods"))["items"]
        _expect(len(pods) == 1, "the pod should still be listed")
        self._console.done("the pod is still listed as Completed, and its log can still be read")

    async def _pod_of(self, namespace: str, holds: Any, *, within_s: float = 60) -> Json:
        def first_holds(pods: Json) -> bool:
            return bool(pods["items"]) and bool(holds(pods["items"][0]))

        path = f"/api/v1/namespaces/{namespace}/pods"
        selector = {"labelSelector": "job-name=pi"}
        pods = await self._api.wait_for(
            path, first_holds, within_s=within_s, alive=self._local.provider, params=selector
        )
        self._pod = pods["items"][0]
        return self._pod

    async def _follow_events(self, pod: Json) -> None:
        """Print the pod's events as they come, until all six are there, and check their order and sources."""
        selector = {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']}"}
        shown: list[Json] = []
        async for events in self._api.looks("/api/v1/namespaces/vk/events", within_s=60, params=selector):
            known = {event["metadata"]["name"] for event in shown}
            for event in sorted(events["items"], key=_when):
                if event["metadata"]["name"] not in known:
                    shown.append(event)
                    self._console.indented(_event_line(event))
            if {event["reason"] for event in shown} >= set(EVENTS):
                break
        ordered = sorted(shown, key=_when)
        _expect(
            tuple(event["reason"] for event in ordered) == EVENTS,
            f"expected the events {', '.join(EVENTS)}, saw {', '.join(event['reason'] for event in ordered)}",
        )
        sources = {(event["source"].get("component"), event["source"].get("host")) for event in ordered[1:]}
        _expect(sources == {("kubelet", "eci")}, f"the last five should be from kubelet, eci; they are from {sources}")
        token = next(
            (v["name"] for v in pod["spec"]["volumes"] if "token" in v["name"] or "api-access" in v["name"]), ""
        )
        _expect(bool(token) and token in ordered[1]["message"], "SuccessfulMountVolume should name the token volume")
        self._console.done("six events in order, the last five from kubelet, eci")

    async def _charged(self, uid: str) -> Json:
        async with aiohttp.ClientSession() as session, session.get(f"{self._local.endpoint}/_admin/bill") as answer:
            bill = await answer.json()
        mine = [group for group in bill["groups"] if uid in group["tags"].values()]
        _expect(len(mine) == 1, f"the cloud should know one instance of this pod, it knows {len(mine)}")
        return {**mine[0], "currency": bill["currency"]}


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise StoryBroken(otherwise)


def _unschedulable(pod: Mapping[str, Any]) -> str:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    return ""


def _when(event: Mapping[str, Any]) -> tuple[str, str]:
    stamp = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return stamp, event["metadata"]["name"]


def _event_line(event: Mapping[str, Any]) -> str:
    source = event.get("source") or {}
    origin = ", ".join(part for part in (source.get("component"), source.get("host")) if part)
    origin = origin or event.get("reportingComponent", "")
    return f"{event['type']:<8} {event['reason']:<22} {origin:<18} {event['message']}"


def _job(with_perl: bool) -> Json:
    image, command = ("perl", PERL_COMMAND) if with_perl else ("python", ("python3", "-c", PYTHON_PROGRAM))
    container = {
        "name": "pi",
        "image": image,
        "command": list(command),
        "resources": {"requests": {"cpu": "16", "memory": "32Gi"}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pi"},
        "spec": {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}, "backoffLimit": 4},
    }


def _manifest(job: Json) -> str:
    container: Mapping[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    command: Sequence[str] = container["command"]
    shown = json.dumps([word if len(word) < 80 else "…" for word in command], ensure_ascii=False)
    return textwrap.dedent(f"""\
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: pi}}
        spec:
          template:
            spec:
              containers:
              - name: pi
                image: {container["image"]}
                command: {shown}
                resources: {{requests: {{cpu: "16", memory: 32Gi}}}}
              restartPolicy: Never
          backoffLimit: 4""")


def _images(able: perl.Perl | None) -> str:
    if able is None or not able.library:
        return "# nothing beside the default images\n"
    return f'[[image]]\nname = "perl"\nroot = "host"\nenv = {{ PERL5LIB = {json.dumps(able.library)} }}\n'


def _no_perl() -> str:
    return "no perl here can, and none could be made: the same Job runs with image python and a program of its own"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vk-provider"


if __name__ == "__main__":
    sys.exit("run it as: python -m fakes demo")
