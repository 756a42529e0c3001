"""The calls: groups of steps, read from `calls/`, and the pods that they are made on, from `pods.yaml`. Pure but for
reading files.

A group has a namespace of its own with the pods that it names. Its steps, in order:

    CASE: WORDS               a call of kubectl, whose result is the case's
    CASE: {kubectl: WORDS}    the same with `feed` (text, or [seconds, text] pairs; null: input stays open), `seconds`
                              (after which it is cut off), `terminal`, `spdy`, `then-delete`, `after`
    CASE: {get: PATH}         HTTP by any method, through the node's proxy or (PODS/…) to the pods of the namespace;
                              `to` the node itself; `show` says what of the body counts
    CASE: {forward: POD PORT} port-forward, and what is done through it (`talk`)
    wait: {pod, …}            until containers are as said; what there is then is the case state/POD, unless `untold`
    make, delete, gone, pause, moment, files, until-log

Words that stand for something: NS, PODS, TMP, NODE, IMAGE, LONG, MOMENT, BEFORE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
HERE = Path(__file__).parent
RECORD = HERE / "record.json"
IMAGE = "local.test/busybox:1"


@dataclass(frozen=True, slots=True)
class Step:
    """case: what its result is called; empty where it has none. what: the first word of a step without a case."""

    case: str
    what: str
    given: Json


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    pods: Sequence[str]
    steps: Sequence[Step]

    @property
    def cases(self) -> list[str]:
        return [step.case for step in self.steps if step.case]


def all_groups() -> list[Group]:
    return [_group(path) for path in sorted((HERE / "calls").glob("*.yaml"))]


def pod(name: str, *, node: str, placed: bool) -> Json:
    """The pod of this name, for a node. placed: it must be sent there, since the cluster has others."""
    given = yaml.safe_load((HERE / "pods.yaml").read_text())[name]
    mains = given.get("containers") or {"main": {"script": given["script"], **given.get("container", {})}}
    spec = {
        "containers": list(_containers(mains)),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        **given.get("spec", {}),
    }
    if "init" in given:
        spec["initContainers"] = list(_containers(given["init"]))
    if "nodeName" in spec:
        spec["nodeName"] = node
    elif placed:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    if placed:
        spec["tolerations"] = [{"key": "virtual-kubelet.io/provider", "operator": "Exists"}]
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def _containers(given: Json) -> Iterator[Json]:
    for name, each in given.items():
        fields = {key: value for key, value in each.items() if key != "script"}
        command = ["sh", "-c", each["script"]]
        yield {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": command, **fields}


def _group(path: Path) -> Group:
    given = yaml.safe_load(path.read_text())
    return Group(path.stem, given["pods"], [_step(each) for each in given["steps"]])


def _step(given: Json) -> Step:
    (name, value), *_ = given.items()
    if "/" not in name:
        case = f"state/{value['pod']}" if name == "wait" and not value.get("untold") else ""
        return Step(case, name, value if isinstance(value, dict) else {"value": value})
    return Step(name, "call", {"kubectl": value} if isinstance(value, str) else value)
