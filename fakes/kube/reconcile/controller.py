"""The loop every queue-driven controller shares: one key, one reconcile, one of two outcomes (done, or retry later)."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from fakes.kube.api import ApiError
from fakes.kube.reads import Json, Key
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.informer import Informer
from fakes.kube.reconcile.queue import KeyedQueue

log = logging.getLogger(__name__)


class Again(Exception):
    """Raised by a reconcile that did what it could and wants another go, with back-off."""


class Controller(ABC):
    """Level-triggered: an event only says which key to look at again.

    A reconcile is synchronous, so no other part of the process acts between what it reads and what it writes.
    """

    name: str

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.queue: KeyedQueue[Key] = KeyedQueue()

    @abstractmethod
    def reconcile(self, key: Key) -> None:
        """Look at the object anew and act. Again or an ApiError means: once more, later."""

    @abstractmethod
    def needs(self) -> Iterable[Informer]:
        """The informers that must have listed before the first reconcile."""

    async def run(self) -> None:
        """Reconcile until cancelled."""
        for informer in self.needs():
            await informer.ready.wait()
        try:
            while True:
                key = await self.queue.get()
                self._once(key)
                self.queue.done(key)
                await asyncio.sleep(0)
        finally:
            self.queue.close()

    def event(self, obj: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Write an Event about `obj`, which must carry its apiVersion and kind."""
        self.cluster.api.record_event(
            obj, type="Warning" if warning else "Normal", reason=reason, message=message, component=self.name
        )

    def _once(self, key: Key) -> None:
        try:
            self.reconcile(key)
        except Again:
            self.queue.retry(key)
        except ApiError as error:
            if error.code != 409:
                log.warning("%s retries key=%s/%s error=%s", self.name, *key, error.message)
            self.queue.retry(key)
        except Exception:
            log.exception("%s fails key=%s/%s", self.name, *key)
            self.queue.retry(key)
        else:
            self.queue.forget(key)
