"""The annotations that we write on a pod, always in a patch of its status. Pure.

Two kinds: those that are our memory across restarts, for which a patch is sent, and those that inform the pod's owner
about its instance, which go along with whatever else there is to write.
"""

from __future__ import annotations

from collections.abc import Mapping

from vk_provider.files.staleness import FileState
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json

# The instance that makes way for another, made of what the pod has become, and how many have done so by now. Written
# before that one is deleted, so that its end is known for what it is.
MADE_WAY = "virtual-kubelet.io/replaced-instance"
ATTEMPT = pods.CREATE_ATTEMPT_ANNOTATION


def state_annotations(
    pod: Json, instance: Instance, files: FileState | None, next_candidate: tuple[str, int] | None
) -> dict[str, str]:
    """Which instance is this pod's, what is in it, and which candidate is created next."""
    notes = attempt_annotation(pod, next_candidate, instance.id) if next_candidate is not None else {}
    if not instance.proven:
        return notes  # should we die now, the same create gives it again
    given = pod["metadata"].get("annotations") or {}
    for key in filter(None, (pods.INSTANCE_ID_ANNOTATION, instance.words.instance_id)):
        if given.get(key) != instance.id:
            notes[key] = instance.id
    content = files.has if files is not None else None
    if content is not None and content.instance_id == instance.id and content.text() != pods.live_content_of(pod):
        notes[pods.LIVE_CONTENT_ANNOTATION] = content.text()
    return notes


def info_annotations(pod: Json, instance: Instance, price: str) -> Mapping[str, str]:
    """What its owner may like to know. What the owner asked for by the same key stays as it is."""
    given = pod["metadata"].get("annotations") or {}
    info = dict(instance.owner_annotations)
    size = instance.sku.partition("/")[0].partition("+")[0]
    if size and instance.words.instance_size:
        info[instance.words.instance_size] = size
    if price:
        info[instance.words.price] = given.get(instance.words.price) or price  # the first one stays
    asked_for = {key for key in instance.words.requestable if _says(given.get(key))}
    return {key: text for key, text in info.items() if key not in asked_for}


def _says(text: object) -> bool:
    """Of an annotation's value: blank, it asks for nothing."""
    return bool(text) and (not isinstance(text, str) or bool(text.strip()))


def attempt_annotation(pod: Json, next_candidate: tuple[str, int] | None, replaces: str) -> dict[str, str]:
    """Which attempt is made next, as long as that is not on the pod: it may be made only after."""
    if next_candidate is None or next_candidate[0] != replaces:
        return {}
    attempt = next_candidate[1]
    if attempt_of(pod, replaces, first=0) == attempt:
        return {}
    return {ATTEMPT: f"{attempt} after {replaces}" if replaces else str(attempt)}


def attempt_of(pod: Json, replaces: str, *, first: int) -> int:
    """The attempt that is under way for an instance in the place of `replaces`; `first` where none is noted."""
    text = str((pod["metadata"].get("annotations") or {}).get(ATTEMPT) or "")
    number, _, after = text.partition(" after ")
    fits = after == replaces and number.isascii() and number.isdecimal() and len(number) < 4
    return int(number) if fits else first


def made_way(pod: Json) -> tuple[str, int]:
    """The id of the last instance that was to make way, and how many were; empty and 0 without one."""
    id_, _, number = str((pod["metadata"].get("annotations") or {}).get(MADE_WAY) or "").partition(" ")
    return (id_, int(number)) if number.isascii() and number.isdecimal() and len(number) < 4 else ("", 0)


def making_way(pod: Json, instance: Instance) -> dict[str, str]:
    return {MADE_WAY: f"{instance.id} {made_way(pod)[1] + 1}"}
