"""`[[nodes]]` in the TOML file: several virtual nodes of one process, each with settings of its own.

A section takes the settings of a node (`OF_NODE`), and in a table of the cloud's name those of the cloud that a node
may have for itself. What it leaves out is as the process has it; what it says goes before flags and variables. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from vk_provider.settings import Section, is_placeholder

KEY = "nodes"
MOST = 100
OF_NODE = (
    "node_name",
    "node_labels",
    "taint_key",
    "taint_value",
    "taint_effect",
    "node_taints",
    "quota_cpu",
    "quota_memory",
    "quota_pods",
    "quota_gpus",
    "adopt_node",
    "daemon_set_pods",
    "kubelet_port",
)


@dataclass(slots=True)
class NodeSection:
    """where: as faults name it, `vk.toml: [[nodes]] 2 (vk-b)`. chosen, of_cloud: setting → value, of what was given."""

    where: str
    chosen: dict[str, Any] = field(default_factory=dict)
    of_cloud: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read(
    table: Mapping[str, Any],
    toml_name: str,
    *,
    own: Mapping[str, Any],
    cloud: str,
    clouds: Mapping[str, type[Section]],
) -> Sequence[NodeSection]:
    """own: the process's settings by name, as dataclass fields. cloud: the one that was chosen."""
    raw = table.get(KEY)
    if raw is None:
        return ()
    if not isinstance(raw, list) or not raw or not all(isinstance(each, Mapping) for each in raw):
        return [NodeSection(toml_name, faults=[f"{toml_name}: {KEY}: write a section [[nodes]] for each node"])]
    if len(raw) > MOST:
        return [NodeSection(toml_name, faults=[f"{toml_name}: [[nodes]]: {len(raw)} are given; at most {MOST} are"])]
    found = [
        _read_one(each, f"{toml_name}: [[nodes]] {place}", own, cloud, clouds)
        for place, each in enumerate(raw, start=1)
    ]
    _compare(found)
    return found


def _read_one(
    raw: Mapping[str, Any], where: str, own: Mapping[str, Any], cloud: str, clouds: Mapping[str, type[Section]]
) -> NodeSection:
    name = raw.get("node_name")
    section = NodeSection(f"{where} ({name})" if isinstance(name, str) else where)
    if "node_name" not in raw:
        section.faults.append(f"{section.where}: node_name is missing: say what this node is called")
    for key, value in raw.items():
        if key in clouds and isinstance(value, Mapping):
            if key == cloud:
                _read_cloud(section, key, value, clouds[key])
            else:
                section.faults.append(f"{section.where}: [{key}]: pods run in {cloud}; leave it out")
        elif key in OF_NODE:
            _take(section, section.chosen, key, own[key], value)
        elif key in own:
            section.faults.append(
                f"{section.where}: {key} is the same for all nodes; write it above the first [[nodes]]"
            )
        else:
            section.faults.append(f"{section.where}: unknown key {key}{_near(key, [*OF_NODE, cloud])}")
    return section


def _read_cloud(section: NodeSection, prefix: str, values: Mapping[str, Any], of: type[Section]) -> None:
    declared = {each.name: each for each in fields(of)}
    for key, value in values.items():
        label = f"[{prefix}] {key}"
        if key in of.OF_NODE:
            _take(section, section.of_cloud, label, declared[key], value)
        elif key in declared:
            section.faults.append(f"{section.where}: {label} is the same for all nodes; write it below [{prefix}]")
        else:
            section.faults.append(f"{section.where}: unknown key {label}{_near(key, of.OF_NODE)}")


def _take(section: NodeSection, into: dict[str, Any], label: str, declared: Any, raw: Any) -> None:
    said = f"{section.where}: {label}" + ("" if declared.metadata["secret"] else f" = {raw!r}")
    try:
        value = declared.metadata["parse"](raw)
    except ValueError as error:
        section.faults.append(f"{said}: {error}")
        return
    into[declared.name] = value
    if any(is_placeholder(text) for text in texts(value)):
        section.faults.append(f"{said}: this is a placeholder; write {declared.metadata['advice']}")


def texts(value: Any) -> Sequence[str]:
    """Those that a setting's value consists of."""
    each = value if isinstance(value, tuple) else (value,)
    return [text for text in each if isinstance(text, str)]


def _near(key: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; a node may have {', '.join(sorted(known))}"


def _compare(sections: Sequence[NodeSection]) -> None:
    """Two nodes of one name are one, and two cannot listen at one port."""
    for key in ("node_name", "kubelet_port"):
        first: dict[Any, str] = {}
        for each in sections:
            value = each.chosen.get(key)
            if value and first.setdefault(value, each.where) != each.where:
                each.faults.append(f"{each.where}: {key} = {value!r}: {first[value].partition(': ')[2]} has it already")


def ports(first: int, sections: Sequence[NodeSection]) -> Iterator[int]:
    """Of each node's kubelet API: what it says, else the next free one from the process's on; 0 = any."""
    said = {each.chosen["kubelet_port"] for each in sections if each.chosen.get("kubelet_port")}
    port = first
    for each in sections:
        if "kubelet_port" in each.chosen or not first:
            yield each.chosen.get("kubelet_port", 0)
            continue
        while port in said:
            port += 1
        yield port
        port += 1
