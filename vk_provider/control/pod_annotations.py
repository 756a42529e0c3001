"""The annotations that we write on a pod, always in a patch of its status. Pure.

Two kinds: those that are our memory across restarts, for which a patch is sent, and those that tell the pod's owner
about its instance, which go along with whatever else there is to write.
"""

from __future__ import annotations

from collections.abc import Mapping

from vk_provider.control.memory import PodMemory
from vk_provider.model import pod as pods
from vk_provider.model.instance import Instance
from vk_provider.model.pod import Json
from vk_provider.translate import annotations as keys

# The instance that makes way for another, made of what the pod has become, and how many have done so by now. Written
# before that one is deleted, so that its end is known for what it is.
MADE_WAY = "virtual-kubelet.io/replaced-instance"
ATTEMPT = keys.PREFIX + "eci-create-attempt"
PRICE = keys.PREFIX + "eci-price"


def state_annotations(pod: Json, instance: Instance, record: PodMemory) -> dict[str, str]:
    """Which instance is this pod's, what is in it, and which way to carry the pod comes next."""
    notes = attempt_annotation(pod, record, instance.id)
    if not instance.proven:
        return notes  # should we die now, the same create gives it again
    if pods.instance_id_of(pod) != instance.id:
        notes[pods.INSTANCE_ID_ANNOTATION] = instance.id
    content = record.files.has if record.files is not None else None
    if content is not None and content.instance_id == instance.id and content.text() != pods.live_content_of(pod):
        notes[pods.LIVE_CONTENT_ANNOTATION] = content.text()
    return notes


def info_annotations(pod: Json, instance: Instance, record: PodMemory) -> Mapping[str, str]:
    """What its owner may like to know. What the owner asked for by the same key stays as it is."""
    given = pod["metadata"].get("annotations") or {}
    told = dict(instance.owner_annotations)
    spec = instance.sku.partition("/")[0].partition("+")[0]
    if spec:
        told[pods.INSTANCE_SPEC_ANNOTATION] = spec
    if record.price:
        told[PRICE] = given.get(PRICE) or record.price  # that at the beginning
    return {key: text for key, text in told.items() if not (given.get(key) and key in keys.for_driver(given))}


def attempt_annotation(pod: Json, record: PodMemory, replaces: str) -> dict[str, str]:
    """Which attempt is to be made next, as long as that is not on the pod: it may be made only after."""
    if record.next_attempt is None or record.next_attempt[0] != replaces:
        return {}
    attempt = record.next_attempt[1]
    return {ATTEMPT: _text(attempt, replaces)} if attempt_of(pod, replaces, first=0) != attempt else {}


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


def _text(attempt: int, replaces: str) -> str:
    return f"{attempt} after {replaces}" if replaces else str(attempt)
