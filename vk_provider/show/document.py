"""Findings for programs: one JSON object, whose shape is this file. Fields keep their names and meanings, and are only
ever added. Pure."""

from __future__ import annotations

import json
from typing import TypedDict

from vk_provider.show.report import in_order, is_upper_bound
from vk_provider.show.verdicts import Findings, Outcome, Verdict

VERSION = 1


class Size(TypedDict):
    """cpu in vCPU, memoryGiB in GiB; null: not said, or known to the cloud alone."""

    cpu: float | None
    memoryGiB: float | None


class Price(TypedDict):
    """Of pay-as-you-go, by the published list. perHourAll: of all pods that run at a time."""

    currency: str
    perSecond: float
    perHour: float
    perHourAll: float
    isUpperBound: bool  # true: a spot instance, which costs less


class Refusal(TypedDict):
    """field: path in the document, empty where it is about the whole."""

    field: str
    reason: str


class Pod(TypedDict):
    """One pod that a document is or makes."""

    file: str
    line: int  # in which the document begins
    kind: str  # of the document
    namespace: str
    name: str  # of the document
    template: str  # path of the pod template in the document; empty for a Pod
    verdict: str  # runs, waits or refused
    count: int  # pods at a time: replicas, or of a Job its parallelism
    asked: Size
    billed: Size | None  # null unless it runs
    choices: list[str]  # sizes and types in the order in which they are tried
    price: Price | None  # null unless it runs, and where only the cloud knows it
    refusals: list[Refusal]
    waitsFor: str
    notices: list[str]
    request: dict[str, str] | None  # with --request: the call to the cloud, by wire name, Secrets hidden


class Other(TypedDict):
    """A document without pods. isFault: an API server would not take it, and `why` says why."""

    file: str
    line: int
    title: str
    why: str
    isFault: bool


class Document(TypedDict):
    """The whole."""

    version: int
    region: str  # whose sizes and list prices they are
    pods: list[Pod]
    others: list[Other]


def of(findings: Findings, *, request: bool) -> Document:
    """request: whether the calls to the cloud are in it."""
    return {
        "version": VERSION,
        "region": findings.region,
        "pods": [_pod(each, request=request) for each in findings.verdicts],
        "others": [
            {
                "file": each.manifest.file,
                "line": each.manifest.line,
                "title": each.title,
                "why": each.why,
                "isFault": each.is_fault,
            }
            for each in findings.others
        ],
    }


def text(findings: Findings, *, request: bool) -> str:
    return json.dumps(of(findings, request=request), indent=2) + "\n"


def _pod(verdict: Verdict, *, request: bool) -> Pod:
    found, draft = verdict.found, verdict.draft
    runs = verdict.outcome is Outcome.RUNS and draft is not None
    return {
        "file": found.manifest.file,
        "line": found.manifest.line,
        "kind": found.kind,
        "namespace": found.namespace,
        "name": found.name,
        "template": found.path,
        "verdict": verdict.outcome.value,
        "count": found.count.pods,
        "asked": {"cpu": verdict.asked[0], "memoryGiB": verdict.asked[1]},
        "billed": {"cpu": draft.cpu or None, "memoryGiB": draft.memory_gib or None} if draft else None,
        "choices": list(draft.choices) if draft else [],
        "price": _price(verdict),
        "refusals": [{"field": each.field, "reason": each.reason} for each in verdict.placed_refusals],
        "waitsFor": verdict.waits_for,
        "notices": list(verdict.notes),
        "request": dict(in_order(verdict.request)) if request and runs else None,
    }


def _price(verdict: Verdict) -> Price | None:
    price = verdict.draft.price if verdict.draft else None
    if price is None:
        return None
    return {
        "currency": price.currency,
        "perSecond": price.per_second,
        "perHour": round(price.per_hour, 10),
        "perHourAll": round(price.per_hour * verdict.found.count.pods, 10),
        "isUpperBound": is_upper_bound(verdict),
    }
