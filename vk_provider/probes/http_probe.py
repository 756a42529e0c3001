"""A probe by HTTP, as a kubelet makes it. Source: kubernetes pkg/probe/http/http.go."""

from __future__ import annotations

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from vk_provider.model.probe import HttpGet
from vk_provider.probes.results import SUCCESS, ProbeResult, ProbeTarget, host_of

MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpProber:
    """Raises what aiohttp does, and ValueError for a URL that is none."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def probe(self, place: ProbeTarget, get: HttpGet) -> ProbeResult:
        url = URL(f"{get.scheme.lower()}://{host_of(place.ip)}:{get.port}/{get.path.removeprefix('/')}", encoded=True)
        headers = _headers(get)
        for _ in range(MOST_REDIRECTS):
            async with self._client().get(url, headers=headers, allow_redirects=False) as response:
                location = response.headers.get("Location", "")
                if response.status not in _REDIRECTS or not location:
                    if 200 <= response.status < 400:
                        return SUCCESS
                    return ProbeResult(False, f"HTTP probe failed with statuscode: {response.status}")
            target = url.join(URL(location))
            if target.host != url.host:
                return SUCCESS  # as a kubelet: it answers, and whom it points to is not asked
            url = target
        return ProbeResult(False, f"stopped after {MOST_REDIRECTS} redirects")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Certificates of pods are not checked, as a kubelet's are not: the address is all there is to know them by.
            connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session


def _headers(get: HttpGet) -> CIMultiDict[str]:
    """The usual ones, unless the probe says otherwise; an empty Accept or User-Agent means: send none."""
    stated = {name.lower() for name, _ in get.headers}
    usual = {"User-Agent": "kube-probe/vk-provider", "Accept": "*/*"}
    headers = CIMultiDict({name: value for name, value in usual.items() if name.lower() not in stated})
    spelling: dict[str, str] = {}  # one for each name, or the client would keep the last value only
    for name, value in get.headers:
        if value or name.lower() not in ("accept", "user-agent"):
            headers.add(spelling.setdefault(name.lower(), name), value)
    return headers
