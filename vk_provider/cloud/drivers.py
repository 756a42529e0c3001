"""The drivers by name. One is loaded when it is chosen: each brings libraries of its own, which take their time."""

from __future__ import annotations

from typing import Any

from vk_provider.cloud.driver import Driver

NAMES = ("eci", "local")


def load(name: str) -> Driver[Any, Any, Any, Any]:
    """Raises KeyError for a name that is none of NAMES."""
    match name:
        case "eci":
            from vk_provider.cloud.eci.definition import DRIVER

            return DRIVER
        case "local":
            from vk_provider.cloud.local.definition import DRIVER as LOCAL

            return LOCAL
        case _:
            raise KeyError(name)
