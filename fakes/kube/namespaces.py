"""The namespace controller: what every namespace has from birth, and its emptying before death."""

import asyncio
import contextlib
import logging

from fakes.kube.api import Api, ApiError
from fakes.kube.following import changes

_log = logging.getLogger(__name__)

_RETRY_S = 1.0


async def run_namespaces(api: Api, *, root_ca: str) -> None:
    """Keep namespaces furnished and finish those being deleted, until cancelled. root_ca: PEM."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_furnish_all(api, root_ca))
        group.create_task(_restore(api, "serviceaccounts", "default", root_ca))
        group.create_task(_restore(api, "configmaps", "kube-root-ca.crt", root_ca))
        group.create_task(_finish_all(api))


def furnish(api: Api, namespace: str, root_ca: str) -> None:
    """Give a namespace its default ServiceAccount and the cluster's root certificate, if it lacks them."""
    wanted = (
        ("serviceaccounts", {"metadata": {"name": "default"}}),
        ("configmaps", {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": root_ca}}),
    )
    for resource, obj in wanted:
        if api.store.get(resource, namespace, obj["metadata"]["name"]) is None:
            with contextlib.suppress(ApiError):  # the namespace may be going at this very moment
                api.create(resource, obj, namespace)


async def _furnish_all(api: Api, root_ca: str) -> None:
    async for event in changes(api, "namespaces"):
        if event.type == "ADDED":
            furnish(api, event.object["metadata"]["name"], root_ca)


async def _restore(api: Api, resource: str, name: str, root_ca: str) -> None:
    """Bring back what somebody deleted from a namespace that lives on."""
    async for event in changes(api, resource, field_selector=f"metadata.name={name}"):
        if event.type == "DELETED":
            furnish(api, event.object["metadata"]["namespace"], root_ca)


async def _finish_all(api: Api) -> None:
    """Empty namespaces being deleted. What is left, a pod in its grace period or a finalizer, is looked at again."""
    news = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_tell(api, news))
        await _finish(api, news)


async def _tell(api: Api, news: asyncio.Event) -> None:
    async for _ in changes(api, "namespaces"):
        news.set()


async def _finish(api: Api, news: asyncio.Event) -> None:
    while True:
        news.clear()  # before looking, so that no change falls between
        doomed = [
            item.object for item in api.page("namespaces").items if item.object["metadata"].get("deletionTimestamp")
        ]
        waiting = sum(0 if empty(api, item["metadata"]["name"]) else 1 for item in doomed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_S if waiting else None):
                await news.wait()


def empty(api: Api, name: str) -> bool:
    """Delete everything in a namespace, and the namespace itself once nothing is left. Whether it is gone."""
    left = 0
    for row in api.catalog.stored():
        if not row.namespaced:
            continue
        for item in api.page(row.key, name).items:
            meta = item.object["metadata"]
            with contextlib.suppress(ApiError):
                if not meta.get("deletionTimestamp"):
                    api.delete(row.key, meta["name"], name, propagation="Background")
        left += len(api.page(row.key, name).items)
    if left:
        return False
    old = api.get("namespaces", name)
    spec = {**old["spec"], "finalizers": []}
    api.update("namespaces", {**old, "spec": spec}, subresource="finalize")
    _log.info("namespace gone name=%s", name)
    return True
