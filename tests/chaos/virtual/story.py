"""What users do, by a seed: programs that end well or badly, servers, and deletions of every kind."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from tests.chaos.virtual.cloud import Course
from tests.chaos.virtual.world import VirtualWorld

Json = dict[str, Any]
EXIT_CODES = {"good": 0, "bad": 3, "odd": 42, "tried": 0}
INIT_EXIT_CODES = {"lame": 5}
PATIENT_S = 600.0
CRASH_CODES = {"tried": 1, "shaky": 1}
NAMESPACES = ("web", "batch")
KINDS = {"good": 6, "bad": 3, "odd": 1, "tried": 2, "lame": 1, "web": 4, "shaky": 2}
"""Weights. tried: OnFailure, fails a few times first. lame: its init container fails. shaky: a server that crashes."""


@dataclass(frozen=True)
class Deletion:
    """after_s: from the pod's creation. again_s: later once more, by force; None = not."""

    after_s: float
    grace_s: int
    again_s: float | None = None


@dataclass(frozen=True)
class Deed:
    """One pod: when it comes, what it is, and how it goes. config_s: how much later than it comes the ConfigMap that it
    mounts, None = it mounts none. namesake: after its deletion one of its name comes, as soon as that is free."""

    at_s: float
    namespace: str
    name: str
    kind: str
    course: Course
    deletion: Deletion | None = None
    namesake: bool = False
    config_s: float | None = None


def deeds(dice: random.Random, *, lasts_s: float) -> list[Deed]:
    """A burst, then some one by one; names are taken in both namespaces."""
    told = []
    for number in range(dice.randint(6, 22)):
        at_s = dice.choice((0.0, 0.0, 5.0, dice.uniform(0.0, lasts_s * 0.8)))
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        deletion = _deletion(dice, lasts_s - at_s) if dice.random() < 0.4 else None
        told.append(
            Deed(
                at_s=at_s,
                namespace=dice.choice(NAMESPACES),
                name=f"{kind}{number}",
                kind=kind,
                course=_course(dice, kind),
                deletion=deletion,
                namesake=deletion is not None and dice.random() < 0.5,
                config_s=dice.choice((0.0, dice.uniform(0.0, 30.0))) if dice.random() < 0.15 else None,
            )
        )
    return sorted(told, key=lambda deed: deed.at_s)


def _course(dice: random.Random, kind: str) -> Course:
    lasts = kind in ("web", "shaky")
    init_s = dice.uniform(0.3, 8.0) if kind == "lame" or dice.random() < 0.25 else None
    return Course(
        starts_s=dice.choice((0.3, 3.0, dice.uniform(0.3, 20.0))),
        runs_s=None if lasts else dice.choice((0.3, 5.0, dice.uniform(1.0, 90.0))),
        exit_code=0 if lasts else EXIT_CODES.get(kind, 0),
        unplaced=dice.choice((0, 0, 0, 0, 1, 2)),
        stop_s=dice.choice((0.2, 3.0, dice.uniform(0.2, 40.0))),
        pull_s=dice.uniform(0.2, 5.0),
        init_s=init_s,
        init_code=INIT_EXIT_CODES.get(kind, 0),
        crashes=dice.randint(1, 4) if kind in ("tried", "shaky") else 0,
        back_off_s=dice.uniform(2.0, 12.0),
        lag_s=dice.choice((0.0, 0.0, dice.uniform(-5.0, 20.0))),
    )


def _deletion(dice: random.Random, left_s: float) -> Deletion:
    after_s = dice.choice((0.0, dice.uniform(0.0, 10.0), dice.uniform(0.0, max(1.0, left_s))))
    again_s = dice.uniform(0.0, 20.0) if dice.random() < 0.2 else None
    return Deletion(after_s, dice.choice((0, 0, 1, 5, 30, 60)), again_s)


async def befalls(world: VirtualWorld, deed: Deed) -> None:
    await asyncio.sleep(deed.at_s)
    _comes(world, deed)
    if deed.config_s is not None:
        world.spawn(_configured(world, deed, deed.config_s))
    if deed.deletion is None:
        return
    await asyncio.sleep(deed.deletion.after_s)
    _goes(world, deed, deed.deletion.grace_s)
    if deed.deletion.again_s is not None:
        await asyncio.sleep(deed.deletion.again_s)
        _goes(world, deed, 0)
    if deed.namesake:
        end_s = world.time_s + PATIENT_S
        while world.kube.pod(deed.name, deed.namespace) is not None:
            if world.time_s > end_s:
                return
            await asyncio.sleep(0.1)
        _comes(world, deed)


def _comes(world: VirtualWorld, deed: Deed) -> None:
    world.cloud.courses[deed.namespace, deed.name] = deed.course
    spec: Json = {"terminationGracePeriodSeconds": 30}
    if deed.course.init_s is not None:
        spec["initContainers"] = [{"name": "first", "image": "busybox"}]
    if deed.config_s is not None:
        mount = {"name": "v", "mountPath": "/v"}
        spec["containers"] = [{"name": "main", "image": "perl", "volumeMounts": [mount]}]
        spec["volumes"] = [{"name": "v", "configMap": {"name": deed.name}}]
    policy = {"web": "Always", "shaky": "Always", "tried": "OnFailure"}.get(deed.kind, "Never")
    uid = world.kube.add_pod(deed.name, namespace=deed.namespace, policy=policy, spec=spec)
    world.say(f"pod {deed.namespace}/{deed.name} comes, {uid}")


async def _configured(world: VirtualWorld, deed: Deed, late_s: float) -> None:
    await asyncio.sleep(late_s)
    meta = {"namespace": deed.namespace, "name": deed.name}
    path = f"/api/v1/namespaces/{deed.namespace}/configmaps/{deed.name}"
    world.kube.add(path, {"metadata": meta, "data": {"a": "1"}})


def _goes(world: VirtualWorld, deed: Deed, grace_s: int) -> None:
    if world.kube.pod(deed.name, deed.namespace) is not None:
        world.say(f"pod {deed.namespace}/{deed.name} is deleted with {grace_s} s of grace")
        world.kube.delete_pod(deed.name, grace_s=grace_s, namespace=deed.namespace)
