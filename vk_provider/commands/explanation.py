"""`vk-provider explain POD`: why a pod is as it is, and what happens next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from vk_provider.commands import terminal
from vk_provider.commands.cluster import NoAnswer, Reader, events_of, explanation_of, is_ours
from vk_provider.commands.terminal import BOLD, RED, YELLOW, Style, duration, row, table
from vk_provider.errors import KubeError
from vk_provider.kube import paths
from vk_provider.model import pod as pods
from vk_provider.snapshot.document import CloudEvent, Explanation, Shape

Json = dict[str, Any]

_MOST_EVENTS = 10


class PodExplanation(Shape, frozen=True, kw_only=True):
    """What `explain -o json` prints. explanation: of the provider; null where it has none, and `trouble` says why.
    events: of the pod at the API server, the newest last."""

    version: int = 1
    namespace: str
    name: str
    phase: str
    node: str
    answer: str  # in a sentence
    trouble: str = ""
    explanation: Explanation | None = None
    events: tuple[CloudEvent, ...] = ()


async def explained(client: Reader, namespace: str, name: str) -> PodExplanation:
    """Raises KubeError: NotFound where there is no such pod."""
    pod = await client.get(paths.pod(namespace, name))
    node = str(pod["spec"].get("nodeName") or "")
    found: Explanation | None = None
    trouble = ""
    if node:
        try:
            found = await explanation_of(client, node, namespace, name)
            trouble = "" if found is not None else await _why_unknown(client, node)
        except NoAnswer as error:
            trouble = str(error)
    events = await events_of(client, namespace, pods.uid_of(pod))
    return PodExplanation(
        namespace=namespace,
        name=name,
        phase=pods.phase_of(pod),
        node=node,
        answer=_answer(pod, node, found, trouble),
        trouble=trouble,
        explanation=found,
        events=tuple(map(_event, events)),
    )


async def _why_unknown(client: Reader, node: str) -> str:
    """Why nobody at this node's address has the pod."""
    try:
        is_other = not is_ours(await client.get(paths.node(node)))
    except KubeError:
        is_other = False
    if is_other:
        return f"node {node} is no virtual node of this provider; `kubectl describe pod` has what its kubelet says"
    return f"the provider of node {node} does not have the pod (yet)"


def _answer(pod: Json, node: str, found: Explanation | None, trouble: str) -> str:
    """The one sentence that whoever owns the pod is after."""
    if not node:
        return _unscheduled(pod)
    if found is None:
        return trouble
    summary = found.pod
    if found.is_refused:
        return f"the pod is refused and will not run: {found.problem}"
    if pods.is_deleting(pod):
        return f"the pod is being deleted: {found.decision}"
    if summary.phase == "Running":
        return f"the pod runs on instance {summary.instance}"
    if pods.is_terminal(pod):
        return f"the pod has ended: {summary.message or summary.reason or summary.phase}"
    why = found.problem or summary.message or summary.reason or found.decision
    return f"the pod waits: {why}" if why else "the pod has not been looked at yet"


def _unscheduled(pod: Json) -> str:
    conditions = [each for each in (pod.get("status") or {}).get("conditions") or () if isinstance(each, dict)]
    held = next((each for each in conditions if each.get("type") == "PodScheduled"), {})
    told = f": {held['message']}" if held.get("message") else ""
    return f"the scheduler has not bound the pod to a node yet{told}"


def _event(event: Json) -> CloudEvent:
    count = event.get("count")
    return CloudEvent(
        at=str(event.get("lastTimestamp") or event.get("eventTime") or ""),
        type=str(event.get("type") or ""),
        reason=str(event.get("reason") or ""),
        message=str(event.get("message") or ""),
        count=count if isinstance(count, int) else 1,
    )


def as_json(found: PodExplanation) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"


def text(found: PodExplanation, style: Style = terminal.PLAIN) -> str:
    return "".join(f"{line}\n" for line in _lines(found, style))


def _lines(found: PodExplanation, style: Style) -> Iterator[str]:
    known = found.explanation
    yield f"{style.paint(BOLD, f'{found.namespace}/{found.name}')}  {found.phase}"
    yield from row("answer", found.answer, style, colour="" if found.phase in ("Running", "Succeeded") else YELLOW)
    if found.node:
        yield from row("node", found.node, style)
    if known is not None:
        yield from _of_provider(known, style)
    elif found.trouble and found.trouble != found.answer:
        yield from row("provider", found.trouble, style, colour=RED)
    if found.events:
        yield ""
        yield from _events(found.events, style)


def _of_provider(known: Explanation, style: Style) -> Iterator[str]:
    summary = known.pod
    if known.decision:
        yield from row("decision", f"{known.action}: {known.decision}", style)
    if known.problem:
        yield from row("cloud says" if not known.is_refused else "refused", known.problem, style, colour=RED)
    if summary.instance:
        size = f", {summary.sku}" if summary.sku else ""
        price = f", {summary.per_hour:.4f} {summary.currency}/h" if summary.currency else ""
        yield from row("instance", f"{summary.instance} {summary.instance_status}{size}{price}", style)
    for each in known.cloud_conditions:
        if each.status != "True":
            yield from row("condition", f"{each.type}={each.status} {each.reason}: {each.message}", style)
    failures = [
        f"{known.create_failures} creates in a row did not work" if known.create_failures else "",
        f"{known.failures} reconciles in a row failed" if known.failures else "",
    ]
    if any(failures):
        yield from row("failures", ", ".join(filter(None, failures)), style)
    yield from row("next try", _next_try(known), style)


def _next_try(known: Explanation) -> str:
    if known.is_in_queue:
        return "now: it is in the queue, or in hand"
    times = [each for each in (known.next_create_s, known.next_try_s) if each is not None]
    waits = " or as soon as what it waits for changes" if known.waits_for_change else ""
    if not times:
        return "when the pod, its instance or what it waits for changes"
    return f"in {duration(max(times) if known.next_create_s else min(times))}{waits}"


def _events(events: Sequence[CloudEvent], style: Style) -> Iterator[str]:
    rows = [
        (each.at.replace("T", " ").removesuffix("Z"), each.type, each.reason, each.message)
        for each in events[-_MOST_EVENTS:]
    ]
    colours = [YELLOW if each.type == "Warning" else "" for each in events[-_MOST_EVENTS:]]
    yield from table(("LAST SEEN", "TYPE", "REASON", "MESSAGE"), rows, style, colours)
