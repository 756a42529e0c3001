"""Signature version 1.0 (HMAC-SHA1) of Alibaba's RPC gateway, in three steps that can each be compared with a vector.

Pure: time and nonce are arguments, so that one request always has one signature.
Source: eci.md 1.3 and 1.4.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

VERSION = "2018-08-08"
_SAFE = re.compile(r"[A-Za-z0-9._~-]*")
_SAFE_OUT = re.compile(r"[A-Za-z0-9._~-]+")
_LONG, _FEW = 1_000, 8


def percent_encode(text: str) -> str:
    """UTF-8; all but `A-Z a-z 0-9 - _ . ~` becomes %XX. A lone surrogate, which has no UTF-8, becomes `?`."""
    if _SAFE.fullmatch(text):
        return text  # most are, and each parameter of each call passes here three times
    if len(text) >= _LONG and text.isascii() and len(odd := {*_SAFE_OUT.sub("", text)}) <= _FEW:
        text = text.replace("%", "%25")  # before the others, which bring it in
        for char in odd - {"%"}:
            text = text.replace(char, f"%{ord(char):02X}")
        return text  # base64, of which most of a large request is, has three
    return quote(text, safe="-_.~", errors="replace")


def canonical_query(parameters: Mapping[str, str]) -> str:
    """`name=value` joined by `&`, sorted by name in byte order; also the wire form of a query or a form body."""
    return _joined(pairs(parameters))


def string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """parameters: query and form body together, without `Signature`. method: GET or POST."""
    return _string_to_sign(method, canonical_query(parameters))


def signature(method: str, parameters: Mapping[str, str], secret: str) -> str:
    """Base64 text. parameters: as for `string_to_sign`."""
    return _signature(string_to_sign(method, parameters), secret)


def signed(method: str, query: Mapping[str, str], body: Mapping[str, str], secret: str) -> tuple[str, str]:
    """Query, its `Signature` included, and form body in their wire form; each parameter is encoded once for all."""
    return signed_pairs(method, pairs(query), pairs(body), secret)


def signed_pairs(method: str, query: Mapping[str, str], body: Mapping[str, str], secret: str) -> tuple[str, str]:
    """As `signed`, of what `pairs` gives: to encode a large body takes long, and need not be done in one go."""
    word = _signature(_string_to_sign(method, _joined({**query, **body})), secret)
    return _joined({**query, **pairs({"Signature": word})}), _joined(body)


def pairs(parameters: Mapping[str, str]) -> dict[str, str]:
    """By name, `name=value` encoded."""
    return {name: f"{percent_encode(name)}={percent_encode(value)}" for name, value in parameters.items()}


def _joined(encoded: Mapping[str, str]) -> str:
    return "&".join([encoded[name] for name in sorted(encoded)])


def _string_to_sign(method: str, canonical: str) -> str:
    # Of what is not encoded as itself, the canonical query has these three only.
    return f"{method}&%2F&{canonical.replace('%', '%25').replace('&', '%26').replace('=', '%3D')}"


def _signature(text: str, secret: str) -> str:
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode()


def common_parameters(
    *, action: str, region: str, access_key_id: str, security_token: str, now: datetime, nonce: str
) -> dict[str, str]:
    """What every call carries beside its own words. now: aware; nonce: new for each try, never used before."""
    parameters = {
        "Format": "JSON",
        "Version": VERSION,
        "Action": action,
        "RegionId": region,
        "AccessKeyId": access_key_id,
        "Timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "SignatureMethod": "HMAC-SHA1",
        "SignatureType": "",
        "SignatureVersion": "1.0",
        "SignatureNonce": nonce,
    }
    if security_token:
        parameters["SecurityToken"] = security_token
    return parameters
