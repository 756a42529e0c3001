"""What the API server's refusals mean: a Status object, or a bare HTTP code, to one class of `errors`."""

from __future__ import annotations

import json
from typing import Any

from vk_provider.errors import Conflict, Gone, KubeError, KubeUnavailable, NotFound

_BY_CODE: dict[int, type[KubeError]] = {404: NotFound, 409: Conflict, 410: Gone, 429: KubeUnavailable}
_MOST_TEXT = 500  # characters of a body that is no Status: enough for a proxy's error page to be recognised


def error_from_response(code: int, body: bytes, *, retry_after: str = "", call: str = "") -> KubeError:
    """The error for an answer of 400 and above. retry_after: the header; call: `GET /path`, for people.

    That an object is gone only a Status says: a proxy on the way, and a server that has just started, answer 404 for
    paths that they do not know, and instances are deleted on the word that a pod is gone.
    """
    status = _status_object(body)
    if status is None:
        text = body[:_MOST_TEXT].decode("utf-8", "replace").strip()
        kind = KubeUnavailable if code == 404 else None
        return _error(code, kind=kind, reason="", message=text, retry_after_s=_seconds(retry_after), call=call)
    return from_status(status, code=code, retry_after=retry_after, call=call)


def from_status(status: Any, *, code: int = 0, retry_after: str = "", call: str = "") -> KubeError:
    """The error for a Status object, as an answer's body or as the object of a watch's ERROR line."""
    status = _dict(status)
    details = _dict(status.get("details"))
    reported = details.get("causes")
    causes = list(map(_dict, reported)) if isinstance(reported, list) else []
    if not code and type(status.get("code")) is int:
        code = status["code"]
    reason = str(status.get("reason") or "")
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        reason = "ResourceVersionTooLarge"  # the server hides it under Timeout, yet it asks for another action
    return _error(
        code,
        # A PATCH that carries the uid of an earlier life is Invalid to 1.20; to whoever sent it, it is a conflict.
        kind=Conflict if code == 422 and any(cause.get("field") == "metadata.uid" for cause in causes) else None,
        reason=reason,
        message=str(status.get("message") or ""),
        retry_after_s=_seconds(retry_after) or _seconds(str(details.get("retryAfterSeconds") or "")),
        call=call,
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _error(
    code: int,
    *,
    reason: str,
    message: str,
    retry_after_s: float | None,
    call: str,
    kind: type[KubeError] | None = None,
) -> KubeError:
    if kind is None:
        kind = KubeUnavailable if code >= 500 else _BY_CODE.get(code, KubeError)
    if reason == "Expired":
        kind = Gone
    text = message or reason or "no explanation"
    return kind(f"{call} {code}: {text}".strip(), status=code, reason=reason, retry_after_s=retry_after_s)


def _status_object(body: bytes) -> dict[str, Any] | None:
    try:
        status = json.loads(body)
    except ValueError:
        return None
    return status if isinstance(status, dict) and status.get("kind") == "Status" else None


def _seconds(text: str) -> float | None:
    """Retry-After in its form of whole seconds, the only one a Kubernetes API server sends."""
    return float(text) if text.isdecimal() else None
