"""TLS toward the API server, as strict as a Go client is and no stricter."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM texts. ca empty: the system's roots. insecure: the server is not verified at all."""

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    insecure: bool = False

    def __repr__(self) -> str:
        return f"TlsMaterial(ca={len(self.ca)} bytes, insecure={self.insecure})"


def client_context(material: TlsMaterial) -> ssl.SSLContext:
    """Raises ssl.SSLError (an OSError) when a certificate or key cannot be read."""
    context = ssl.create_default_context(cadata=material.ca.decode() if material.ca else None)
    # Python 3.13 turns RFC 5280 strictness on, which refuses the CAs of many clusters (no key identifiers, or
    # basicConstraints not critical); Go's verifier accepts those, and any certificate of the file as an anchor.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if material.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if material.certificate:
        _load_chain(context, material)
    return context


def _load_chain(context: ssl.SSLContext, material: TlsMaterial) -> None:
    """OpenSSL takes a key from a file only, so it lies in one, readable by us alone, for as long as that takes."""
    with tempfile.TemporaryDirectory(prefix="vk-provider-") as directory:
        certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        certificate.write_bytes(material.certificate)
        key.write_bytes(material.key)
        context.load_cert_chain(certificate, key, password=_no_password)


def _no_password() -> str:
    raise ssl.SSLError("the client key is encrypted; give it without a passphrase")
