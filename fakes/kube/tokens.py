"""ServiceAccount tokens: signed statements (JWT, ES256) that die with the account or pod they are bound to."""

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from fakes.kube import errors
from fakes.kube.api import Api
from fakes.kube.clock import stamp
from fakes.kube.errors import Fault

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
_SIGNATURE_BYTES = 32
_MINIMUM_S = 600
_LONGEST_S = 2**32
_WARN_AFTER_S = 3607
_EXTENDED_S = 365 * 24 * 3600


@dataclass(frozen=True)
class Bearer:
    """Whom a valid token speaks for, and for which audiences it was made."""

    username: str
    uid: str
    groups: tuple[str, ...]
    extra: dict[str, list[str]]
    audiences: tuple[str, ...]


class Tokens:
    """Makes and checks tokens with one key made at its birth."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._key = ec.generate_private_key(ec.SECP256R1())

    def public_key_pem(self) -> bytes:
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def request(self, namespace: str, account: str, body: Json) -> Json:
        """Answer a TokenRequest. Raises ApiError 404, 409 or 422."""
        owner = self._api.get("serviceaccounts", account, namespace)
        spec = dict(body.get("spec") or {})
        seconds = spec.get("expirationSeconds")
        seconds = 3600 if seconds is None else seconds
        self._check(account, seconds)
        audiences = list(spec.get("audiences") or [ISSUER])
        now = self._api.clock()
        claims = self._claims(owner, spec.get("boundObjectRef"))
        life = seconds
        if seconds == _WARN_AFTER_S and audiences == [ISSUER] and "pod" in claims["kubernetes.io"]:
            # the ordinary token of a pod lives on for clients which never read it again
            life = _EXTENDED_S
            claims["kubernetes.io"]["warnafter"] = int(now.timestamp()) + seconds
        issued = int(now.timestamp())
        claims |= {"aud": audiences, "exp": issued + life, "iat": issued, "nbf": issued}
        status = {"token": self._sign(claims), "expirationTimestamp": stamp(now + timedelta(seconds=seconds))}
        spec |= {"audiences": audiences, "expirationSeconds": seconds}
        spec.setdefault("boundObjectRef", None)
        meta = {"name": account, "namespace": namespace, "creationTimestamp": stamp(now)}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": meta,
            "spec": spec,
            "status": status,
        }

    def _check(self, account: str, seconds: int) -> None:
        faults = []
        if seconds < _MINIMUM_S:
            faults.append(
                Fault.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
            )
        if seconds > _LONGEST_S:
            faults.append(
                Fault.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
            )
        if faults:
            raise errors.invalid("TokenRequest", "authentication.k8s.io", account, faults)

    def _claims(self, owner: Json, bound: Json | None) -> Json:
        meta = owner["metadata"]
        inner: Json = {"namespace": meta["namespace"], "serviceaccount": {"name": meta["name"], "uid": meta["uid"]}}
        if bound:
            inner |= self._bound(owner, bound)
        return {
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
            "kubernetes.io": inner,
        }

    def _bound(self, owner: Json, bound: Json) -> Json:
        """The claims of the object whose end is the token's end."""
        kind, name, namespace = bound.get("kind"), bound.get("name", ""), owner["metadata"]["namespace"]
        if kind not in ("Pod", "Secret"):
            raise errors.bad_request(f"cannot bind token for serviceaccount to {kind}")
        found = self._api.get("pods" if kind == "Pod" else "secrets", name, namespace)
        uid = found["metadata"]["uid"]
        if bound.get("uid") and bound["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise errors.conflict("pods" if kind == "Pod" else "secrets", "", name, why)
        if kind == "Secret":
            return {"secret": {"name": name, "uid": uid}}
        if found["spec"].get("serviceAccountName") != owner["metadata"]["name"]:
            account = owner["metadata"]["name"]
            why = f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            raise errors.bad_request(why)
        claims: Json = {"pod": {"name": name, "uid": uid}}
        if node := found["spec"].get("nodeName"):
            machine = self._api.store.get("nodes", "", node)
            claims["node"] = {"name": node} | ({"uid": machine.object["metadata"]["uid"]} if machine else {})
        return claims

    def _sign(self, claims: Json) -> str:
        text = f"{_segment({'alg': 'ES256', 'typ': 'JWT'})}.{_segment(claims)}"
        der = self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        raw = r.to_bytes(_SIGNATURE_BYTES, "big") + s.to_bytes(_SIGNATURE_BYTES, "big")
        return f"{text}.{_encode(raw)}"

    def check(self, token: str, audiences: Sequence[str] = ()) -> Bearer | None:
        """Whom the token speaks for now, or None: forged, out of time, for others, or bound to what is gone.

        audiences: any of these will do; none given means the API server's own.
        """
        claims = self._verified(token)
        if claims is None:
            return None
        matching = tuple(name for name in claims.get("aud", ()) if name in (audiences or (ISSUER,)))
        now = self._api.clock().timestamp()
        if not matching or not claims.get("nbf", 0) <= now < claims.get("exp", 0) or not self._lives(claims):
            return None
        return _bearer(claims, matching)

    def _verified(self, token: str) -> Json | None:
        try:
            head, body, signature = token.split(".")
            raw = _decode(signature)
            r, s = (int.from_bytes(raw[:_SIGNATURE_BYTES], "big"), int.from_bytes(raw[_SIGNATURE_BYTES:], "big"))
            der = utils.encode_dss_signature(r, s)
            self._key.public_key().verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
            claims = json.loads(_decode(body))
        except (ValueError, InvalidSignature):
            return None
        return claims if isinstance(claims, dict) else None

    def _lives(self, claims: Json) -> bool:
        """Whether everything the token is bound to is still the same object, and not long past its deletion."""
        inner = claims["kubernetes.io"]
        for claim, resource in (("serviceaccount", "serviceaccounts"), ("pod", "pods"), ("secret", "secrets")):
            if claim not in inner:
                continue
            found = self._api.store.get(resource, inner["namespace"], inner[claim]["name"])
            if found is None or found.object["metadata"]["uid"] != inner[claim]["uid"]:
                return False
        return True


def _bearer(claims: Json, audiences: tuple[str, ...]) -> Bearer:
    inner = claims["kubernetes.io"]
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    for claim in ("pod", "node"):
        if claim in inner:
            extra[f"authentication.kubernetes.io/{claim}-name"] = [inner[claim]["name"]]
            if "uid" in inner[claim]:
                extra[f"authentication.kubernetes.io/{claim}-uid"] = [inner[claim]["uid"]]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{inner['namespace']}", "system:authenticated")
    return Bearer(claims["sub"], inner["serviceaccount"]["uid"], groups, extra, audiences)


def _segment(value: Json) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
