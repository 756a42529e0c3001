"""The history of the regular load in a ConfigMap, so that a restart and a new leader forecast at once."""

from __future__ import annotations

import logging

from vk_provider.errors import NotFound
from vk_provider.idle.history import History
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi

log = logging.getLogger(__name__)

KEY = "regular-vcpu"


async def load(client: KubeApi, place: str) -> History:
    """place: `namespace/name`, empty = nothing is kept. One that cannot be read begins anew. Raises KubeError."""
    namespace, _, name = place.partition("/")
    if not name:
        return History()
    try:
        found = await client.get(paths.config_map(namespace, name))
    except NotFound:
        return History()
    try:
        return History.decode(str((found.get("data") or {}).get(KEY) or ""))
    except ValueError as error:
        log.warning("the history of the load in ConfigMap %s cannot be used and begins anew: %s", place, error)
        return History()


async def keep(client: KubeApi, place: str, history: History) -> None:
    """Raises KubeError."""
    namespace, _, name = place.partition("/")
    if not name:
        return
    data = {KEY: history.encode()}
    try:
        await client.patch(paths.config_map(namespace, name), {"data": data})
    except NotFound:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": data,
        }
        await client.post(paths.core("configmaps", namespace=namespace), body)
