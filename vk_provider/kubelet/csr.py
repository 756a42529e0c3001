"""A request that the cluster sign our serving certificate: what it says, and what has become of it.

The controller manager signs for kubernetes.io/kubelet-serving what somebody has approved, and nothing that differs in
any part from the shape made here. Nothing here awaits; the key stays with the caller.
Source: kubernetes pkg/apis/certificates/helpers.go (ValidateKubeletServingCSR), kubelet.md A8.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Json = dict[str, Any]

SIGNER = "kubernetes.io/kubelet-serving"
_CN_MOST = 64  # X.509's upper bound


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def name_of(node: str) -> str:
    """One name for each node: however often we die and ask anew, there is one request to look at and to approve."""
    return f"kubelet-serving-{node}"


def body(node: str, addresses: Sequence[str], key: ec.EllipticCurvePrivateKey) -> Json:
    """The CertificateSigningRequest to create.

    addresses: where the API server dials us, IP addresses or host names; at least one.
    Raises ValueError when no certificate can be made out to this node.
    """
    if not addresses:
        raise ValueError("the node has no address that a certificate could be made out to")
    user = f"system:node:{node}"
    if len(user) > _CN_MOST:
        raise ValueError(f"the node's name is longer than the {_CN_MOST - len('system:node:')} characters that fit")
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes")
    subject = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    names = x509.SubjectAlternativeName([general_name(each) for each in dict.fromkeys(addresses)])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name_of(node)},
        "spec": {
            "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": SIGNER,
            # EC keys encipher none, yet servers before 1.27 insist on it, and later ones allow it.
            "usages": ["digital signature", "key encipherment", "server auth"],
        },
    }


def approved(request: Json, *, by: str) -> Json:
    """The request as it is to be put to its `approval`."""
    condition = {
        "type": "Approved",
        "status": "True",
        "reason": "OwnServingCertificate",
        "message": f"Approved by {by}.",
    }
    status = request.get("status") or {}
    return {**request, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


class Verdict(Enum):
    PENDING = "pending"
    APPROVED = "approved"  # and not signed yet
    ISSUED = "issued"
    DENIED = "denied"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a request. message: why it was denied or failed. certificate: PEM, once issued."""

    verdict: Verdict
    message: str = ""
    certificate: bytes = b""


def outcome_of(request: Json) -> Outcome:
    status = request.get("status") or {}
    conditions = {str(each.get("type")): each for each in status.get("conditions") or ()}
    for type_, verdict in (("Denied", Verdict.DENIED), ("Failed", Verdict.FAILED)):
        if type_ in conditions:
            text = (str(conditions[type_].get(key) or "") for key in ("reason", "message"))
            return Outcome(verdict, ": ".join(filter(None, text)))
    if "Approved" not in conditions:
        return Outcome(Verdict.PENDING)
    if not status.get("certificate"):
        return Outcome(Verdict.APPROVED)
    try:
        return Outcome(Verdict.ISSUED, certificate=base64.b64decode(status["certificate"], validate=True))
    except (binascii.Error, TypeError):
        return Outcome(Verdict.FAILED, "the certificate in its status is not base64")


def lifetime(certificate: bytes, key: ec.EllipticCurvePrivateKey) -> tuple[datetime, datetime]:
    """From when until when. Raises ValueError unless it is a certificate for this key."""
    leaf = x509.load_pem_x509_certificate(certificate)
    if leaf.public_key() != key.public_key():
        raise ValueError("it is a certificate for another key")
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc
