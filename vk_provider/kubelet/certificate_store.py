"""Serving certificates in a Secret, so that nobody has to approve one again when the provider restarts or moves.

An entry for each node and the addresses that it was made out to: replicas on other hosts have other addresses, and none
takes another's away. Entries are written one by one (merge patch), so that replicas do not undo each other's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vk_provider.errors import KubeError, KubeUnavailable, NotFound
from vk_provider.kube import paths
from vk_provider.kube.api import MERGE, KubeApi
from vk_provider.kubelet import csr
from vk_provider.kubelet.certificates import KeyPair

log = logging.getLogger(__name__)

Json = dict[str, Any]
MOST = 8  # entries of one node; those that end first go


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of ours. addresses: those it is made out to."""

    pair: KeyPair
    since: datetime
    until: datetime
    addresses: tuple[str, ...]


class CertificateStore:
    """secret: `namespace/name`. clock: for the life of certificates."""

    def __init__(
        self, client: KubeApi, secret: str, node: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._namespace, _, self._name = secret.partition("/")
        self._node = node
        self._clock = clock

    async def load(self, addresses: Sequence[str]) -> Issued | None:
        """One that is valid now and made out to these addresses. None: there is none that could be used.

        Raises KubeUnavailable.
        """
        wanted = tuple(addresses)
        data = await self._data()
        try:
            certificate, key = data[f"{self._entry(wanted)}.crt"], data[f"{self._entry(wanted)}.key"]
            found = _issued(certificate, key)
        except (KeyError, ValueError, TypeError) as error:
            log.info("no serving certificate of node=%s to go on with: %s", self._node, type(error).__name__)
            return None
        is_usable = found.addresses == _ordered(wanted) and found.since <= self._clock() < found.until
        return Issued(found.pair, found.since, found.until, wanted) if is_usable else None

    async def save(self, issued: Issued) -> None:
        """What cannot be written is said in the log: it is asked for again after a restart, that is all."""
        entry = self._entry(issued.addresses)
        try:
            removed = dict.fromkeys(self._outlived(await self._data(), keep=entry))
            data = removed | {f"{entry}.crt": _text(issued.pair.certificate), f"{entry}.key": _text(issued.pair.key)}
            try:
                await self._client.patch(paths.secret(self._namespace, self._name), {"data": data}, content_type=MERGE)
            except NotFound:
                kept = {key: value for key, value in data.items() if value is not None}
                metadata = {"name": self._name, "namespace": self._namespace}
                body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": kept}
                await self._client.post(paths.core("secrets", namespace=self._namespace), body)
        except KubeError as error:
            log.warning("the serving certificate is not kept in secret=%s/%s: %s", self._namespace, self._name, error)

    async def _data(self) -> Json:
        try:
            found = await self._client.get(paths.secret(self._namespace, self._name))
        except KubeUnavailable:
            raise
        except KubeError as error:
            if not isinstance(error, NotFound):
                log.warning("cannot read secret=%s/%s: %s", self._namespace, self._name, error)
            return {}
        data = found.get("data")
        return data if isinstance(data, dict) else {}

    def _entry(self, addresses: Sequence[str]) -> str:
        """In the name of the keys: the node for people, a digest for where it is."""
        digest = hashlib.sha256("\0".join(_ordered(addresses)).encode()).hexdigest()
        return f"{self._node}.{digest[:12]}"

    def _outlived(self, data: Json, *, keep: str) -> list[str]:
        """Keys of this node's entries that are of no use any more, or are too many."""
        ends: dict[str, float] = {}
        for key, value in data.items():
            entry, _, kind = key.rpartition(".")
            if kind == "crt" and entry.rpartition(".")[0] == self._node and entry != keep:
                try:
                    ends[entry] = x509.load_pem_x509_certificate(_bytes(value)).not_valid_after_utc.timestamp()
                except (ValueError, TypeError):
                    ends[entry] = 0.0
        now = self._clock().timestamp()
        latest = sorted(ends, key=ends.__getitem__, reverse=True)
        gone = [entry for place, entry in enumerate(latest) if ends[entry] <= now or place >= MOST - 1]
        return [f"{entry}.{kind}" for entry in gone for kind in ("crt", "key")]


def _issued(certificate: Any, key: Any) -> Issued:
    """Raises ValueError, TypeError."""
    pair = KeyPair(_bytes(certificate), _bytes(key))
    private = serialization.load_pem_private_key(pair.key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("it is no key of ours")
    since, until = csr.lifetime(pair.certificate, private)
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise ValueError("it names no address") from error
    hosts = names.get_values_for_type(x509.DNSName)
    own = [*map(str, names.get_values_for_type(x509.IPAddress)), *hosts]
    return Issued(pair, since, until, _ordered(own))


def _ordered(addresses: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(map(_plain, addresses)))


def _plain(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
