"""Names that are nearly those of settings. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any


def unknown_variables(env: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Of variables that are nearly ours. Others that begin with VK_ are other people's, such as Vulkan's."""
    ours = {variable for variable in known if variable.startswith("VK_")}
    for variable in sorted(env):
        if variable.startswith("VK_") and variable not in {*ours, "VK_CONFIG"}:
            near = difflib.get_close_matches(variable, ours, n=1, cutoff=0.9)
            if near:
                yield f"environment variable {variable}: unknown; did you mean {near[0]}?"


def unknown_keys(
    table: Mapping[str, Any], known: Mapping[str, str], sections: Collection[str], nodes: str
) -> Iterator[str]:
    """known: setting → its key in the file. nodes: the key of the sections that are read elsewhere."""
    keys = list(known.values())
    for key, value in table.items():
        if key == nodes:
            continue
        is_section = key in sections and isinstance(value, Mapping)
        for each in [f"[{key}] {inner}" for inner in value] if is_section else [key]:
            if each not in keys:
                near = difflib.get_close_matches(each, keys, n=1)
                moved = [known[each]] if each in known else near
                advice = f"; did you mean {moved[0]}?" if moved else "; `vk-provider run --help` lists the keys"
                yield f"unknown key {each}{advice}"
