"""Who a container's processes are and what they may do, as far as a cloud can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Security:
    """None and empty: nothing is said, so the image or the cloud decides. added: names without `CAP_`."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool = False
    read_only_root: bool = False
    added_capabilities: Sequence[str] = ()
