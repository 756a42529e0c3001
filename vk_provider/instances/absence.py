"""Which instances the cloud no longer has: an empty or partial answer proves nothing.

An instance is gone where an answer that names others leaves it out, and among those others is a canary, an instance
that must be there; or where the cloud, asked about its id alone, says that it does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from vk_provider.cloud.base import Cloud
from vk_provider.errors import CloudRefused, CloudUnavailable
from vk_provider.instances.cache import InstanceCache
from vk_provider.model.instance import InstanceStatus
from vk_provider.model.poll_limits import CAREFUL, PollLimits
from vk_provider.translate import status

# While a thousand are being deleted each query takes long at both ends: one after the other would be too slow to see
# the last states, which show for seconds only.
CONCURRENT_BATCHES = 8
CONCURRENT_ID_CHECKS = 10  # queries of single ids, where no canary stands for many
MAX_DELETIONS_PER_POLL = 10 * (CAREFUL.ids_per_call - 1)  # so that new ones need not wait for a thousand old ones


class Absence:
    """`removed` is called with the id of an instance that is proven to be gone; it takes it out of the cache."""

    def __init__(
        self, cloud: Cloud, store: InstanceCache, *, removed: Callable[[str], None], limits: PollLimits
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._removed = removed
        self._limits = limits
        self._deleting: dict[str, None] = {}  # ids whose deletion the cloud accepted: polled by id, in turns
        self._suspected: dict[str, None] = {}  # of those: missing from an answer, and no canary vouches for that
        self.suspicion_changed = asyncio.Event()
        self._checked: Sequence[str] = ()  # by id, the last time

    def track_deletion(self, instance_id: str) -> None:
        """The cloud accepted its deletion: poll it by id until it is gone, for no incremental answer says so."""
        self._deleting[instance_id] = None

    def forget(self, instance_id: str) -> None:
        self._deleting.pop(instance_id, None)

    @property
    def deleting(self) -> int:
        """How many are awaited to be gone."""
        return len(self._deleting)

    def is_awaited(self, instance_id: str) -> bool:
        """Whether it is polled by id until it is gone."""
        return instance_id in self._deleting

    @property
    def suspects(self) -> Collection[str]:
        return self._suspected.keys()

    @property
    def still_there(self) -> int:
        """How many of those that were checked last the cloud still has."""
        return sum(each in self._store for each in self._checked)

    async def poll_deleted(self) -> None:
        """Query those whose deletion was accepted, so many at a time."""
        batch = [each for each in self._deleting if each in self._store][:MAX_DELETIONS_PER_POLL]
        for suspect in await self._remove_if_canary_present(batch):
            self._suspected[suspect] = None
            self.suspicion_changed.set()
        for each in batch:
            self._deleting.pop(each, None)
        self._deleting = {each: None for each in (*self._deleting, *batch) if each in self._store}

    async def confirm_absent(self) -> None:
        """Check some of the suspects, each by its id."""
        batch = self._checked = list(self._suspected)[:CONCURRENT_ID_CHECKS]
        try:
            await self._remove_if_not_found(batch)
        finally:
            for instance_id in batch:  # those still present are queued again at the back if they go missing again
                del self._suspected[instance_id]

    async def remove_if_gone(self, instance_ids: Sequence[str]) -> None:
        """Remove those that the cloud no longer has; where no canary vouches for that, after a check of each id."""
        await self._remove_if_not_found(await self._remove_if_canary_present(instance_ids))

    async def _remove_if_canary_present(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """Remove those that are gone for sure; returns the suspects.

        Each query also has a canary, an instance known to exist: an answer without it is taken as incomplete. Instances
        that we deleted and whose containers have all stopped are removed without it.
        """
        suspects: list[str] = []
        canary = self._canary(set(instance_ids)) if instance_ids else ""
        size = self._limits.ids_per_call - 1  # and a canary
        batches = range(0, len(instance_ids), size)
        starts = iter(batches)

        async def query() -> None:
            for first in starts:
                suspects.extend(await self._remove_missing(instance_ids[first : first + size], canary))

        workers = min(CONCURRENT_BATCHES, len(batches))
        answers = await asyncio.gather(*(query() for _ in range(workers)), return_exceptions=True)
        _raise_first(answers)
        return suspects

    async def _remove_missing(self, batch: Sequence[str], canary: str) -> Sequence[str]:
        suspects: list[str] = []
        found = await self._cloud.describe([*batch, *([canary] if canary else [])])
        for instance in found.values():
            self._store.put(instance)
        for instance_id in [each for each in batch if each not in found]:
            known = self._store.get(instance_id)
            has_stopped = instance_id in self._deleting and known is not None and status.all_stopped(known)
            if found or has_stopped:
                self._removed(instance_id)
            else:
                suspects.append(instance_id)
        return suspects

    async def _remove_if_not_found(self, instance_ids: Sequence[str]) -> None:
        """Remove those that the cloud, asked about each by itself, says it does not have.

        Raises what went wrong at one of them, once the others are dealt with.
        """
        few = asyncio.Semaphore(CONCURRENT_ID_CHECKS)

        async def not_found(instance_id: str) -> bool:
            async with few:
                return await self._is_not_found(instance_id)

        answers = await asyncio.gather(*map(not_found, instance_ids), return_exceptions=True)
        for instance_id, answer in zip(instance_ids, answers, strict=True):
            if answer is True:
                self._removed(instance_id)
        _raise_first(answers)

    async def _is_not_found(self, instance_id: str) -> bool:
        instance = self._store.get(instance_id)
        if instance is None:
            return False
        if instance_id in self._deleting:  # a second delete harms nothing, and more of them are allowed
            try:
                return not await self._cloud.delete(instance_id)
            except (CloudRefused, CloudUnavailable):
                pass  # the cloud may say so of what is about to go
        return await self._cloud.is_gone(instance_id, instance.containers[0].name if instance.containers else "")

    def _canary(self, suspects: set[str]) -> str:
        """Some live instance that nobody deletes; where all are being deleted, the newest of those that still run."""
        for instance in self._store:
            live = instance.status in (InstanceStatus.RUNNING, InstanceStatus.PENDING)
            if live and instance.id not in suspects and instance.id not in self._deleting:
                return instance.id
        for instance_id in reversed(self._deleting):
            leaving = self._store.get(instance_id)
            if leaving is not None and not status.all_stopped(leaving):
                return instance_id
        return ""


def _raise_first(answers: Sequence[object]) -> None:
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
