"""Every setting, once: its flag, environment names, TOML key, default and the reason for the default.

A setting `node_name` is the flag `--node-name`, the TOML key `node_name`, and the environment variable
`VK_NODE_NAME` besides any older names listed with it. A cloud has a section of its own: its setting `region` is
`--eci-region`, `VK_ECI_REGION`, and `region` in the table `[eci]`. Precedence: flag, environment, TOML file, default.
Several nodes are sections `[[nodes]]` of the file (`node_sections`).
Pure: the caller reads the file and the environment. All faults are reported at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from vk_provider import node_sections
from vk_provider.config import spelling
from vk_provider.config.clouds import CLOUDS, SECTIONS, CloudSettings
from vk_provider.config.cluster import ClusterSettings
from vk_provider.config.kubelet_api import KubeletApiSettings
from vk_provider.config.node import NodeSettings
from vk_provider.config.process import LogSettings, PaceSettings, PlacementSettings
from vk_provider.errors import ConfigError
from vk_provider.settings import Section, is_placeholder


@dataclass(frozen=True, kw_only=True)
class Config(
    LogSettings, PaceSettings, CloudSettings, PlacementSettings, KubeletApiSettings, NodeSettings, ClusterSettings
):
    """The settings of one provider process, checked. The help and the guide show them from the last base on."""

    @property
    def options(self) -> Any:
        """The section of the cloud that was chosen."""
        return getattr(self, self.cloud)

    nodes: tuple[Config, ...] = ()  # those of the sections [[nodes]], each as if it were the only one

    @property
    def for_nodes(self) -> Sequence[Config]:
        """The settings of each node that this process may serve."""
        return self.nodes or (self,)

    @property
    def taints(self) -> Sequence[Mapping[str, str]]:
        own = {"key": self.taint_key, "value": self.taint_value, "effect": self.taint_effect}
        return (*((own,) if self.taint_key else ()), *self.node_taints)


class _Setting(NamedTuple):
    """Where a setting is kept. section: None for the process's own. field: of the dataclass."""

    section: type[Section] | None
    field: Any


def _all() -> Iterator[tuple[str, _Setting]]:
    for each in fields(Config):
        if each.name == node_sections.KEY:
            continue
        section = SECTIONS.get(each.name)
        if section is None:
            yield each.name, _Setting(None, each)
        else:
            yield from ((f"{each.name}_{one.name}", _Setting(section, one)) for one in fields(section))


_SETTINGS = dict(_all())


def flag_of(name: str) -> str:
    """Raises KeyError for a name that is no setting, so that no message can name a flag that does not exist."""
    _SETTINGS[name]
    return "--" + name.replace("_", "-")


def named(name: str) -> str:
    """The flag and the best-known variable, as messages name a setting: `--eci-access-key / ECI_ACCESS_KEY`."""
    return f"{flag_of(name)} / {env_names(name)[:2][-1]}"


def env_names(name: str) -> tuple[str, ...]:
    """The variables that set it, the first that is there wins."""
    older: tuple[str, ...] = _SETTINGS[name].field.metadata["env"]
    return (f"VK_{name.upper()}", *older)


def key_of(name: str) -> str:
    """Its key in the TOML file, with the table that it stands in: `node_name`, `[eci] region`."""
    section, declared = _SETTINGS[name]
    return declared.name if section is None else f"[{section.PREFIX}] {declared.name}"


def shown() -> Sequence[str]:
    """The settings of clouds that shape a request or a price."""
    return [f"{prefix}_{name}" for prefix, section in SECTIONS.items() for name in section.SHOWN]


def files_of_clouds() -> Sequence[str]:
    """The settings of clouds that name files, which have to be there."""
    return [f"{prefix}_{name}" for prefix, section in SECTIONS.items() for name in section.FILES]


def settings() -> Mapping[str, Mapping[str, Any]]:
    """name → {text, short, section, metavar, default, env, secret, is_switch, is_list}: for the help text."""
    default = Config()
    found: dict[str, Mapping[str, Any]] = {}
    heading = ""
    for name, (section, each) in _SETTINGS.items():
        value = getattr(default if section is None else getattr(default, section.PREFIX), each.name)
        heading = each.metadata["section"] or heading
        found[name] = {
            **{key: each.metadata[key] for key in ("text", "short", "metavar", "secret")},
            "section": heading,
            "default": value,
            "env": env_names(name),
            "is_switch": isinstance(value, bool),
            "is_list": isinstance(value, tuple | dict),
        }
    return found


def parse(
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    toml: str | None = None,
    toml_name: str = "the file",
    with_cloud: bool = True,
) -> Config:
    """Put the three sources together. flags: setting name → raw value, only those given. with_cloud: it will be called,
    so that it has to be known where it is.

    Raises ConfigError with every fault, each naming where the value stood and what to write instead.
    """
    faults: list[str] = []
    table = _table(toml, toml_name, faults)
    chosen: dict[str, Any] = {}
    of_sections: dict[str, dict[str, Any]] = {prefix: {} for prefix in SECTIONS}
    for name, (section, each) in _SETTINGS.items():
        found = _raw(name, flags, env, table, toml_name)
        if found is None:
            continue
        raw, where = found
        said = where if each.metadata["secret"] else f"{where} = {raw!r}"
        try:
            value = each.metadata["parse"](raw)
        except ValueError as error:
            faults.append(f"{said}: {error}")
            continue
        (chosen if section is None else of_sections[section.PREFIX])[each.name] = value
        if any(is_placeholder(text) for text in node_sections.texts(value)):
            faults.append(f"{said}: this is a placeholder; write {each.metadata['advice']}")
    faults += spelling.unknown_variables(env, {variable for name in _SETTINGS for variable in env_names(name)})
    cloud = chosen.get("cloud", "eci")
    if not with_cloud:
        of_sections[cloud] = dict(SECTIONS[cloud].without_cloud(of_sections[cloud]))
    faults += _mixed(chosen)
    of_cloud: list[str] = []
    if "cloud" in chosen or _raw("cloud", flags, env, table, toml_name) is None:  # else nobody knows which is meant
        of_cloud = list(SECTIONS[cloud].faults(of_sections[cloud]))
    declared = {name: each for name, (section, each) in _SETTINGS.items() if section is None}
    nodes = node_sections.read(table, toml_name, own=declared, cloud=cloud, clouds=CLOUDS)
    faults += of_cloud
    for node in nodes:
        own = SECTIONS[cloud].faults({**of_sections[cloud], **node.of_cloud})
        faults += [*node.faults, *(f"{node.where}: {fault}" for fault in own if fault not in of_cloud)]
    if nodes and (named_twice := _raw("node_name", flags, env, table, toml_name)):
        faults.append(f"{named_twice[1]}: the sections [[nodes]] say what the nodes are called; leave it out")
    if faults:
        raise ConfigError(faults)
    return _put_together(chosen, of_sections, cloud, nodes)


def _put_together(
    chosen: Mapping[str, Any],
    of_sections: Mapping[str, Mapping[str, Any]],
    cloud: str,
    nodes: Sequence[node_sections.NodeSection],
) -> Config:
    completed = {**of_sections, cloud: SECTIONS[cloud].completed(of_sections[cloud])}
    sections: dict[str, Any] = {prefix: section(**completed[prefix]) for prefix, section in SECTIONS.items()}
    process = Config(**chosen, **sections)
    found = []
    for node, port in zip(nodes, node_sections.ports(process.kubelet_port, nodes), strict=True):
        of_cloud = SECTIONS[cloud](**SECTIONS[cloud].completed({**of_sections[cloud], **node.of_cloud}))
        lease = f"{process.leader_lease}-{node.chosen['node_name']}" if process.leader_lease else ""
        changed = {**node.chosen, "kubelet_port": port, "leader_lease": lease, cloud: of_cloud}
        found.append(replace(process, **changed))
    return replace(process, nodes=tuple(found)) if found else process


def stated(name: str, *, flags: Mapping[str, Any], env: Mapping[str, str], toml: str | None = None) -> str:
    """What is said of one setting, be the others right or wrong; empty = nothing that is a text."""
    found = _raw(name, flags, env, _table(toml, "", []), "")
    return found[0] if found is not None and isinstance(found[0], str) else ""


def _raw(
    name: str, flags: Mapping[str, Any], env: Mapping[str, str], table: Mapping[str, Any], toml_name: str
) -> tuple[Any, str] | None:
    if name in flags:
        return flags[name], flag_of(name)
    for variable in env_names(name):
        if variable in env:
            return env[variable], f"environment variable {variable}"
    section, declared = _SETTINGS[name]
    values = table if section is None else table.get(section.PREFIX)
    if isinstance(values, Mapping) and declared.name in values:
        return values[declared.name], f"{toml_name}: {key_of(name)}"
    return None


def _table(toml: str | None, toml_name: str, faults: list[str]) -> Mapping[str, Any]:
    if toml is None:
        return {}
    try:
        table = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{toml_name}: not TOML: {error}")
        return {}
    known = {name: key_of(name) for name in _SETTINGS}
    faults += [f"{toml_name}: {fault}" for fault in spelling.unknown_keys(table, known, SECTIONS, node_sections.KEY)]
    return table


def _mixed(chosen: Mapping[str, Any]) -> list[str]:
    """Faults that no single setting shows."""
    faults = []
    if bool(chosen.get("tls_cert_file")) != bool(chosen.get("tls_key_file")):
        faults.append("--tls-cert-file and --tls-key-file: give both, or none to have one made")
    if chosen.get("tls_cert_file") and "serving_certificate" in chosen:
        faults.append("--serving-certificate: --tls-cert-file says what to serve with; leave one of the two out")
    return faults
