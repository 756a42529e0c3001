"""Reads the use of the node from its kubelet, with the credentials that the API server takes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from vk_provider import bodies, jsontext
from vk_provider.errors import KubeError, KubeUnavailable, NotFound
from vk_provider.kube.credentials import Credentials
from vk_provider.qos_agent.readings import RESOURCE_PATH, SUMMARY_PATH, Reading, from_resource_metrics, from_summary

MOST_PAGE = 16 * 2**20  # bytes: 1,000 pods of 10 containers have 5 MiB
TIMEOUT_S = 4.0


class KubeletClient:
    """url: `https://address:port`, empty while it is not known. verifies: the certificate, by the API server's CA."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        url: Callable[[], str],
        verifies: bool,
        user_agent: str,
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._url = url
        self._verifies = verifies
        self._clock = clock
        self._has_resource_page = True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2),
            headers={"User-Agent": user_agent, "Accept-Encoding": bodies.ACCEPTED},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._session.close()

    async def read(self) -> Reading:
        """Raises KubeError; what the kubelet says is believed only whole."""
        if self._has_resource_page:
            try:
                page = await self._get(RESOURCE_PATH)
                return from_resource_metrics(page.decode(errors="replace"), at_s=self._clock())
            except NotFound:
                self._has_resource_page = False  # before Kubernetes 1.18
            except ValueError as error:
                raise KubeUnavailable(f"{RESOURCE_PATH}: {error}") from error
        try:
            document = jsontext.loads(await self._get(SUMMARY_PATH, {"only_cpu_and_memory": "true"}))
            return from_summary(document, at_s=self._clock())
        except ValueError as error:
            raise KubeUnavailable(f"{SUMMARY_PATH}: {error}") from error

    async def _get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        url = self._url()
        if not url:
            raise KubeUnavailable("the Node does not say where its kubelet is")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._request(url + path, path, params)
        except TimeoutError as error:
            raise KubeUnavailable(f"the kubelet's {path}: no answer in time") from error
        except (aiohttp.ClientError, OSError, bodies.Overlong, bodies.Unreadable) as error:
            raise KubeUnavailable(f"the kubelet's {path}: {error}") from error

    async def _request(self, url: str, path: str, params: Mapping[str, str] | None) -> bytes:
        access = await self._credentials.access()
        is_secure = url.startswith("https:")
        verified: ssl.SSLContext | bool = access.tls if access.tls is not None else True
        options: dict[str, Any] = {"ssl": verified if self._verifies else False} if is_secure else {}
        headers = dict(access.headers) if is_secure else {}  # a token never goes out in the clear
        async with self._session.get(url, params=params, headers=headers, allow_redirects=False, **options) as response:
            body = await bodies.read(response, MOST_PAGE)
        if response.status == 401:
            await self._credentials.renew(access)
        if response.status == 404:
            raise NotFound(f"the kubelet has no {path}", status=404)
        if response.status != 200:
            raise KubeError(f"the kubelet answered {path} with {response.status}", status=response.status)
        return body
