"""What the cloud has: the instances as last seen. A change of one says "reconcile this pod" and nothing more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vk_provider.instances import hidden_words
from vk_provider.model.instance import UNKNOWN_MAKE, Instance, InstanceStatus, without_older
from vk_provider.redaction import Sieve

log = logging.getLogger(__name__)

BURST_SIZE = 100  # on their way at once: a burst, in which everybody waits for the next poll


class InstanceCache:
    """Instances by id and by pod uid. `changed` is called with the pod uid after each change.

    An instance is one pod's: that of its tags, as shown last; or, by a create's answer alone, that of the first such.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self.woken = asyncio.Event()  # set when something begins to move while nothing did, and when many do
        self._moving: set[str] = set()
        self._by_id: dict[str, Instance] = {}
        self._by_uid: dict[str, tuple[Instance, ...]] = {}
        self._unproven: dict[str, float] = {}  # id → loop time since when
        self._sieves: dict[str, Sieve] = {}  # by pod uid

    def hide(self, uid: str, sieve: Sieve | None) -> None:
        """From now on what is reported of this pod's instances is kept without that. None: no more of it."""
        self._sieves.pop(uid, None)
        if sieve:
            self._sieves[uid] = sieve

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._by_id

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_id.values())

    @property
    def moving(self) -> int:
        """How many instances are on their way from one state to another."""
        return len(self._moving)

    def get(self, instance_id: str) -> Instance | None:
        return self._by_id.get(instance_id)

    def of(self, uid: str) -> Sequence[Instance]:
        return self._by_uid.get(uid, ())

    @property
    def unproven(self) -> Collection[str]:
        """Ids of those that no tags have shown yet to be their pods'."""
        return self._unproven.keys()

    def unproven_for(self, seconds: float) -> Sequence[str]:
        """Those that have been so for so long, the oldest first."""
        now = asyncio.get_running_loop().time()
        return [each for each, since in self._unproven.items() if now - since >= seconds]

    def put(self, instance: Instance) -> None:
        known = self._by_id.get(instance.id)
        if known is not None and known.owner.uid != instance.owner.uid:
            if not instance.proven:
                return
            log.warning("instance=%s is of pod=%s by its tags", instance.id, _pod_of(instance))
            self.remove(instance.id)
            known = None
        if sieve := self._sieves.get(instance.owner.uid):
            instance = hidden_words.without(instance, sieve)
        if known is not None:
            instance = _with_all_known(known, instance)
        if known == instance:
            return
        self._by_id[instance.id] = instance
        if instance.proven:
            self._unproven.pop(instance.id, None)
        else:
            self._unproven.setdefault(instance.id, asyncio.get_running_loop().time())
        self._note_movement(instance)
        others = self._by_uid.get(instance.owner.uid, ())
        if any(each.id == instance.id for each in others):
            others = tuple(instance if each.id == instance.id else each for each in others)
        else:
            others = (*others, instance)
        self._by_uid[instance.owner.uid] = others
        self._changed(instance.owner.uid)

    def remove(self, instance_id: str) -> Instance | None:
        instance = self._by_id.pop(instance_id, None)
        if instance is None:
            return None
        self._moving.discard(instance_id)
        self._unproven.pop(instance_id, None)
        siblings = tuple(each for each in self._by_uid[instance.owner.uid] if each.id != instance_id)
        if siblings:
            self._by_uid[instance.owner.uid] = siblings
        else:
            del self._by_uid[instance.owner.uid]
        self._changed(instance.owner.uid)
        return instance

    def _note_movement(self, instance: Instance) -> None:
        if instance.status is InstanceStatus.RUNNING or instance.status.is_ended:
            self._moving.discard(instance.id)
            return
        self._moving.add(instance.id)
        if len(self._moving) in (1, BURST_SIZE):
            self.woken.set()


def _with_all_known(known: Instance, reported: Instance) -> Instance:
    """What is reported, with what was known before: a full listing does not have all. Of equal parts the object that is
    held already, so that there are not two."""
    newer = without_older(known, reported)
    kept: dict[str, Any] = {
        name: getattr(known, name)
        for name in ("placed_at", "ended_at", "sku")
        if getattr(known, name) and not getattr(reported, name)
    }
    if known.proven and not newer.proven:
        kept["proven"] = True
    if newer.owner is not known.owner and newer.owner == known.owner:
        kept["owner"] = known.owner
    if newer.made_of is not known.made_of and newer.made_of in (known.made_of, UNKNOWN_MAKE):
        kept["made_of"] = known.made_of
    if newer.owner_annotations is not known.owner_annotations:
        joined = {**known.owner_annotations, **newer.owner_annotations}
        kept["owner_annotations"] = known.owner_annotations if joined == known.owner_annotations else joined
    return replace(newer, **kept) if kept else newer


def _pod_of(instance: Instance) -> str:
    return f"{instance.owner.namespace}/{instance.owner.name}"
