"""Watches the one ConfigMap that says where instances go, in the form of the cloud, and puts its word on pods.

A profile that is wrong changes nothing: the last good one stays in force, and an event on the Node says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from vk_provider.errors import KubeError, NotFound, PodNotReady
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.translate.profile import BadProfile, ParseProfile, Profile

Json = dict[str, Any]
Tell = Callable[[str, str, str], None]  # type, reason and message of an event on our Node
log = logging.getLogger(__name__)

FRESH_S = 10.0  # how old a namespace's labels may be
MOST_NAMESPACES = 512
PATIENCE_S = 10.0  # how long pods wait for the first read of it; a profile that may not be read must not stop them


class ProfileWatcher:
    """Without the ConfigMap there is nothing to add. An `Admission`, as `PodController` takes one."""

    def __init__(self, client: KubeApi, namespace: str, name: str, *, parse: ParseProfile, tell: Tell) -> None:
        """parse: reads what the ConfigMap holds."""
        self._parse = parse
        self._client = client
        self._name = f"{namespace}/{name}"
        self._tell = tell
        self._store: Store[Json] = Store(
            key=lambda item: str(item["metadata"]["name"]),
            version=lambda item: str(item["metadata"].get("resourceVersion") or ""),
        )
        self._store.subscribe(lambda _: self._changed())
        self._reflector = Reflector(
            client,
            paths.core("configmaps", namespace=namespace),
            self._store,
            params={"fieldSelector": f"metadata.name={name}"},
        )
        self._key = name
        self._profile: Profile = parse({})
        self._namespaces: OrderedDict[str, tuple[float, Mapping[str, str]]] = OrderedDict()
        self._waited = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def current(self) -> Profile:
        return self._profile

    def on_change(self, call: Callable[[], None]) -> None:
        """It is called whenever another profile has been taken."""
        self._listeners.append(call)

    async def known(self, within_s: float = PATIENCE_S) -> bool:
        """Waits until it has been looked for once; false where that did not come to pass in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._store.ready.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        await self._reflector.run()

    def view(self, pod: Json) -> Json | None:
        """The pod as the profile wants it; None as long as the profile or the pod's namespace is not known."""
        if not self._waited and not self._store.ready.is_set():
            return None
        if self._profile.is_empty:
            return pod
        if not self._profile.needs_namespaces:
            return self._profile.apply(pod, {})
        known = self._namespaces.get(str(pod["metadata"]["namespace"]))
        if known is None or known[0] <= asyncio.get_running_loop().time():
            return None
        return self._profile.apply(pod, known[1])

    async def fetch(self, pod: Json) -> None:
        """Raises PodNotReady when the pod's namespace has to be looked at and cannot be."""
        await self.admit(pod)

    async def admit(self, pod: Json) -> Json:
        """What `view` gives, waiting for what it needs. Raises PodNotReady as `fetch`."""
        if not self._waited:
            if not await self.known():
                log.warning("profile %s cannot be read, pods go on without it", self._name)
            self._waited = True
        if self._profile.is_empty:
            return pod
        labels: Mapping[str, str] = {}
        if self._profile.needs_namespaces:
            labels = await self._labels_of(str(pod["metadata"]["namespace"]))
        return self._profile.apply(pod, labels)

    def _changed(self) -> None:
        found = self._store.get(self._key)
        try:
            profile = _parsed(found, self._parse)
        except BadProfile as error:
            log.warning("profile %s is wrong, the last good one goes on: %s", self._name, error)
            self._tell("Warning", "ProfileRejected", f"ConfigMap {self._name}: {error}; the last good one goes on")
            return
        if profile == self._profile:
            return
        self._profile = profile
        log.info("profile %s taken %s", self._name, profile.summary)
        for call in self._listeners:
            call()
        if profile.unheeded:
            names = ", ".join(profile.unheeded)
            self._tell("Warning", "ProfileUnheeded", f"ConfigMap {self._name}: no effect here: {names}")

    async def _labels_of(self, namespace: str) -> Mapping[str, str]:
        now = asyncio.get_running_loop().time()
        known = self._namespaces.get(namespace)
        if known is not None and known[0] > now:
            return known[1]
        try:
            found = await self._client.get(paths.core("namespaces", name=namespace))
        except NotFound:
            found = {}
        except KubeError as error:
            raise PodNotReady(
                f"cannot read namespace {namespace}, which {self._name} selects by: {error}",
                event_reason="FailedCreatePodSandBox",
                waiting_reason="ContainerCreating",
            ) from error
        labels = (found.get("metadata") or {}).get("labels") or {}  # the client has seen to it that it is a map
        self._namespaces.pop(namespace, None)
        self._namespaces[namespace] = (now + FRESH_S, labels)
        while len(self._namespaces) > MOST_NAMESPACES:
            self._namespaces.popitem(last=False)
        return labels


def _parsed(found: Json | None, parse: ParseProfile) -> Profile:
    """Raises BadProfile, whatever it is that stands there."""
    try:
        return parse((found or {}).get("data") or {})
    except BadProfile:
        raise
    except Exception as error:
        log.exception("a profile that nobody foresaw")
        raise BadProfile(f"it cannot be read ({type(error).__name__})") from error
