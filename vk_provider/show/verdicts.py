"""What would become of each pod in the manifests: its request, size and price, what it would wait for, or every field
that would be refused. Pure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vk_provider.cloud import drivers
from vk_provider.cloud.base import RequestPreview
from vk_provider.cloud.driver import Whose
from vk_provider.config import Config
from vk_provider.errors import PodNotReady, ProviderError, Refusal, UnsupportedPod
from vk_provider.model.pod import Json
from vk_provider.model.workload import Notice, Workload
from vk_provider.node_settings import node_context
from vk_provider.show.admitted import UID
from vk_provider.show.manifests import UNNAMED, Found, Manifest, Other, contents, pods_in
from vk_provider.show.surroundings import Surroundings
from vk_provider.translate.judging import judged
from vk_provider.translate.workload import build

NODE_IP = "192.0.2.1"  # of the addresses that are kept for examples
_DAEMON = Refusal("", "a virtual node has no machine for DaemonSet pods to serve; they stay Pending")


_STEPS = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")  # of a path: names between dots, and what stands in brackets
# Of the node's settings rather than the manifest, and the same for every pod.
_OF_THE_NODE = frozenset({"MissingClusterDNS"})


class Outcome(StrEnum):
    RUNS = "runs"
    WAITS = "waits"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One pod and what would become of it.

    draft: with RUNS only. refusals: with REFUSED only, with paths in the pod; around: likewise, of the document that
    makes the pod and of what the pod refers to. waits_for: with WAITS only. asked: vCPU and GiB that the containers ask
    for, None where they say nothing.
    """

    found: Found
    outcome: Outcome
    draft: RequestPreview | None = None
    refusals: Sequence[Refusal] = ()
    around: Sequence[Refusal] = ()
    waits_for: str = ""
    asked: tuple[float | None, float | None] = (None, None)
    notes: Sequence[str] = ()
    secrets: Collection[bytes] = field(default=(), repr=False)  # values that are not to be printed
    cloud: str = "eci"

    @property
    def title(self) -> str:
        return f"{self.found.kind} {self.found.namespace}/{self.found.name or UNNAMED}"

    @property
    def faults(self) -> Sequence[str]:
        """Why it would not run, with paths in the pod where there is one; empty = it would."""
        if self.waits_for:
            return [self.waits_for]
        return [str(each) if each.field else each.reason for each in (*self.around, *self.refusals)]

    @property
    def placed_refusals(self) -> Sequence[Refusal]:
        """All, with paths in the document."""
        path = self.found.path
        inside = [
            replace(each, field=f"{path}.{each.field}" if path and each.field else each.field) for each in self.refusals
        ]
        return [_with_value(each, self.found.manifest.document) for each in dict.fromkeys((*self.around, *inside))]

    @property
    def request(self) -> dict[str, str]:
        """By wire name, without what came out of Secrets; empty where there is none."""
        return drivers.load(self.cloud).masked(self.draft.request, self.secrets) if self.draft else {}


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that the manifests hold, in their order."""

    verdicts: Sequence[Verdict]
    others: Sequence[Other]
    region: str = ""  # whose sizes and list prices they are

    @property
    def all_well(self) -> bool:
        """Whether every pod would run and an API server would take the rest."""
        runs = all(each.outcome is Outcome.RUNS for each in self.verdicts)
        return runs and not any(each.is_fault for each in self.others)


def _with_value(refusal: Refusal, document: object) -> Refusal:
    """A complaint about a type says what stands there, and how a text is written."""
    if not refusal.reason.startswith("must be ") or refusal.reason == "must be given":
        return refusal
    at = document
    for name, index in _STEPS.findall(refusal.field):
        if isinstance(at, list) and index.isdecimal() and int(index) < len(at):
            at = at[int(index)]
        elif isinstance(at, dict) and (name or index) in at:
            at = at[name or index]
        else:
            return refusal
    shown = json.dumps(at, ensure_ascii=False)
    quotes = "; put it in quotes" if refusal.reason == "must be a text" and isinstance(at, int | float) else ""
    return replace(refusal, reason=f"{refusal.reason}, not {textwrap.shorten(shown, 40, placeholder='…')}{quotes}")


def judge(config: Config, manifests: Sequence[Manifest]) -> Findings:
    """Never raises, whatever the manifests hold."""
    unpacked = contents(manifests)
    around = Surroundings(unpacked)
    verdicts: list[Verdict] = []
    others: list[Other] = []
    for manifest in unpacked:
        for each in pods_in(manifest):
            if isinstance(each, Found):
                verdicts.append(_verdict(config, each, around))
            else:
                others.append(_with_faults(each, around))
    return Findings(verdicts, others, drivers.load(config.cloud).place(config.options).region)


def _with_faults(other: Other, around: Surroundings) -> Other:
    document = other.manifest.document
    meta = document.get("metadata")
    if other.is_fault:
        return other
    if not isinstance(meta, dict):
        return replace(other, why="metadata: must be an object", is_fault=True)
    key = (str(document.get("kind")), str(meta.get("namespace") or "default"), str(meta.get("name")))
    faults = [_with_value(each, document) for each in around.faults.get(key, ())]
    return replace(other, why="; ".join(map(str, faults)), is_fault=True) if faults else other


def _verdict(config: Config, found: Found, around: Surroundings) -> Verdict:
    refused = Verdict(
        found,
        Outcome.REFUSED,
        around=found.faults,
        notes=found.notes,
        secrets=around.secret_values(),
        cloud=config.cloud,
    )
    if found.kind == "DaemonSet":
        return replace(refused, around=(), refusals=[_DAEMON])
    if found.pod is None:
        return refused
    driver = drivers.load(config.cloud)
    whose = Whose(cluster=UID, node=config.node_name, cluster_name=config.cluster_name)
    settings, role = driver.settings(config.options, whose), driver.place(config.options).role
    context = node_context(config, UID, config.node_ip or NODE_IP, driver.capabilities, role=role)

    def all_refusals(pod: Json, known: Sequence[Refusal] = ()) -> Sequence[Refusal]:
        objects = around.around_refused(found, pod)
        reported = judged(pod, objects, context, lambda workload: driver.refusals(workload, settings))
        return [*reported, *(each for each in known if each not in reported)]

    try:
        surrounding = around.around(found, found.pod, context.capabilities, expands_pod_ip=context.expands_pod_ip)
        refused = replace(
            refused,
            around=[*found.faults, *around.faults_of(surrounding.objects)],
            notes=[*found.notes, *surrounding.notes],
        )
        workload = build(found.pod, surrounding.objects, context)
        draft = driver.preview(workload, settings)
        linked = build(found.pod, replace(surrounding.objects, services=around.services()), context)
    except UnsupportedPod as error:
        return replace(refused, refusals=all_refusals(found.pod, error.refusals))
    except PodNotReady as error:
        if refused.around or (reported := all_refusals(found.pod)):
            return refused if refused.around else replace(refused, refusals=reported)
        waits = f"{error} (give the file that has it, to see the request)"
        return replace(refused, outcome=Outcome.WAITS, waits_for=waits)
    except (ProviderError, ValueError, TypeError, KeyError, AttributeError) as error:
        return replace(refused, refusals=[Refusal("", f"not a pod that an API server would take: {error}")])
    if refused.around:
        return refused
    notes = [*refused.notes, *_notes(workload, draft, driver.left_out(linked), driver.capabilities.cloud)]
    asked = (workload.cpu, workload.memory_gib)
    return replace(refused, outcome=Outcome.RUNS, draft=draft, asked=asked, notes=notes)


def _notes(workload: Workload, draft: RequestPreview, left_out: Sequence[Notice], cloud: str) -> Sequence[str]:
    """What the pod's owner should know although it runs. left_out: of what its cluster adds."""
    notes = []
    open_ones = [name for name, is_open in (("CPU", workload.cpu_open), ("memory", workload.memory_open)) if is_open]
    if open_ones and (workload.cpu is not None or workload.memory_gib is not None):
        notes.append(
            f"a container says nothing of its {' and '.join(open_ones)}, so the pod has at least {cloud}'s default"
        )
    if len(draft.choices) > 1:
        notes.append(f"where there is no stock of {draft.choices[0]}: {', then '.join(draft.choices[1:])}")
    said = [
        f"container {notice.container}: {notice.message}" if notice.container else notice.message
        for notice in (*workload.notices, *left_out)
        if notice.reason not in _OF_THE_NODE
    ]
    return [*notes, *dict.fromkeys(said)]
