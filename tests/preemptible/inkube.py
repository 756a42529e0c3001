"""The stand-in API server and the provider's client of it in one process and one clock: calls go over no wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fakes.kube.api import Api, ApiError
from fakes.kube.clock import stamp
from fakes.kube.requests import Asked, parse
from fakes.kube.resources import Resource
from vk_provider.errors import KubeError
from vk_provider.kube.api_errors import from_status

Json = dict[str, Any]
_KINDS = {
    "application/strategic-merge-patch+json": "strategic",
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
}


class InKube:
    """KubeClient's methods over an `Api`. calls: how many of each verb and resource."""

    server = "memory"
    in_burst = False

    def __init__(self, api: Api) -> None:
        self._api = api
        self.calls: dict[tuple[str, str], int] = {}

    async def get(self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0) -> Json:
        asked, row = self._asked("GET", path, params or {})
        if asked.name:
            return self._did(lambda: _copy(self._api.snapshot(row.key, asked.name, _space(asked, row)).object))
        query = params or {}

        def listed() -> Json:
            page = self._api.page(
                row.key,
                _space(asked, row),
                label_selector=query.get("labelSelector", ""),
                field_selector=query.get("fieldSelector", ""),
            )
            items = [_copy(each.object) for each in page.items]
            return {"metadata": {"resourceVersion": str(page.revision)}, "items": items}

        return self._did(listed)

    async def post(
        self, path: str, body: Json, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> Json:
        asked, row = self._asked("POST", path, params or {})
        if asked.subresource == "eviction":
            return self._did(lambda: self._evict(asked.name, asked.namespace))
        if asked.subresource == "token":
            expires = stamp(self._api.clock() + timedelta(hours=1))
            return {"status": {"token": "stand-in", "expirationTimestamp": expires}}
        target = row if row.custom is not None else row.key
        return self._did(lambda: _copy(self._api.create(target, body, asked.namespace or None)))

    def _evict(self, name: str, namespace: str) -> Json:
        """As the API server does where no budget speaks against it."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        self._api.patch("pods", name, namespace, {"status": {"conditions": [condition]}}, subresource="status")
        self._api.delete("pods", name, namespace)
        return {"kind": "Status", "status": "Success"}

    async def put(
        self, path: str, body: Json, *, params: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> Json:
        asked, row = self._asked("PUT", path, params or {})
        return self._did(lambda: _copy(self._api.update(row.key, body, subresource=asked.subresource)))

    async def patch(
        self,
        path: str,
        body: Any,
        *,
        content_type: str = "application/strategic-merge-patch+json",
        params: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Json:
        asked, row = self._asked("PATCH", path, params or {})
        target = row if row.custom is not None else row.key
        kind: Any = _KINDS[content_type]
        return self._did(
            lambda: _copy(
                self._api.patch(target, asked.name, _space(asked, row), body, kind=kind, subresource=asked.subresource)
            )
        )

    async def delete(self, path: str, **more: Any) -> Json:
        asked, row = self._asked("DELETE", path, {})
        options = more.get("body") or more
        return self._did(
            lambda: _copy(
                self._api.delete(
                    row.key,
                    asked.name,
                    _space(asked, row),
                    grace_seconds=options.get("gracePeriodSeconds", options.get("grace_s")),
                    uid=(options.get("preconditions") or {}).get("uid") or options.get("uid"),
                )
            )
        )

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Json]]:
        query = params or {}
        asked, row = self._asked("GET", path, {**query, "watch": "true"})
        lasts_s = float(query.get("timeoutSeconds", timeout_s))
        yield self._lines(asked, row, query, lasts_s)

    async def _lines(
        self, asked: Asked, row: Resource, query: Mapping[str, str], lasts_s: float
    ) -> AsyncIterator[Json]:
        watch = self._api.watch(
            row.key,
            _space(asked, row),
            resource_version=query.get("resourceVersion", ""),
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
        )
        try:
            async with asyncio.timeout(lasts_s):
                async for event in watch:
                    yield {"type": event.type, "object": _copy(event.object)}
        except TimeoutError:
            return
        except ApiError as error:
            yield {"type": "ERROR", "object": error.status()}

    def _asked(self, method: str, path: str, query: Mapping[str, str]) -> tuple[Asked, Resource]:
        asked = parse(method, path, query, self._api.catalog.route)
        if asked is None or asked.row is None:
            raise from_status({"code": 404, "reason": "NotFound", "message": f"no such path {path}"}, call=path)
        place = (asked.verb, asked.resource)
        self.calls[place] = self.calls.get(place, 0) + 1
        return asked, asked.row

    def _did(self, act: Any) -> Json:
        try:
            return act()  # type: ignore[no-any-return]
        except ApiError as error:
            raise _known(error) from error


def _known(error: ApiError) -> KubeError:
    return from_status(error.status(), call="stand-in")


def _space(asked: Asked, row: Resource) -> str | None:
    return asked.namespace or None if row.namespaced else None


def _copy(obj: Json) -> Json:
    return json.loads(json.dumps(obj))  # type: ignore[no-any-return]
