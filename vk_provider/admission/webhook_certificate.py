"""The webhook's certificate, and the authority that signed it and nothing else.

All replicas serve one certificate, kept in a Secret. The authority's key is thrown away once it has signed: a renewal
makes another authority. For a while both are to be trusted, so that whoever still serves the old one is believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=90)
RENEWED_AT = 2 / 3  # of its life
CERTIFICATE, KEY, AUTHORITIES = "tls.crt", "tls.key", "ca.crt"  # keys of a Secret of type kubernetes.io/tls
_CLOCK_SKEW = timedelta(minutes=5)
_MOST_AUTHORITIES = 3  # an older one has long ended
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class WebhookCertificate:
    """All PEM. authorities: those to trust, the one that signed `certificate` first."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> WebhookCertificate:
        """data: decoded. What is missing is empty, and `is_good_for` says no to it."""
        return cls(data.get(CERTIFICATE, b""), data.get(KEY, b""), data.get(AUTHORITIES, b""))

    def as_secret(self) -> Mapping[str, bytes]:
        return {CERTIFICATE: self.certificate, KEY: self.key, AUTHORITIES: self.authorities}

    def is_good_for(self, names: Sequence[str], now: datetime) -> bool:
        """Whether clients that dial these names can be served with it, and its renewal is not due."""
        try:
            leaf = x509.load_pem_x509_certificate(self.certificate)
            key = serialization.load_pem_private_key(self.key, None)
            leaf.verify_directly_issued_by(x509.load_pem_x509_certificates(self.authorities)[0])
            shown = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        addresses = map(str, shown.get_values_for_type(x509.IPAddress))
        return (
            leaf.public_key() == key.public_key()
            and set(names) <= {*shown.get_values_for_type(x509.DNSName), *addresses}
            and leaf.not_valid_before_utc <= now < _renewal_at(leaf)
        )

    @property
    def renewal_at(self) -> datetime:
        """Raises ValueError where `certificate` is none."""
        return _renewal_at(x509.load_pem_x509_certificate(self.certificate))


def issue(
    names: Sequence[str], now: datetime, *, before: WebhookCertificate | None = None, lifetime: timedelta = LIFETIME
) -> WebhookCertificate:
    """A new one for these DNS names and addresses. before: the one it takes the place of, whose authorities stay."""
    authority_key, key = _new_key(), _new_key()
    authority_name = _name("vk-provider webhook authority")
    authority = (
        _builder(authority_name, authority_name, authority_key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder(_name(names[0][:64]), authority_name, key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    earlier = _still_valid(before.authorities, now) if before is not None else []
    trusted = [authority, *earlier][:_MOST_AUTHORITIES]
    return WebhookCertificate(
        leaf.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        b"".join(each.public_bytes(serialization.Encoding.PEM) for each in trusted),
    )


def _renewal_at(leaf: x509.Certificate) -> datetime:
    return leaf.not_valid_before_utc + (leaf.not_valid_after_utc - leaf.not_valid_before_utc) * RENEWED_AT


def _still_valid(authorities: bytes, now: datetime) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(authorities)
    except ValueError:
        return []
    return [each for each in found if each.not_valid_after_utc > now]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_CLOCK_SKEW, lifetime / 10))
        .not_valid_after(now + lifetime)
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
