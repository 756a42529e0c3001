"""How to be let in: server, TLS and headers, kept fresh.

Nothing here is ever logged but names of files and fields.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from vk_provider.errors import ConfigError, KubeUnavailable
from vk_provider.kube.kubeconfig import Target, read_target
from vk_provider.kube.proxy import proxy_for
from vk_provider.kube.tls import TlsMaterial, client_context

if TYPE_CHECKING:
    from vk_provider.kube.plugins import PluginUser

log = logging.getLogger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CHECK_S = 60.0  # how old what a file or a plugin gave may be before it is looked at again
_RENEW_AT_MOST_S = 10.0  # a refusal that stays must not start a plugin for every request
_PLUGIN_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """What every request carries. Compared by identity: another object means renewed credentials."""

    server: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)


class Credentials(Protocol):
    async def access(self) -> Access:
        """The present access; cheap when nothing is due. Raises KubeUnavailable when it cannot be renewed."""
        ...

    async def renew(self, refused: Access) -> Access:
        """Read everything anew, because the server said 401 to this one, or one side would not have the other's
        certificate; the same object if there is nothing newer."""
        ...


class FixedAccess:
    """Credentials that never change."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def access(self) -> Access:
        return self._access

    async def renew(self, refused: Access) -> Access:  # noqa: ARG002 (of the protocol)
        return self._access


class _Renewing:
    """Holds one Access, loads it again when it is old or was refused; one load at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._access: Access | None = None
        self._look_again_at = 0.0
        self._renewed_at = float("-inf")
        self._tls: tuple[TlsMaterial, ssl.SSLContext] | None = None

    async def start(self) -> None:
        """The first load. Raises ConfigError, naming file and field."""
        self._access = await self._load(anew=True)

    async def access(self) -> Access:
        if self._access is None or _now() >= self._look_again_at:
            async with self._lock:
                if self._access is None or _now() >= self._look_again_at:
                    self._access = await self._freshened()
        return self._access

    async def renew(self, refused: Access) -> Access:
        async with self._lock:
            if self._access is None or (self._access is refused and _now() >= self._renewed_at + _RENEW_AT_MOST_S):
                self._renewed_at = _now()
                self._access = await self._reload(anew=True)
        return self._access

    async def _load(self, *, anew: bool) -> Access:
        raise NotImplementedError

    async def _freshened(self) -> Access:
        """A newer access, or the present one while a newer cannot be had: the server will say when it is too old."""
        try:
            return await self._reload(anew=False)
        except KubeUnavailable as error:
            if self._access is None:
                raise
            log.warning("%s", error)
            self._look_again_at = _now() + _CHECK_S
            return self._access

    async def _reload(self, *, anew: bool) -> Access:
        try:
            return await self._load(anew=anew)
        except ConfigError as error:
            raise KubeUnavailable(f"credentials cannot be renewed: {error}") from error

    def _context(self, material: TlsMaterial) -> ssl.SSLContext:
        """The same context for the same material, so that renewed tokens keep using the open connections."""
        if self._tls is None or self._tls[0] != material:
            self._tls = (material, client_context(material))
        return self._tls[1]


class KubeconfigCredentials(_Renewing):
    def __init__(self, paths: str, context: str | None, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._paths = paths
        self._context_name = context
        self._environ = environ
        self._target: Target | None = None
        self._plugin: PluginUser | None = None

    async def _load(self, *, anew: bool) -> Access:
        target = self._target
        if anew or target is None or target.names_files:
            found = await asyncio.to_thread(read_target, self._paths, self._context_name)
            if anew or target is None or found.user != target.user:
                self._plugin = _plugin(found)
            self._target = target = found
        authorization, pair = await self._authenticate(target)
        self._look_again_at = _now() + _CHECK_S if self._may_change(target) else float("inf")
        return Access(
            server=target.server,
            headers=(*_header(authorization), *target.impersonate),
            tls=self._tls_for(target, pair) if target.server.startswith("https:") else None,
            server_name=target.server_name,
            proxy=target.proxy or proxy_for(target.server, self._environ),
        )

    async def _authenticate(self, target: Target) -> tuple[str, tuple[bytes, bytes] | None]:
        try:
            if self._plugin is None:
                return await asyncio.to_thread(_written, target.user), None
            async with asyncio.timeout(_PLUGIN_S):
                return await self._plugin.authorization()
        # The loader of plugins calls programs, opens files and parses answers, and lets through whatever these raise.
        except Exception as error:
            text = str(error) or type(error).__name__
            raise ConfigError([f"kubeconfig {target.source}: the user cannot be authenticated: {text}"]) from error

    def _may_change(self, target: Target) -> bool:
        user_may = "tokenFile" in target.user if self._plugin is None else self._plugin.may_change
        return user_may or target.names_files

    def _tls_for(self, target: Target, pair: tuple[bytes, bytes] | None) -> ssl.SSLContext:
        """pair: the certificate and key that an exec plugin gave."""
        material = target.tls if pair is None else replace(target.tls, certificate=pair[0], key=pair[1])
        try:
            return self._context(material)
        except (OSError, ValueError) as error:
            what = f"certificate-authority, client-certificate or client-key cannot be used: {error}"
            raise ConfigError([f"kubeconfig {target.source}: {what}"]) from error


class InClusterCredentials(_Renewing):
    """The ServiceAccount of the pod that we run in. Its token is replaced on disk about hourly."""

    def __init__(self, environ: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> None:
        super().__init__()
        self._environ = environ
        self._directory = directory

    async def _load(self, *, anew: bool) -> Access:  # noqa: ARG002 (both files are always read)
        token, ca = await asyncio.to_thread(self._read)
        self._look_again_at = _now() + _CHECK_S
        try:
            context = self._context(TlsMaterial(ca=ca))
        except (OSError, ValueError) as error:
            raise ConfigError([f"{self._directory / 'ca.crt'}: is no CA certificate: {error}"]) from error
        host = self._environ["KUBERNETES_SERVICE_HOST"]
        server = f"https://{f'[{host}]' if ':' in host else host}:{self._environ['KUBERNETES_SERVICE_PORT']}"
        return Access(
            server=server,
            headers=tuple(_header(f"Bearer {token}")),
            tls=context,
            proxy=proxy_for(server, self._environ),
        )

    def _read(self) -> tuple[str, bytes]:
        """The token and the CA."""
        for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
            if not self._environ.get(name):
                raise ConfigError([f"no kubeconfig is given and this is no pod ({name} is not set): name a kubeconfig"])
        files = self._directory / "token", self._directory / "ca.crt"
        try:
            token, ca = (file.read_bytes() for file in files)
            text = "is empty" if not token.strip() or not ca else ""
        except OSError as error:
            token, ca, text = b"", b"", str(error)
        if text:
            what = f"{text}; is automountServiceAccountToken false?"
            raise ConfigError([f"the ServiceAccount of this pod ({files[0]}, {files[1]}) cannot be used: {what}"])
        return token.decode().strip(), ca


def _plugin(target: Target) -> PluginUser | None:
    """None: all that is to be known of the user stands in the kubeconfig or in a file that it names."""
    if not target.user.keys() & {"exec", "auth-provider"}:
        return None
    from vk_provider.kube.plugins import PluginUser  # large, and few need it

    return PluginUser(target)


def _written(user: Mapping[str, object]) -> str:
    """The header's value of a user whose secrets are given; a token goes before a password. Empty: there is none."""
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = Path(str(user["tokenFile"])).read_text()
    # A file's last line end is not part of a token, and no header may hold it.
    if token.strip():
        return f"Bearer {token.strip()}"
    if "username" in user and "password" in user:
        return "Basic " + base64.b64encode(f"{user['username']}:{user['password']}".encode()).decode()
    return ""


def _header(authorization: str) -> list[tuple[str, str]]:
    return [("Authorization", authorization.strip())] if authorization.strip() else []


def shown(server: str) -> str:
    """A server's URL as it may be logged."""
    url = urlsplit(server)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}{url.path}"


def _now() -> float:
    return asyncio.get_running_loop().time()
