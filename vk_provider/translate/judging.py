"""All that speaks against a pod, found at once, so that its owner does not mend it in rounds.

`refusals` judges the fields by themselves, `workload` what they become together with the objects they name, a cloud
what it is then asked for. Each of the later ones usually sees only pods that the one before has let pass. A pod that
fails anywhere is gone through once more by all of them: it is put together as far as it can be, a part that cannot be
had left empty, and what is empty is complained of by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from vk_provider import bounds
from vk_provider.errors import Refusal
from vk_provider.model.pod import Json
from vk_provider.model.workload import Workload
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Objects, References
from vk_provider.translate.oversize import oversize
from vk_provider.translate.refusals import refusals
from vk_provider.translate.workload import UNREADABLE, as_far_as_possible, needed, too_much_to_fetch

# What an honest pod has many times less of; more of it is not gone through a second time.
MOST_ENTRIES = 5000

_WHOLE = re.compile(r"spec\.volumes\[\d+\]|spec\.(initC|c)ontainers\[\d+\]\.ports")

OfCloud = Callable[[Workload], Sequence[Refusal]]


def judged(pod: Json, objects: Objects, context: NodeContext, of_cloud: OfCloud) -> Sequence[Refusal]:
    """All of them, each with the path of its field; nothing twice. Never raises, whatever the pod looks like.

    objects: as far as they are there. of_cloud: what a cloud cannot hold of a workload.
    """
    found = list(refusals(pod, context.capabilities, expands_pod_ip=context.expands_pod_ip))
    if not _is_of_a_size(pod):
        return tuple(found)
    sizes = context.capabilities.annotations.sizes
    sized = any(one.field == f"metadata.annotations[{key}]" for one in found for key in sizes)
    workload, further = as_far_as_possible(pod, objects, context)
    for one in (*further[: bounds.MOST_REFUSALS], *_by_cloud(workload, of_cloud)[: bounds.MOST_REFUSALS]):
        follows = sized and sizes[0] in one.reason  # a size that is refused is not missing
        if not follows and not any(_is_about_the_same(one, other) for other in found):
            found.append(one)
    return tuple(found)


def _by_cloud(workload: Workload | None, of_cloud: OfCloud) -> Sequence[Refusal]:
    """A pod with fields of wrong types may make a workload of wrong types, of which nothing can be said."""
    try:
        return of_cloud(workload) if workload is not None else ()
    except UNREADABLE:
        return ()


def wanted(pod: Json) -> References:
    """What to fetch to judge a pod: all that it names, but no token, which nobody will ever use."""
    try:
        named = replace(needed(pod), tokens=frozenset()) if _is_of_a_size(pod) else References()
        return References() if too_much_to_fetch(pod, named) else named
    except UNREADABLE:
        return References()  # not even its names can be read


def _is_about_the_same(one: Refusal, other: Refusal) -> bool:
    """Of a volume's source and of ports each check has its own words, one for the field and one for the whole."""
    if one.field == other.field:
        return one.reason == other.reason or one.field.startswith("spec.volumes[")
    first, second = sorted((one.field, other.field), key=len)
    return second.startswith((f"{first}.", f"{first}[")) and _WHOLE.match(first) is not None


def _is_of_a_size(pod: Json) -> bool:
    if oversize(pod):
        return False
    try:
        spec = pod["spec"]
        containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        lists = [spec.get("volumes") or (), containers, pod["metadata"].get("annotations") or ()]
        lists += [each.get(name) or () for each in containers for name in ("env", "envFrom", "volumeMounts", "ports")]
        return sum(map(len, lists)) <= MOST_ENTRIES
    except UNREADABLE:
        return True
