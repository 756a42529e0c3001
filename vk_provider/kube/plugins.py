"""Users whose token comes from a program or an identity provider: done by kubernetes_asyncio's loader.

Imported for such users only: that library brings a class for every kind of Kubernetes, 37 MB that nobody else needs.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config.kube_config import KubeConfigLoader

from vk_provider.kube.kubeconfig import Target


class PluginUser:
    """One such user, remembered between two questions so that nobody is asked before a token has expired."""

    def __init__(self, target: Target) -> None:
        self._is_program = "exec" in target.user
        self._loader = KubeConfigLoader(_only(target), active_context="it", config_base_path="")

    async def authorization(self) -> tuple[str, tuple[bytes, bytes] | None]:
        """The header's value, empty if there is none; and the certificate and key that a program gave.

        Raises whatever the loader lets through of what plugins, files and answers raise.
        """
        settings = Configuration()
        await self._loader.load_and_set(settings)
        token = str(settings.api_key.get("BearerToken") or "")
        if not settings.cert_file:
            return token, None
        return token, await asyncio.to_thread(_pair, Path(settings.cert_file), Path(str(settings.key_file)))

    @property
    def may_change(self) -> bool:
        """A program that names no expiry is asked again on a 401 only, as kubectl does."""
        return not self._is_program or hasattr(self._loader, "exec_plugin_expiry")


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    return certificate.read_bytes(), key.read_bytes()


def _only(target: Target) -> dict[str, object]:
    """The one context that the loader is to see. It gets no TLS fields: it would leave keys in files."""
    return {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": target.server}}],
        "users": [{"name": "it", "user": dict(target.user)}],
    }
