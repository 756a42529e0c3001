"""What the provider logs while it runs in the process of a test."""

from __future__ import annotations

import logging
from typing import Self


class ProviderLog(logging.Handler):
    """Takes the lines of at least this level, and keeps them from everybody else, as long as it is entered."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __enter__(self) -> Self:
        logger = logging.getLogger("vk_provider")
        self._before = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(self.level)
        logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("vk_provider")
        logger.removeHandler(self)
        logger.level, logger.propagate = self._before
