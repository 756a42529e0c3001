"""The even life of a node: so many pods are held, one a second comes and one goes, and some files change."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from tests.bench.api import Api, Json

NAMESPACE = "soak"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
HELD = 150
EVERY_S = 1.0  # a pod is created
LASTS_S = 40.0  # from a pod's creation to its removal, except of those that serve
STARTED_S = 5.0  # after which a pod should have started
FILES = 5  # ConfigMaps; each is mounted by a few of the pods that serve
CHANGE_EVERY_S = 20.0
GRACE_S = 2
KINDS = {"good": 11, "bad": 3, "long": 2, "refused": 2, "web": 4}
ENDS = {"good": "Succeeded", "bad": "Failed", "long": "Succeeded", "refused": "Failed"}
SCENARIO = """
[[rule]]
name = "soak-good*"
pull_s = 0.5
duration_s = 4
[[rule]]
name = "soak-bad*"
pull_s = 0.5
duration_s = 2
exit_code = 3
[[rule]]
name = "soak-long*"
pull_s = 1
duration_s = 20
log_rate = 5.0
[[rule]]
name = "soak-web*"
pull_s = 0.5
log_rate = 2.0
duration_s = 100000
stop_s = 0.5
exec_output = "done"
"""


@dataclass(slots=True)
class Churn:
    """serving: names of the pods that are held, oldest first; writing: of those that write a log and soon end.

    wrong: how others ended than they should have.
    """

    api: Api
    node: str
    dice: random.Random
    serving: deque[str] = field(default_factory=deque)
    writing: set[str] = field(default_factory=set)
    born: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    wrong: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def fill(self) -> None:
        """Until all that are to be held run."""
        await self.api.all("POST", [(MAPS, _map(number, "first")) for number in range(FILES)])
        await self.api.all("POST", [(PODS, self._new("web")) for _ in range(HELD)])
        async with asyncio.timeout(120):
            while True:
                items = (await self.api.get(PODS))["items"]
                if sum(1 for each in items if each.get("status", {}).get("phase") == "Running") >= HELD:
                    return
                await asyncio.sleep(1)

    async def run(self) -> None:
        """One pod a tick, whatever the API server took for the one before; until cancelled."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._change_files())
            for number in itertools.count():
                await asyncio.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
                kind = self.dice.choices(list(KINDS), list(KINDS.values()))[0]
                tasks.create_task(self._replace() if kind == "web" else self._one(kind))

    async def _replace(self) -> None:
        oldest = self.serving.popleft()
        await self.api.send("POST", PODS, self._new("web"))
        await self.api.send("DELETE", f"{PODS}/{oldest}")

    async def _one(self, kind: str) -> None:
        body = self._new(kind)
        name = body["metadata"]["name"]
        await self.api.send("POST", PODS, body)
        await asyncio.sleep(STARTED_S)
        if kind == "long" and await self._phase(name) == "Running":
            self.writing.add(name)
        await asyncio.sleep(LASTS_S - STARTED_S - STARTED_S)
        self.writing.discard(name)  # some seconds before it goes: whoever follows it by then has begun
        await asyncio.sleep(STARTED_S)
        phase = await self._phase(name)
        self.ended += 1
        if phase != ENDS[kind]:
            self.wrong.append(f"pod {name} is {phase} after {LASTS_S:g} s, not {ENDS[kind]}")
        await self.api.send("DELETE", f"{PODS}/{name}")

    async def _phase(self, name: str) -> str:
        return str((await self.api.get(f"{PODS}/{name}")).get("status", {}).get("phase") or "")

    async def _change_files(self) -> None:
        for number in itertools.count():
            await asyncio.sleep(CHANGE_EVERY_S)
            body = _map(number % FILES, f"change {number}")
            await self.api.send("PUT", f"{MAPS}/{body['metadata']['name']}", body)

    def _new(self, kind: str) -> Json:
        number = next(self._numbers)
        name = f"{kind}{number}"
        self.born[kind] += 1
        if kind == "web":
            self.serving.append(name)
        return _pod(name, kind, number, self.node)


def _map(number: int, text: str) -> Json:
    return {"metadata": {"name": f"files{number}"}, "data": {"settings": f"{text}\n" * 50}}


def _pod(name: str, kind: str, number: int, node: str) -> Json:
    container: Json = {
        "name": "c",
        "image": "busybox:1.36",
        "command": ["sh", "-c", "x"],
        "env": [{"name": "SIZE", "value": "x" * 500}],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}},
    }
    spec: Json = {
        "nodeName": node,
        "restartPolicy": "Always" if kind == "web" else "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [container],
    }
    if kind == "refused":
        spec["hostNetwork"] = True
    if kind == "web" and number % 4 == 0:
        spec["volumes"] = [{"name": "files", "configMap": {"name": f"files{number % FILES}"}}]
        container["volumeMounts"] = [{"name": "files", "mountPath": "/etc/files"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": kind}}, "spec": spec}
