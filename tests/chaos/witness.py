"""Who saw it all: a watch of its own on pods and events, past the proxy, that keeps what each of them ever was."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

Json = dict[str, Any]


class Witness:
    """The statuses of each pod by uid, oldest first; the events of the namespace as they stand."""

    def __init__(self, server: str, tls: ssl.SSLContext, namespace: str) -> None:
        self._server = server
        self._tls = tls
        self._namespace = namespace
        self.statuses: dict[str, list[Json]] = {}
        self.names: dict[str, str] = {}
        self.deleting: set[str] = set()
        self.gone: set[str] = set()
        self.events: dict[str, Json] = {}
        self.bound_s: dict[str, float] = {}  # by name, when it was first seen so
        self.running_s: dict[str, float] = {}

    def start_s(self, name: str) -> float:
        """From bound to Running; who never ran takes for ever."""
        return self.running_s.get(name, math.inf) - self.bound_s.get(name, 0.0)

    async def run(self) -> None:
        """Watch until cancelled; what is missed while the server is away is only what nobody else saw either."""
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls), timeout=aiohttp.ClientTimeout(total=None)
            ) as self._session,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._follow("pods", self._take_pod))
            tasks.create_task(self._follow("events", self._take_event))

    async def _follow(self, plural: str, take: Any) -> None:
        url = f"{self._server}/api/v1/namespaces/{self._namespace}/{plural}"
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list(url, take)
                version = await self._watch(url, version, take)
            except (aiohttp.ClientError, OSError, ValueError):
                await asyncio.sleep(0.3)

    async def _list(self, url: str, take: Any) -> str:
        async with self._session.get(url) as answer:
            answer.raise_for_status()
            listed = await answer.json()
        for item in listed["items"]:
            take("ADDED", item)
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, url: str, version: str, take: Any) -> str:
        params = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with self._session.get(url, params=params) as answer:
            if answer.status == 410:
                return ""
            answer.raise_for_status()
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    happened = json.loads(line)
                    if happened["type"] == "ERROR":
                        return ""
                    version = str(happened["object"]["metadata"]["resourceVersion"])
                    if happened["type"] != "BOOKMARK":
                        take(happened["type"], happened["object"])
        return version

    def _take_pod(self, kind: str, pod: Json) -> None:
        metadata: Mapping[str, Any] = pod["metadata"]
        uid = metadata["uid"]
        self.names[uid] = metadata["name"]
        if pod["spec"].get("nodeName"):
            self.bound_s.setdefault(metadata["name"], time.monotonic())
        if pod["status"].get("phase") == "Running":
            self.running_s.setdefault(metadata["name"], time.monotonic())
        if metadata.get("deletionTimestamp"):
            self.deleting.add(uid)
        if kind == "DELETED":
            self.gone.add(uid)
        history = self.statuses.setdefault(uid, [])
        if not history or history[-1] != pod["status"]:
            history.append(pod["status"])

    def _take_event(self, kind: str, event: Json) -> None:
        if kind != "DELETED":
            self.events[event["metadata"]["name"]] = event
