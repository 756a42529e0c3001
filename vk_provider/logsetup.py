"""How log lines look. What may stand in them is each room's business: never a secret, a token or a request body."""

from __future__ import annotations

import json
import logging
import sys
import time


class _Text(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO  control.pods created pod=web/api-0 …`"""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("vk_provider.")
        line = f"{_stamp(record)} {record.levelname:<7} {name} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def set_up(level: str, shape: str) -> None:
    """level: debug, info, warning or error. shape: text or json. Everything goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if shape == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's packages: only what goes wrong
    logging.getLogger("vk_provider").setLevel(level.upper())
    logging.getLogger("aliyunsdkcore").setLevel(logging.CRITICAL)  # it logs whole requests
