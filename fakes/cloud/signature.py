"""Who is calling: both signature schemes of the RPC gateway, verified from their published rules.

`verify` is called before anything else is looked at, and is pure but for the nonces it remembers.
Sources: the vendor's "RPC signature" and "common parameters" pages; ACS3-HMAC-SHA256 as the newer SDK sends it.
"""

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fakes.cloud.errors import ApiError, missing

Pairs = Sequence[tuple[str, str]]
WINDOW_S = 15 * 60
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*")  # most names and values
ACS3 = "ACS3-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credential:
    """One key the service knows. expires_at: real epoch seconds, or None."""

    key_id: str
    secret: str
    security_token: str = ""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request, reduced to what a signature can cover. `headers` has lower-case names."""

    method: str
    path: str
    query: Pairs
    form: Pairs
    headers: Mapping[str, str]
    body: bytes


def percent_encode(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="-_.~")


def canonical_query(pairs: Pairs) -> str:
    return "&".join(f"{percent_encode(name)}={percent_encode(value)}" for name, value in sorted(pairs))


def rpc_string_to_sign(method: str, pairs: Pairs) -> str:
    signed = [pair for pair in pairs if pair[0] != "Signature"]
    again = canonical_query(signed)
    for mark in "%&=":  # what is left to be encoded; letter by letter that would cost half of what a signature does
        again = again.replace(mark, quote(mark, safe=""))
    return f"{method}&%2F&{again}"


def rpc_signature(secret: str, string_to_sign: str) -> str:
    """Signature version 1.0: base64 of HMAC-SHA1, with `&` after the secret."""
    digest = hmac.new(f"{secret}&".encode(), string_to_sign.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def acs3_canonical_request(call: Call, signed_headers: str) -> str:
    """The text whose hash ACS3 signs; every header line, also the last, ends with a newline."""
    names = signed_headers.split(";")
    headers = "".join(f"{name}:{call.headers.get(name, '').strip()}\n" for name in names)
    body_hash = call.headers.get("x-acs-content-sha256", "")
    return "\n".join([call.method, call.path, canonical_query(call.query), headers, signed_headers, body_hash])


def acs3_signature(secret: str, canonical_request: str) -> str:
    to_sign = f"{ACS3}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


class Verifier:
    """Knows the keys, and the nonces of the last half hour; only a call that was signed well uses its nonce up."""

    def __init__(self, credentials: Sequence[Credential]) -> None:
        self._credentials = {item.key_id: item for item in credentials}
        self._nonces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def register(self, credential: Credential) -> None:
        self._credentials[credential.key_id] = credential

    def verify(self, call: Call, now: float) -> str:
        """Check the call at real epoch second `now`; returns the key id. Raises ApiError."""
        if call.headers.get("authorization", "").startswith(ACS3):
            return self._verify_acs3(call, now)
        return self._verify_rpc(call, now)

    def _verify_rpc(self, call: Call, now: float) -> str:
        pairs = [*call.query, *call.form]
        given = dict(pairs)
        for name in ("AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"):
            if not given.get(name):
                raise missing(name)
        if (given["SignatureMethod"], given["SignatureVersion"]) != ("HMAC-SHA1", "1.0"):
            raise ApiError("InvalidParameter.SignatureMethod", "Only HMAC-SHA1 in version 1.0 is supported.")
        credential = self._credential(given["AccessKeyId"], given.get("SecurityToken", ""), now)
        _check_window(given["Timestamp"], now)
        string_to_sign = rpc_string_to_sign(call.method, pairs)
        if not hmac.compare_digest(rpc_signature(credential.secret, string_to_sign), given["Signature"]):
            raise _mismatch(string_to_sign)
        self._use_nonce(credential.key_id, given["SignatureNonce"], now)
        return credential.key_id

    def _verify_acs3(self, call: Call, now: float) -> str:
        try:
            fields = dict(part.strip().split("=", 1) for part in call.headers["authorization"][len(ACS3) :].split(","))
            key_id, names, signature = fields["Credential"], fields["SignedHeaders"], fields["Signature"]
        except (ValueError, KeyError) as error:
            raise ApiError("IncompleteSignature", "The Authorization header is not complete.") from error
        for name in ("x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"):
            if not call.headers.get(name):
                raise missing(name)
            if name not in names.split(";"):
                raise ApiError("IncompleteSignature", f"The header {name} must be signed.")
        credential = self._credential(key_id, call.headers.get("x-acs-security-token", ""), now)
        _check_window(call.headers["x-acs-date"], now)
        canonical = acs3_canonical_request(call, names)
        body_is_true = hashlib.sha256(call.body).hexdigest() == call.headers["x-acs-content-sha256"]
        if not body_is_true or not hmac.compare_digest(acs3_signature(credential.secret, canonical), signature):
            raise _mismatch(canonical)
        self._use_nonce(key_id, call.headers["x-acs-signature-nonce"], now)
        return key_id

    def _credential(self, key_id: str, token: str, now: float) -> Credential:
        credential = self._credentials.get(key_id)
        if credential is None or (credential.security_token and not token):
            raise ApiError("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        if token and not credential.security_token:
            raise ApiError("InvalidSecurityToken.Malformed", "The specified SecurityToken is malformed.")
        if token != credential.security_token:
            message = "The specified SecurityToken does not belong to the AccessKey."
            raise ApiError("InvalidSecurityToken.MismatchWithAccessKey", message)
        if credential.expires_at is not None and now >= credential.expires_at:
            raise ApiError("InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
        return credential

    def _use_nonce(self, key_id: str, nonce: str, now: float) -> None:
        while self._nonces and next(iter(self._nonces.values())) < now - 2 * WINDOW_S:
            self._nonces.popitem(last=False)
        if (key_id, nonce) in self._nonces:
            raise ApiError("SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[key_id, nonce] = now


def _check_window(text: str, now: float) -> None:
    try:
        stamp = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        message = 'Specified time stamp or date value is not well formatted; use "YYYY-MM-DDThh:mm:ssZ".'
        raise ApiError("InvalidTimeStamp.Format", message) from error
    if abs(now - stamp) > WINDOW_S:
        raise ApiError("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _mismatch(string_to_sign: str) -> ApiError:
    # The older SDK takes the message apart at its first colon and fails without one.
    message = f"Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
    return ApiError("SignatureDoesNotMatch", message)
