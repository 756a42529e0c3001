"""A bare client of the API server: bytes out, bytes in, nothing looked at that need not be."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

STRATEGIC = "application/strategic-merge-patch+json"
AT_ONCE = 32  # of one kind of request, as the provider has it

Json = dict[str, Any]


class Api:
    """The user of a kubeconfig, by its client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            context.load_cert_chain(pair.name)
        self.server: str = cluster["server"]
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def send(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> bytes:
        """Raises RuntimeError for an answer of 300 and above; a DELETE of what is gone is none."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} if data is not None else {}
        async with (
            self._turns,
            self.session.request(method, self.server + path, data=data, headers=headers) as answer,
        ):
            content = await answer.read()
            if answer.status >= 300 and not (method == "DELETE" and answer.status == 404):
                raise RuntimeError(f"{method} {path}: {answer.status} {content[:300].decode(errors='replace')}")
            return content

    async def get(self, path: str) -> Json:
        found: Json = json.loads(await self.send("GET", path))
        return found

    async def all(self, method: str, paths_and_bodies: Iterable[tuple[str, Any]], *, kind: str = "application/json"):
        """Every one of these requests, as many at once as there are turns."""
        async with asyncio.TaskGroup() as tasks:
            for path, body in paths_and_bodies:
                tasks.create_task(self.send(method, path, body, kind=kind))

    async def watch(self, path: str, version: str) -> AsyncIterator[bytes]:
        """Lines as they come, until the server ends the watch."""
        join = "&" if "?" in path else "?"
        url = f"{self.server}{path}{join}watch=true&resourceVersion={version}&timeoutSeconds=3600"
        async with self.session.get(url, read_bufsize=1 << 20) as answer:
            rest = b""
            async for chunk, _ in answer.content.iter_chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
