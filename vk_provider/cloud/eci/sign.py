"""Signature version 1.0 (HMAC-SHA1) of Alibaba's RPC gateway, in three steps that can each be compared with a vector.

Pure: time and nonce are arguments, so that one request always has one signature.
Source: eci.md 1.3 and 1.4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

VERSION = "2018-08-08"
_SAFE = re.compile(r"[A-Za-z0-9._~-]*")


def percent_encode(text: str) -> str:
    """UTF-8; all but `A-Z a-z 0-9 - _ . ~` becomes %XX. A lone surrogate, which has no UTF-8, becomes `?`."""
    if _SAFE.fullmatch(text):
        return text  # most are, and each parameter of each call passes here three times
    return quote(text, safe="-_.~", errors="replace")


def canonical_query(parameters: Mapping[str, str]) -> str:
    """`name=value` joined by `&`, sorted by name in byte order; also the wire form of a query or a form body."""
    return "&".join(f"{percent_encode(name)}={percent_encode(parameters[name])}" for name in sorted(parameters))


def string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """parameters: query and form body together, without `Signature`. method: GET or POST."""
    encoded = canonical_query(parameters)  # of what is not encoded as itself, it has these three only
    return f"{method}&%2F&{encoded.replace('%', '%25').replace('&', '%26').replace('=', '%3D')}"


def signature(method: str, parameters: Mapping[str, str], secret: str) -> str:
    """Base64 text. parameters: as for `string_to_sign`."""
    key = f"{secret}&".encode()
    digest = hmac.new(key, string_to_sign(method, parameters).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


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
