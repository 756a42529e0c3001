"""AvoidanceActions, NodeQOS and PodQOS as they are now. Where a cluster does not serve them, there are none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vk_provider import bounds
from vk_provider.errors import KubeError, NotFound
from vk_provider.idle import qos
from vk_provider.idle.qos import AvoidanceAction, NodeQos, PodRules, Read
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.kube.reflector import Reflector
from vk_provider.kube.store import Store
from vk_provider.model.pod import Json
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

GROUP = "ensurance.crane.io/v1alpha1"
ABSENT_S = 60.0  # between two checks whether a kind is served by now
_READERS: Mapping[str, tuple[str, Callable[[Json], Read[Any]]]] = {
    "avoidanceactions": ("AvoidanceAction", qos.avoidance_action),
    "nodeqoss": ("NodeQOS", qos.node_qos),
    "podqoss": ("PodQOS", qos.pod_qos),
}


class CustomObjects:
    """unsupported: by kind and name of an object, what of it is wrong or not carried out, for people."""

    def __init__(self, client: KubeApi, *, jitter: Callable[[], float]) -> None:
        self._client, self._jitter = client, jitter
        self.unsupported: dict[tuple[str, str], str] = {}
        self._stores = {plural: _store() for plural in _READERS}
        self._values: dict[str, dict[str, Any]] = {plural: {} for plural in _READERS}
        self.pod_rules = PodRules(())
        for plural, store in self._stores.items():
            store.subscribe(partial(self._changed, plural))

    @property
    def actions(self) -> Mapping[str, AvoidanceAction]:
        return self._values["avoidanceactions"]

    @property
    def node_qos(self) -> Sequence[NodeQos]:
        found = sorted(self._values["nodeqoss"].values(), key=lambda each: str(each.name))
        return found[: bounds.MOST_QOS_OBJECTS]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for plural, store in self._stores.items():
                tasks.create_task(self._follow(plural, store), name=plural)

    async def _follow(self, plural: str, store: Store[Json]) -> None:
        path = paths.group(GROUP, plural)
        await until_served(self._client, path, jitter=self._jitter)
        await Reflector(self._client, path, store, jitter=self._jitter).run()

    def _changed(self, plural: str, name: str) -> None:
        found, values = self._stores[plural].get(name), self._values[plural]
        kind, read = _READERS[plural]
        if found is None:
            values.pop(name, None)
            self.unsupported.pop((kind, name), None)
        else:
            result = read(found)
            if result.value is None:
                values.pop(name, None)
            else:
                values[name] = result.value
            self._note(kind, name, (*result.faults, *result.unsupported))
        if plural == "podqoss":
            self.pod_rules = PodRules(values.values())

    def _note(self, kind: str, name: str, lines: Sequence[str]) -> None:
        if not lines:
            self.unsupported.pop((kind, name), None)
            return
        text = f"{kind} {name}: {'; '.join(lines)}"
        if self.unsupported.get((kind, name)) != text:
            log.warning("not carried out: %s", text)
        self.unsupported[kind, name] = text


async def until_served(client: KubeApi, path: str, *, jitter: Callable[[], float]) -> None:
    """Returns once the collection can be read. A kind that is not there is nothing to warn of."""
    served: list[bool] = []

    async def check() -> None:
        try:
            await client.get(path, params={"limit": "1"})
        except NotFound:
            return
        except KubeError as error:
            if error.status == 403:
                log.warning("not allowed to read %s, which goes on as if there were none: %s", path, error)
                return
            raise
        served.append(True)

    async def rest() -> None:
        await asyncio.sleep(ABSENT_S)

    await retry_loop(check, name=path, jitter=jitter, rest=rest, until=lambda: bool(served))


def _store() -> Store[Json]:
    return Store(
        key=lambda item: str(item["metadata"]["name"]),
        version=lambda item: str(item["metadata"].get("resourceVersion") or ""),
    )
