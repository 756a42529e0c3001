"""ECI's requests as a person may see them: what came out of Secrets is hidden, by what parameters are called. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping

from vk_provider.redaction import HIDDEN, TELLING_BYTES, SecretText

_WORDS = re.compile(r"\.(EnvironmentVar\.\d+\.Value|Command\.\d+|Arg\.\d+|Options)$|Exec\.\d+$|Header\.\d+\.Value$")
_FILE = re.compile(r"\.Content$")
_PASSWORD = re.compile(r"^ImageRegistryCredential\.\d+\.Password$")


def masked(request: Mapping[str, str], secrets: Collection[bytes]) -> dict[str, str]:
    """The request as a person may see it. request: wire name → text. secrets: values to look for besides."""
    return {name: _masked(name, text, secrets) for name, text in request.items()}


def _masked(name: str, text: str, secrets: Collection[bytes]) -> str:
    if isinstance(text, SecretText):
        text = text.shown
    elif _PASSWORD.search(name):
        return HIDDEN
    elif _FILE.search(name):
        content = _decoded(text)
        return f"{HIDDEN[:-1]}, {len(content)} bytes)" if _holds(content, secrets) else text
    if _WORDS.search(name):
        for secret in sorted(secrets, key=len, reverse=True):
            text = _without(text, secret.decode(errors="replace"))
    return text


def _without(text: str, secret: str) -> str:
    if len(secret.encode(errors="replace")) < TELLING_BYTES:
        return HIDDEN if text == secret and secret else text
    return text.replace(secret, HIDDEN).replace(json.dumps(secret)[1:-1], HIDDEN)


def _holds(content: bytes, secrets: Collection[bytes]) -> bool:
    return any(secret in content if len(secret) >= TELLING_BYTES else secret == content != b"" for secret in secrets)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode(errors="replace")
