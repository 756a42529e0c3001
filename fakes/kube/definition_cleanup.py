"""Emptying CustomResourceDefinitions being deleted: their objects go first."""

import asyncio
import contextlib
from typing import Any

from fakes.kube.api import Api, ApiError
from fakes.kube.definitions import FINALIZER, KEY
from fakes.kube.following import changes

Json = dict[str, Any]

_RETRY_S = 1.0


async def run_definitions(api: Api) -> None:
    """Finish the definitions being deleted, until cancelled. What is held by a finalizer is looked at again."""
    news = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_tell(api, news))
        while True:
            news.clear()  # before looking, so that no change falls between
            doomed = [item for item in api.list(KEY)[0] if item["metadata"].get("deletionTimestamp")]
            waiting = [item for item in doomed if not _empty(api, item)]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S if waiting else None):
                    await news.wait()


async def _tell(api: Api, news: asyncio.Event) -> None:
    async for _ in changes(api, KEY):
        news.set()


def _empty(api: Api, definition: Json) -> bool:
    """Delete every object of the definition, and the definition itself once none is left. Whether it is gone."""
    meta = definition["metadata"]
    name = meta["name"]
    if api.catalog.get(name) is not None:  # else it was never served
        for item in api.list(name)[0]:
            with contextlib.suppress(ApiError):
                if not item["metadata"].get("deletionTimestamp"):
                    api.delete(name, item["metadata"]["name"], item["metadata"].get("namespace"))
        if api.list(name)[0]:
            return False
    kept = [one for one in meta.get("finalizers") or () if one != FINALIZER]
    with contextlib.suppress(ApiError):
        api.patch(KEY, name, None, {"metadata": {"finalizers": kept or None, "uid": meta["uid"]}}, kind="merge")
    return not kept
