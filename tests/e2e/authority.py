"""The test cluster's certificate authority, whose key the controller manager gets too, to sign requests with."""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = dt.timedelta(days=2)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    def __init__(self, name: str = "e2e") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._subject, self._subject, self._key.public_key())
        self._certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )

    @property
    def pair(self) -> Pair:
        return Pair(self._certificate.public_bytes(serialization.Encoding.PEM), private_pem(self._key))

    def server(self, addresses: Sequence[str], *, name: str = "server", life: dt.timedelta = LIFE) -> Pair:
        """A serving certificate for IP addresses. life: from now."""
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(each)) for each in dict.fromkeys(addresses)]
        )
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, [names], life=life)

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """A client certificate: the user is its CN, the groups its O values."""
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        name = [*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)]
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self,
        name: Sequence[x509.NameAttribute],
        usage: x509.ObjectIdentifier,
        extensions: Sequence[x509.ExtensionType],
        *,
        life: dt.timedelta = LIFE,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name(name), self._subject, key.public_key(), life)
        for extension in (x509.ExtendedKeyUsage([usage]), *extensions):
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def write_private(path: Path, content: bytes) -> Path:
    """A file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    return path


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, life: dt.timedelta = LIFE
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + life)
    )
