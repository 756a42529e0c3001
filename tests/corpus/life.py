"""One pod's life in no time: the provider's controller and driver between an API server and the stand-in cloud.

The story is told in lines. A status reads as `Running +Ready -X(Why) | main=running, ready`: the phase, conditions that
hold and those that do not with their reasons, then every container's state.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fakes.cloud.clock import Clock
from fakes.cloud.scenario import Rule, Scenario
from fakes.kube import defaults
from tests.control.memory_kube import MemoryKube
from tests.control.pure_time import play
from tests.control.world import BIRTH, World
from tests.corpus.incloud import InProcessClient, StandIn
from tests.corpus.manifests import ROWS, Case, Life
from tests.providerlog import ProviderLog
from vk_provider import config
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import eci_settings
from vk_provider.node_settings import node_context
from vk_provider.show import surroundings
from vk_provider.show.admitted import UID
from vk_provider.show.manifests import MAKERS

Json = dict[str, Any]

CLUSTER, HOST = UID, "10.0.0.1"
SETTINGS = {
    "ECI_REGION": "cn-hangzhou",
    "ECI_VSWITCH": "vsw-a,vsw-b",
    "ECI_SECURITY_GROUP": "sg-a",
    "ECI_CLUSTER_NAME": "corpus",
    "VK_NODE_NAME": "vk",
    "VK_NODE_IP": HOST,
    "VK_CLUSTER_DNS": "10.96.0.10",
}
CONFIG = config.parse(flags={}, env=SETTINGS)
_ROOT_CA = {"kind": "ConfigMap", "data": {"ca.crt": "(CA of the cluster)"}}
SOON_S = 0.5  # after the pod has ended: what is said then is still to come


@dataclass(frozen=True)
class Story:
    """requests, updates: what the cloud was asked. texts: logs, statuses and events, which must hold no secret.

    wrongs: what no run may show: invalid writes, errors in the log.
    """

    requests: list[Mapping[str, str]]
    updates: list[Mapping[str, str]]
    statuses: list[str]
    events: list[str]
    texts: list[str]
    wrongs: list[str]


class _Log(ProviderLog):
    """Everything the provider logs, at every level; `faults`: what it calls an error."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.ERROR:
            self.faults.append(self.lines[-1])


class CorpusKube(MemoryKube):
    """Remembers every status a pod had; its tokens say nothing that changes. over: the pod has ended, or is gone."""

    def __init__(self, *, clock: Any) -> None:
        super().__init__(clock=clock)
        self.statuses: list[Json] = []
        self.over = asyncio.Event()

    def _changed(self, path: str, kind: str) -> Json:
        item = super()._changed(path, kind)
        has_ended = (item.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if "/pods/" in path and (kind == "DELETED" or (has_ended and "deletionTimestamp" not in item["metadata"])):
            self.over.set()
        return item

    async def post(self, path: str, body: Json, **more: Any) -> Json:
        answer = await super().post(path, body, **more)
        if path.endswith("/token"):
            lasts_s = body["spec"]["expirationSeconds"]
            expires = (self._clock() + timedelta(seconds=lasts_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {"status": {"token": surroundings.STAND_IN, "expirationTimestamp": expires}}
        return answer

    async def patch(self, path: str, body: Any, **more: Any) -> Json:
        answer = await super().patch(path, body, **more)
        if "/pods/" in path and answer.get("status"):
            self.statuses.append(answer["status"])
        return answer


class CorpusWorld(World):
    def __init__(self, life: Life) -> None:
        super().__init__()
        rules = [Rule(container=name, **told) for name, told in life.containers.items()]
        loop = asyncio.get_running_loop()
        self.stand_in = StandIn(Clock(loop.time, start=BIRTH.timestamp()), Scenario(rules))
        self.kube = CorpusKube(clock=self.now)
        settings = eci_settings(
            CONFIG.eci, Whose(cluster=CLUSTER, node=CONFIG.node_name, cluster_name=CONFIG.cluster_name)
        )
        self.cloud = EciCloud(settings, InProcessClient(settings, self.stand_in, now=self.now, jitter=lambda: 0.0))
        self.context = node_context(CONFIG, CLUSTER, HOST, CAPABILITIES)


def story(case: Case, pod: Json, life: Life) -> Story:
    """What comes of it."""
    return play(_played(case, pod, life))


async def _played(case: Case, pod: Json, life: Life) -> Story:
    world = CorpusWorld(life)
    kube: CorpusKube = world.kube  # type: ignore[assignment]
    for item in case.objects:
        if _id(item) not in life.late:
            _put(kube, item)
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    _put(kube, {**_ROOT_CA, "metadata": {"name": "kube-root-ca.crt", "namespace": meta["namespace"]}})
    kube.add(path, _bound(pod, world))
    ticking = asyncio.create_task(world.stand_in.timers.run())
    happening = asyncio.create_task(_happen(case, kube, world.stand_in, life, path))
    with _Log() as log:
        async with world.running():
            with suppress(TimeoutError):
                async with asyncio.timeout(life.until_s):
                    await kube.over.wait()
            await asyncio.sleep(SOON_S)
    for task in (ticking, happening):
        task.cancel()
    await asyncio.gather(ticking, happening, return_exceptions=True)
    left = [] if path in kube.objects else ["removed"]
    return Story(
        requests=world.stand_in.asked("CreateContainerGroup"),
        updates=world.stand_in.asked("UpdateContainerGroup"),
        statuses=_told([_status_line(each) for each in kube.statuses]) + left,
        events=_event_lines(kube.events()),
        texts=[*(str(each) for each in (*kube.statuses, *kube.events())), *log.lines],
        wrongs=[*kube.wrongs, *log.faults],
    )


async def _happen(case: Case, kube: CorpusKube, stand_in: StandIn, life: Life, path: str) -> None:
    """What others do meanwhile, each thing at its time."""
    plans: list[tuple[float, Any]] = []
    for item in case.objects:
        if _id(item) in life.late:
            plans.append((life.late[_id(item)], lambda item=item: _put(kube, item)))
        if _id(item) in life.edit:
            change = dict(life.edit[_id(item)])
            at_s = change.pop("at_s")
            plans.append(
                (at_s, lambda item=item, change=change: kube.edit(_path(item), lambda each: each.update(change)))
            )
    if life.delete_at_s is not None:
        pod = kube.objects[path]
        grace_s = pod["spec"]["terminationGracePeriodSeconds"] if life.grace_s is None else life.grace_s
        plans.append((life.delete_at_s, lambda: kube._delete(path, grace_s)))
    plans += [(each["at_s"], lambda each=each: _in_the_cloud(stand_in, each)) for each in life.cloud]
    for at_s, act in sorted(plans, key=lambda each: each[0]):
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
        act()


def _in_the_cloud(stand_in: StandIn, told: Json) -> None:
    service, now = stand_in.service, stand_in.service.clock.now()
    if "stock" in told:
        service.stock.all = not told["stock"]
        return
    for group in list(service.store):
        if "expire" in told:
            service.lifecycle.reclaim(group, now, notice_s=told["expire"])
        elif "vanish" in told:
            service.lifecycle.vanish(group, now)


def _bound(pod: Json, world: World) -> Json:
    stamp = world.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    bound = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp}
    return {**copy.deepcopy(pod), "status": {"phase": "Pending", "conditions": [bound]}}


def _id(item: Json) -> str:
    return f"{item['kind']}/{item['metadata'].get('name', '')}"


def _put(kube: CorpusKube, item: Json) -> None:
    if item["kind"] in MAKERS:
        return
    stored = surroundings.stored(copy.deepcopy(item))
    row = ROWS[item["kind"]]
    if row.namespaced:
        stored["metadata"].setdefault("namespace", "default")
    defaults.apply(row.key, stored)
    _bind(stored)
    kube.add(_path(item), stored)


def _bind(item: Json) -> None:
    """What the controller of volumes does: a bound volume names its claim by uid too."""
    if item["kind"] == "PersistentVolumeClaim":
        item["metadata"]["uid"] = f"uid-of-{item['metadata']['name']}"
    claim = item.get("spec", {}).get("claimRef")
    if item["kind"] == "PersistentVolume" and claim:
        claim["uid"] = f"uid-of-{claim['name']}"


def _path(item: Json) -> str:
    row = ROWS[item["kind"]]
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    space = f"/namespaces/{item['metadata'].get('namespace', 'default')}" if row.namespaced else ""
    return f"{root}{space}/{row.plural}/{item['metadata']['name']}"


# --- lines ------------------------------------------------------------------------------------------------------------

_SHORT = {"PodReadyToStartContainers": "Net", "Initialized": "Init"}
_USUAL_EVENTS = ("Pulling", "Pulled", "Created", "Started")  # their messages are the stand-in cloud's


INSTANCE_ID = re.compile(r"eci-[a-z0-9]{20}")


def _told(lines: list[str]) -> list[str]:
    """Each once in a row."""
    named = [INSTANCE_ID.sub("eci-1", line) for line in lines]
    return [line for index, line in enumerate(named) if index == 0 or line != named[index - 1]]


def _status_line(status: Json) -> str:
    words = [status["phase"] + (f"({status['reason']}: {status.get('message', '')})" if status.get("reason") else "")]
    words += _conditions({each["type"]: each for each in status["conditions"]})
    inits = [_container(each) for each in status.get("initContainerStatuses") or ()]
    apps = [_container(each) for each in status.get("containerStatuses") or ()]
    return " | ".join([" ".join(words), *inits, *apps])


def _conditions(by_type: dict[str, Json]) -> list[str]:
    """All but what says nothing here: that it was scheduled and created, and ContainersReady where Ready says it."""
    del by_type["PodScheduled"]
    lines = {kind: _condition(each) for kind, each in by_type.items()}
    if lines["ContainersReady"] == lines["Ready"].replace("Ready", "ContainersReady", 1):
        del lines["ContainersReady"]
    return [line for line in lines.values() if line != "+ContainerInstanceCreated"]


def _condition(condition: Json) -> str:
    why = f"({condition['reason']})" if condition.get("reason") else ""
    kind = condition["type"]
    return ("+" if condition["status"] == "True" else "-") + _SHORT.get(kind, kind) + why


def _container(entry: Json) -> str:
    words = [_state(entry["state"])]
    words += [flag for flag in ("started", "ready") if entry.get(flag)]
    words += [f"restarts {entry['restartCount']}"] if entry.get("restartCount") else []
    words += [f"last {_state(entry['lastState'])}"] if entry.get("lastState") else []
    return f"{entry['name']}={', '.join(words)}"


def _state(state: Json) -> str:
    ((kind, what),) = state.items()
    if kind == "running":
        return kind
    if kind == "waiting":
        return f"waiting({': '.join(filter(None, (what.get('reason'), what.get('message'))))})"
    said = f": {what['message']}" if what.get("message") else ""
    return f"ended({what.get('reason')} {what['exitCode']}{said})"


def _event_lines(events: list[Json]) -> list[str]:
    """One a line; those of every start together, by container."""
    lines: list[str] = []
    for event in events:
        where = event["involvedObject"].get("fieldPath", "").partition("{")[2].rstrip("}")
        if event["reason"] in _USUAL_EVENTS:
            if lines and lines[-1].startswith(f"{where}: "):
                lines[-1] += f" {event['reason']}"
            else:
                lines.append(f"{where}: {event['reason']}")
        elif event["reason"] != "SuccessfulMountVolume":
            lines.append(
                f"{event['type']} {event['reason']}{f' of {where}' if where else ''}: {event.get('message', '')}"
            )
    return [INSTANCE_ID.sub("eci-1", line) for line in lines]
