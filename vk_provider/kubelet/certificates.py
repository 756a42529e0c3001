"""What this API shows in the TLS handshake, and whose client certificates it takes; both may change while it serves.

`ServingTls.context` is one object for the server's whole life. Each new connection is given the newest settings behind
it, a connection that stands keeps its own, so a rotation breaks no stream. TLS 1.2 or newer, HTTP/1.1 only.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from vk_provider.errors import ConfigError, ProviderError
from vk_provider.kubelet.csr import general_name, key_pem, new_key
from vk_provider.kubelet.tls_context import ServerConnection, server_context
from vk_provider.retry_loop import retry_loop

log = logging.getLogger(__name__)

SELF_SIGNED_LIFETIME = timedelta(days=365)
REFRESH_S = 30.0
FETCH_TIMEOUT_S = 10.0
_PEM_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and its key, both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


KeyPairSource = Callable[[], KeyPair]  # may read files; raises OSError
ClientCaSource = Callable[[], Awaitable[str]]  # PEM text, empty = there is none; may raise OSError or a ProviderError


def key_pair_files(certificate: Path, key: Path) -> KeyPairSource:
    """Read again at each refresh, so that what writes the files (cert-manager, a Secret volume) rotates us."""
    return lambda: KeyPair(certificate.read_bytes(), key.read_bytes())


def client_ca_file(path: Path) -> ClientCaSource:
    async def read() -> str:
        return await asyncio.to_thread(path.read_text)

    return read


async def no_client_ca() -> str:
    return ""


def self_signed(
    node_name: str,
    addresses: Sequence[str],
    *,
    remedy: str = "give certificate files to end this",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> KeyPairSource:
    """A last resort: encrypted, but nobody can tell that it is us. Names the node and its addresses (A10).

    Made anew when four fifths of its life are over; the key never leaves the memory. remedy: for the log.
    """
    log.warning(
        "serving with a self-signed certificate for %s: an API server with --kubelet-certificate-authority will refuse "
        "logs and exec, metrics-server needs --kubelet-insecure-tls; %s",
        ", ".join([node_name, *addresses]),
        remedy,
    )
    made_at = now()
    pair = _make_self_signed(node_name, addresses, made_at)

    def current() -> KeyPair:
        nonlocal made_at, pair
        if now() > made_at + SELF_SIGNED_LIFETIME * 0.8:
            made_at = now()
            pair = _make_self_signed(node_name, addresses, made_at)
        return pair

    return current


def _make_self_signed(node_name: str, addresses: Sequence[str], now: datetime) -> KeyPair:
    key = new_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            # 64 characters is all that X.509 allows here; the whole name stands among the SANs.
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node_name}"[:64]),
        ]
    )
    names: list[x509.GeneralName] = [x509.DNSName(node_name), *map(general_name, addresses)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + SELF_SIGNED_LIFETIME)
        .add_extension(x509.SubjectAlternativeName(list(dict.fromkeys(names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))


@dataclass(frozen=True, slots=True)
class _Settings:
    """One generation of settings. issuers: the client CAs that it verifies against, as PEM blocks."""

    context: SSL.Context
    issuers: frozenset[str]


class _Connection(ServerConnection):
    """settings: what it was made under."""

    def __init__(self, settings: _Settings, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        super().__init__(settings.context, incoming, outgoing)
        self.settings = settings


class _Newest(ssl.SSLContext):
    """Looks like a context to asyncio, and hands every new connection over to the newest generation.

    Loading a certificate into a context that is in use would do for ours, but a client CA can never be taken out again.
    """

    newest: _Settings | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: ARG002 -- it always is
        server_hostname: str | bytes | None = None,  # noqa: ARG002 -- is for clients
        session: ssl.SSLSession | None = None,  # noqa: ARG002 -- likewise
    ) -> ssl.SSLObject:
        if self.newest is None:
            raise ssl.SSLError("no certificate is loaded yet")
        return cast("ssl.SSLObject", _Connection(self.newest, incoming, outgoing))  # in all that asyncio asks of it


class ServingTls:
    """The TLS side of one server. Of no use before the first `refresh`; `run` keeps it fresh afterwards."""

    def __init__(self, key_pair: KeyPairSource, client_ca: ClientCaSource = no_client_ca) -> None:
        self.context: ssl.SSLContext = (newest := _Newest(ssl.PROTOCOL_TLS_SERVER))
        self._newest = newest
        self._read_key_pair = key_pair
        self._read_client_ca = client_ca
        self._loaded: tuple[KeyPair, str] | None = None
        self._look_now = asyncio.Event()

    def trusts(self, connection: object) -> bool:
        """Whether the client certificate of a standing connection would be verified today as well.

        connection: its `ssl_object`. True unless a CA that it was made under has been taken away since.
        """
        newest = self._newest.newest
        return (
            isinstance(connection, _Connection) and newest is not None and connection.settings.issuers <= newest.issuers
        )

    async def refresh(self) -> bool:
        """Read both sources and take over what changed; True if anything did.

        A source that fails leaves what was there in place and is said in the log. Raises ConfigError when there is no
        usable certificate at the first time, since nothing can be served then.
        """
        before_pair, before_ca = self._loaded or (None, "")
        client_ca = await self._client_ca(before_ca)
        try:
            pair = await asyncio.to_thread(self._read_key_pair)
            if (pair, client_ca) == self._loaded:
                return False
            settings = _settings(pair, client_ca)
        except (OSError, ValueError) as error:
            if before_pair is None:
                raise ConfigError([f"the kubelet API's certificate or client CA cannot be used: {error}"]) from error
            log.warning("keeping the certificates that are loaded, the new ones cannot be used: %s", error)
            return False
        self._newest.newest = settings
        if not client_ca:
            log.warning("no client CA is known, so no client certificate is taken and only bearer tokens are")
        log.info("serving with %s and %d client CA certificates", _describe(pair), len(settings.issuers))
        self._loaded = (pair, client_ca)
        return True

    @property
    def ends_at(self) -> datetime | None:
        """When the certificate that is served now ends; None before the first."""
        served = self._served
        return served.not_valid_after_utc if served is not None else None

    @property
    def is_self_signed(self) -> bool:
        """Whether nobody but ourselves vouches for the certificate that is served now."""
        served = self._served
        return served is not None and served.issuer == served.subject

    @property
    def _served(self) -> x509.Certificate | None:
        return x509.load_pem_x509_certificate(self._loaded[0].certificate) if self._loaded is not None else None

    def reload_now(self) -> None:
        """A source has something new: do not wait for the next round."""
        self._look_now.set()

    async def run(self, interval_s: float = REFRESH_S) -> None:
        """Refresh for ever."""

        async def rest() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await self._look_now.wait()

        async def refresh() -> None:
            self._look_now.clear()  # before looking, so that no change falls between
            await self.refresh()

        await rest()
        await retry_loop(refresh, name="certificates", rest=rest)

    async def _client_ca(self, before: str) -> str:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                return await self._read_client_ca()
        except (OSError, ValueError, ProviderError) as error:  # TimeoutError is an OSError
            log.warning("cannot read the client CA, keeping what is loaded: %s", error or "no answer in time")
            return before


def _settings(pair: KeyPair, client_ca: str) -> _Settings:
    """Raises ValueError when certificate and key do not fit or the CA is no PEM."""
    authorities = x509.load_pem_x509_certificates(client_ca.encode()) if client_ca.strip() else []
    context = server_context(pair.certificate, pair.key, authorities)
    return _Settings(context, frozenset(_pem_blocks(client_ca)))


def _pem_blocks(text: str) -> list[str]:
    return ["".join(block.split()) for block in text.split(_PEM_END) if block.strip()]


def _describe(pair: KeyPair) -> str:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    return f"certificate {certificate.subject.rfc4514_string()} until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}Z"
