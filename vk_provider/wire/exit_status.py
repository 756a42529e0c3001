"""How a command ended, as the text that clients read from the error stream (kubelet.md X7).

An exit code that is not known, or that a process cannot have, is told as a failure and never as 0: scripts go on
after a 0.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

_HIGHEST = 255  # clients hand a code to their own exit, which keeps eight bits: 256 would become a success
_NON_ZERO = "command terminated with non-zero exit code"  # a cloud may pass on a kubelet's message, which says so too
UNKNOWN = "the exit code of the command is not known"


def status_of(exit_code: int | None, message: str = "") -> Json:
    """The `Status` object of an ended command. message: for people, in place of our own words where there is one."""
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    if exit_code is None or not 0 < exit_code <= _HIGHEST:
        known = "" if exit_code is None else f": {exit_code} is none that a process can have"
        return failure(message or UNKNOWN + known)
    words = message if message.startswith(_NON_ZERO) else f"{_NON_ZERO}: {message or f'exit status {exit_code}'}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": words,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


def failure(message: str) -> Json:
    """The `Status` object of a command that could not be run or followed to its end."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def with_prefix(status: Json, prefix: str) -> Json:
    """The same, where it tells a failure, with these words before its reason. A command that ended is left as it is."""
    if status.get("reason") != "InternalError" or not prefix:
        return status
    return failure(f"{prefix}: {status['message']}")


def as_json(status: Json) -> bytes:
    """For v4 and later."""
    return json.dumps(status, separators=(",", ":"), ensure_ascii=False).encode()


def as_text(status: Json) -> bytes:
    """For the versions before v4: nothing on success, else one plain message."""
    return str(status.get("message", "")).encode()
