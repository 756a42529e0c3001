"""What has to be known of the cluster before a node can be served, and how this host reaches it."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import urlsplit

from vk_provider.errors import ConfigError, KubeError
from vk_provider.health import Fault, Health
from vk_provider.kube import paths
from vk_provider.kube.api import KubeApi
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

SYSTEM_NAMESPACE = "kube-system"
REFUSED_S = 20.0  # after which a right that is missing counts as never given
WAITING = Backoff(first_s=2.0, most_s=2.0, spread=0.0)
_NO_API_SERVER = (
    "waiting for the API server at %s, which does not answer: %s; if this stays, see that it runs, that this host can"
    " reach it, and that --kubeconfig (with --kube-context) names the right one"
)


async def cluster_uid(api: KubeApi) -> str:
    """By which the cluster's instances are known: the uid of its namespace kube-system, which no other cluster has.

    Waits for it as long as it takes, for without it nothing in the cloud can be told to be ours. Raises ConfigError
    where the API server does not let us read it; one that has just started may refuse at first what it allows later.
    """
    loop, repeats, found = asyncio.get_running_loop(), ThrottledLog(log), list[str]()
    began = loop.time()

    async def read() -> None:
        try:
            answer = await api.get(paths.namespace(SYSTEM_NAMESPACE))
        except KubeError as error:
            if error.status == 401:
                raise _unknown_to(api, error) from error
            if error.status == 403 and loop.time() - began >= REFUSED_S:
                raise ConfigError(
                    [f"the ServiceAccount or user may not get the namespace {SYSTEM_NAMESPACE}: {error}; allow it"]
                ) from error
            raise
        meta = answer.get("metadata")
        uid = meta.get("uid") if isinstance(meta, dict) else None
        if not isinstance(uid, str) or not uid:
            raise KubeError(f"the namespace {SYSTEM_NAMESPACE} has no uid")
        found.append(uid)

    def failed(error: Exception, _: float) -> None:
        repeats.warning((type(error), getattr(error, "status", 0)), _NO_API_SERVER, api.server, error)

    await retry_loop(read, name="cluster", backoff=WAITING, on_failure=failed, until=lambda: bool(found))
    log.info("cluster uid=%s", found[0])
    return found[0]


class ClusterIdentity:
    """The cluster's uid, once it is read; until then, and from the first moment on, that is why we are not ready."""

    def __init__(self, health: Health) -> None:
        self._began_s = asyncio.get_running_loop().time()
        self._is_known = False
        health.add("cluster", self._fault)

    async def read(self, api: KubeApi) -> str:
        """As `cluster_uid`."""
        uid = await cluster_uid(api)
        self._is_known = True
        return uid

    def _fault(self) -> Fault | None:
        if self._is_known:
            return None
        waited_s = asyncio.get_running_loop().time() - self._began_s
        return Fault("ClusterUnknown", "the API server has not named its cluster yet", waited_s)


async def server_version(api: KubeApi) -> str:
    """The API server's version; waits for it as long as it takes. Raises ConfigError where it does not know us."""
    found: list[str] = []
    repeats = ThrottledLog(log)

    async def read() -> None:
        try:
            found.append(str((await api.get(paths.VERSION)).get("gitVersion") or ""))
        except KubeError as error:
            if error.status in (401, 403):
                raise _unknown_to(api, error) from error
            raise

    def failed(error: Exception, _: float) -> None:
        repeats.warning((type(error), getattr(error, "status", 0)), _NO_API_SERVER, api.server, error)

    await retry_loop(read, name="version", backoff=WAITING, on_failure=failed, until=lambda: bool(found))
    return found[0]


def own_address(server: str) -> str:
    """The address from which this host reaches the API server; nothing is sent. Raises ConfigError."""
    parts = urlsplit(server)
    host = parts.hostname or "localhost"
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError([f"--node-ip: this host's address toward {host} cannot be told ({error}); set it"]) from error


def _unknown_to(api: KubeApi, error: KubeError) -> ConfigError:
    return ConfigError([f"the API server at {api.server} does not know us: {error}; check the kubeconfig"])
