"""The settings of the cloud `local`, as an operator gives them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vk_provider.settings import Section, address, setting, text_value


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions(Section):
    PREFIX: ClassVar[str] = "local"

    state: str = setting(
        "~/.local/state/vk-provider",
        text_value,
        "directory of what runs here: specs, files (those of Secrets, too) and logs. A provider that restarts with the "
        "same directory finds its instances again",
        short="directory of what runs here",
        metavar="DIR",
    )
    address: str = setting("", address, "address that pods get; empty = that of this host", metavar="IP")
