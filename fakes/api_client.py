"""A small client of the Kubernetes API for the demo, which has to work where there is no kubectl."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from fakes.processes import Child, ChildFailed

Json = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class ApiRefused(Exception):
    """The API server said no. code: HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


class ApiClient:
    """Plain JSON in and out, with the client certificate of a kubeconfig."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self._server = server
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        return cls(*cls.access(path))

    @staticmethod
    def access(path: Path) -> tuple[str, ssl.SSLContext]:
        """The server's URL, and what proves to it who we are."""
        config = yaml.safe_load(path.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        )
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]))
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return str(cluster["server"]), context

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, *, accept: str = "application/json", **params: str) -> Json:
        return await self._call("GET", path, accept=accept, params=params)

    async def create(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, body=body)

    async def delete(self, path: str, **params: str) -> Json:
        return await self._call("DELETE", path, params=params)

    async def table(self, path: str, **params: str) -> Json:
        return await self.get(path, accept=TABLE, **params)

    async def text(self, path: str, **params: str) -> str:
        async with self._session.get(self._server + path, params=params) as answer:
            body = await answer.text()
            if answer.status >= 400:
                raise ApiRefused(answer.status, _message(body))
            return body

    async def _call(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> Json:
        async with self._session.request(
            method, self._server + path, params=params, json=body, headers={"Accept": accept}
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise ApiRefused(answer.status, _message(text))
            parsed: Json = json.loads(text)
            return parsed

    async def looks(
        self, path: str, *, every_s: float = 0.3, within_s: float, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[Json]:
        """The object again and again until the time is up; absent objects are passed over."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            try:
                yield await self._call("GET", path, params=params)
            except ApiRefused as refused:
                if refused.code != 404:
                    raise
            await asyncio.sleep(every_s)

    async def wait_for(
        self,
        path: str,
        holds: Callable[[Json], bool],
        *,
        within_s: float,
        alive: Child | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """The object once `holds` is true of it. Raises ChildFailed when `alive` ends first, TimeoutError when late."""
        seen: Json | None = None
        async for seen in self.looks(path, within_s=within_s, params=params):
            if holds(seen):
                return seen
            if alive is not None and alive.ended is not None:
                break
        if alive is not None and alive.ended is not None:
            raise ChildFailed(f"{alive.name} ended with code {alive.ended}:\n{alive.tail()}")
        raise TimeoutError(f"{path} was not as expected within {within_s:g} s; it is {_brief(seen)}")


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.strip()


def _brief(seen: Json | None) -> str:
    if seen is None:
        return "not there"
    return json.dumps(seen.get("status", seen))[:400]
