"""TLS as a kubelet speaks it: a client certificate of an unknown issuer breaks no handshake, it is just not believed.

Python's own `ssl` ends such a connection: its owner would see a broken line instead of a 401, and a bearer token sent
along would count for nothing. So OpenSSL is reached through pyOpenSSL here; `ServerConnection` has those methods of
`ssl.SSLObject` that asyncio and uvloop call. Believed is only what this very connection has seen verified: no session
is resumed.
"""

from __future__ import annotations

import ssl
from asyncio import sslproto
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
_PROTOCOL = b"http/1.1"
_CHUNK = 2**16
_READ_BUFFER = 2**15  # two TLS records
_NAMES = {NameOID.COMMON_NAME: "commonName", NameOID.ORGANIZATION_NAME: "organizationName"}


def server_context(certificate: bytes, key: bytes, client_cas: Sequence[x509.Certificate]) -> SSL.Context:
    """certificate: PEM with its chain; key: PEM. client_cas empty: no client is asked for a certificate.

    Raises ValueError when certificate and key cannot be used together.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # a follower whose container is silent holds none
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(_chosen_protocol)
    try:
        leaf, *chain = x509.load_pem_x509_certificates(certificate)
        context.use_certificate(leaf)
        for each in chain:
            context.add_extra_chain_cert(each)
        context.use_privatekey(_private_key(key))
        context.check_privatekey()
    except (SSL.Error, crypto.Error, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"certificate and key cannot be used together: {error}") from error
    if client_cas:
        context.set_verify(SSL.VERIFY_PEER, _noted)  # asked for, not demanded: a bearer token will do (A2)
    store = context.get_cert_store()
    for each in client_cas:
        context.add_client_ca(each)  # told in the handshake, so that a client with several picks the right one
        if store is not None:
            store.add_cert(crypto.X509.from_cryptography(each))
    return context


def use_small_buffers() -> None:
    """Of asyncio's TLS connections, from now on: each would hold 256 KiB to read into, and most use a record of it."""
    sslproto.SSLProtocol.max_size = _READ_BUFFER


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, None)
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise TypeError("the key is neither EC nor RSA")
    return key


class _Evidence:
    """What was found out about the client's certificate. None: nothing was looked at."""

    verified: bool | None = None


def _noted(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:  # noqa: ARG001
    """Called for each certificate of the chain and each fault. True: go on, whatever was found."""
    evidence: _Evidence = connection.get_app_data()
    evidence.verified = bool(ok) and evidence.verified is not False
    return True


def _chosen_protocol(connection: SSL.Connection, offered: list[bytes]) -> Any:  # noqa: ARG001
    return _PROTOCOL if _PROTOCOL in offered else SSL.NO_OVERLAPPING_PROTOCOLS


class ServerConnection:
    """One connection, between two BIOs that asyncio fills and empties."""

    def __init__(self, context: SSL.Context, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._evidence = _Evidence()
        self._tls = SSL.Connection(context, None)
        self._tls.set_app_data(self._evidence)
        self._tls.set_accept_state()
        self._handed_in = False  # since OpenSSL last asked for more

    def do_handshake(self) -> None:
        with self._pumped():
            self._tls.do_handshake()

    def read(self, most: int, buffer: Any = None) -> Any:
        """Bytes, or their number when there is a buffer; nothing at the end. Raises SSLWantReadError."""
        with self._pumped():
            try:
                return self._tls.recv(most) if buffer is None else self._tls.recv_into(buffer, most)
            except SSL.ZeroReturnError:
                return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        with self._pumped():
            return self._tls.send(data)

    def pending(self) -> int:
        """Over 0: a read may give something. uvloop looks here before it reads, and does not see what the handshake
        has taken from `incoming`."""
        return self._tls.pending() or int(self._handed_in)

    def unwrap(self) -> None:
        with self._pumped():
            if not self._tls.shutdown():
                raise ssl.SSLWantReadError

    def getpeercert(self) -> dict[str, Any] | None:
        """As `ssl` gives it, with what concerns us; None unless it was verified."""
        found = self._tls.get_peer_certificate(as_cryptography=True) if self._evidence.verified else None
        if found is None:
            return None
        subject = tuple(((_NAMES[each.oid], each.value),) for each in found.subject if each.oid in _NAMES)
        return {"subject": subject, "notAfter": f"{found.not_valid_after_utc:%b %d %H:%M:%S %Y} GMT"}

    def cipher(self) -> tuple[str | None, str | None, int | None]:
        return self._tls.get_cipher_name(), self._tls.get_cipher_version(), self._tls.get_cipher_bits()

    def compression(self) -> None:
        return None

    @contextmanager
    def _pumped(self) -> Iterator[None]:
        """Hand in what has come, do it, hand out what is to go; OpenSSL's errors as those of `ssl`."""
        if self._incoming.pending:
            self._tls.bio_write(self._incoming.read())
            self._handed_in = True
        try:
            yield
        except SSL.WantReadError as error:
            self._handed_in = False
            raise ssl.SSLWantReadError from error
        except SSL.Error as error:
            raise ssl.SSLError(1, str(error) or type(error).__name__) from error
        finally:
            self._hand_out()

    def _hand_out(self) -> None:
        while True:
            try:
                self._outgoing.write(self._tls.bio_read(_CHUNK))
            except SSL.WantReadError:
                return
