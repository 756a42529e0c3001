"""The corpus as it lies on disk: manifests, the pods they make as an API server would store them, and their lives."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fakes.kube import defaults, podvalidation, strictness
from fakes.kube.resources import RESOURCES
from tests.yamldocuments import documents
from vk_provider.show.manifests import pod_of

Json = dict[str, Any]

ROOM = Path(__file__).parent
NODE = "vk"
# Fields of Kubernetes 1.34 and later, which the stand-in API server does not know yet.
_NEWER = ("fileKeyRef", "hostnameOverride", "restartPolicyRules", "podCertificate", "stopSignal", "workloadRef")
_ALLOWED_SINCE = ("may not be set for non-init containers",)  # a restart policy of one container: 1.34
ROWS = {row.kind: row for row in reversed(RESOURCES.values())}


@dataclass(frozen=True)
class Life:
    """What happens to one pod. All times are seconds after it was bound.

    containers: what its containers do, by name (`*`: all others), in the words of the stand-in cloud's scenarios.
    delete_at_s: a user deletes it, with grace_s. late: objects of the file, as `Secret/db`, that appear only then.
    edit: objects whose fields change then, as `{ConfigMap/settings: {at_s: 20, data: {...}}}`.
    cloud: what the cloud's operators do then, as `{at_s: 10, vanish: true}` or `{at_s: 10, expire: 0}`.
    until_s: how long we look on; the story ends earlier when the pod has ended or is gone.
    """

    name: str
    containers: Mapping[str, Json] = field(default_factory=dict)
    delete_at_s: float | None = None
    grace_s: int | None = None
    late: Mapping[str, float] = field(default_factory=dict)
    edit: Mapping[str, Json] = field(default_factory=dict)
    cloud: Sequence[Json] = ()
    until_s: float = 40.0


@dataclass(frozen=True)
class Case:
    """One file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOM).with_suffix("").as_posix()

    @property
    def golden(self) -> Path:
        return self.path.with_suffix(".golden.json")

    @cached_property
    def documents(self) -> Sequence[Json]:
        found = documents(self.path)
        return [item for each in found for item in (each["items"] if each.get("kind") == "List" else [each])]

    @cached_property
    def objects(self) -> Sequence[Json]:
        """What an API server is told, the makers of pods included."""
        return [each for each in self.documents if each["kind"] != "Lives"]

    @cached_property
    def pods(self) -> Sequence[Json]:
        return [pod for pod in (_stored(each) for each in self.objects) if pod is not None]

    @cached_property
    def lives(self) -> Sequence[Life]:
        told = [each for each in self.documents if each["kind"] == "Lives"]
        return [Life(name=name, **(life or {})) for each in told for name, life in each["lives"].items()]

    def faults(self) -> list[str]:
        """What an API server would not take of it."""
        unknown = [fault for each in self.objects for fault in _unknown_fields(each)]
        wrong = [str(fault) for pod in self.pods for fault in podvalidation.created(pod)]
        return [*unknown, *(fault for fault in wrong if not fault.endswith(_ALLOWED_SINCE))]


def cases() -> list[Case]:
    return [Case(path) for path in sorted(ROOM.glob("*/*.yaml"))]


def default_life(pod: Json) -> Life:
    """What is looked at when the manifest says nothing."""
    if pod["spec"]["restartPolicy"] == "Always":
        return Life("is deleted", delete_at_s=20.0)
    return Life("completes")


def _stored(document: Json) -> Json | None:
    pod = pod_of(copy.deepcopy(document))
    if pod is not None:
        pod["spec"]["nodeName"] = NODE
        defaults.pod(pod)
    return pod


def _unknown_fields(document: Json) -> list[str]:
    row = ROWS.get(document["kind"])
    found = [] if row is None else strictness.check(row, copy.deepcopy(document), "Warn")
    return [fault for fault in found if not fault.rstrip('"').endswith(_NEWER)]
