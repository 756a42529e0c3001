"""The settings of `vk-provider qos-agent`: flags and variables, all faults at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from vk_provider.errors import ConfigError
from vk_provider.settings import dns_name, flag, integer, listening, one_of, seconds, setting, text_value, url

PREFIX = "agent"  # of its variables: a provider's beside it have other values


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """The settings of one agent, checked."""

    node_name: str = setting(
        "",
        dns_name,
        "name of the node that the agent runs on, and the only one it writes",
        env=("NODE_NAME",),
        section="The cluster",
    )
    namespace: str = setting(
        "kube-system", dns_name, "namespace of the agents' Leases; their own", env=("POD_NAMESPACE",)
    )
    kubeconfig: str = setting(
        "",
        text_value,
        "kubeconfig file; empty inside a cluster, where the ServiceAccount serves",
        env=("KUBECONFIG",),
        metavar="FILE",
    )
    kube_context: str = setting("", text_value, "context in the kubeconfig; empty = its current one", metavar="NAME")
    zeroes_silent: bool = setting(
        True,
        flag,
        "stand for election among the agents; the one that is elected zeroes what nodes publish whose agent is silent",
        short="zero the figures of silent agents, if elected",
    )
    kubelet_url: str = setting(
        "",
        url,
        "where the kubelet is; empty = at the address and port that the Node says. The token is sent by https only",
        section="The node",
        short="where the kubelet is; empty = as its Node says",
    )
    kubelet_insecure: bool = setting(
        False,
        flag,
        "do not verify the kubelet's certificate, as where kubelets sign their own: the agent then believes whoever "
        "answers at the node's address, and sends its token there",
        short="do not verify the kubelet's certificate",
    )
    cgroup_root: str = setting(
        "/sys/fs/cgroup",
        text_value,
        "where the node's control groups are mounted. While no folder of pods is found there nothing is offered, for "
        "nobody would yield; empty = make nobody yield and offer all the same, for nodes without a kernel of their own",
        short="where the node's control groups are mounted",
        metavar="DIRECTORY",
    )
    state_directory: str = setting(
        "/var/lib/qos-agent",
        text_value,
        "where the history of the node's use and the weights of its pods are kept over restarts; empty = nowhere",
        short="what is kept over restarts; empty = nothing",
        metavar="DIRECTORY",
    )
    reserve_cpu_percent: int = setting(
        10,
        integer(0, 100),
        "of the node's allocatable processors, what is never offered; the annotation reserve.node.gocrane.io/cpu of "
        "the Node goes before it",
        section="What is offered",
        short="of allocatable cpu, what is never offered",
    )
    reserve_memory_percent: int = setting(
        10,
        integer(0, 100),
        "of the node's allocatable memory, what is never offered; the annotation reserve.node.gocrane.io/memory of "
        "the Node goes before it",
        short="of allocatable memory, what is never offered",
    )
    interval_s: float = setting(
        5.0,
        seconds(1, 10),
        "between two readings of the kubelet; what is published falls with the next one, and grows with the third",
        short="seconds between two readings of the kubelet",
    )
    listen_address: str = setting(
        ":8081",
        listening,
        "where /healthz, /livez, /readyz and /metrics are served over plain HTTP; empty = nowhere",
        section="The process",
        short="where health and metrics are served",
    )
    log_level: str = setting("info", one_of("debug", "info", "warning", "error"), "least severity of log lines")
    log_format: str = setting("text", one_of("text", "json"), "log lines for people or for programs")


def flag_of(name: str) -> str:
    """Raises KeyError for a name that is no setting."""
    _SETTINGS[name]
    return "--" + name.replace("_", "-")


def env_names(name: str) -> tuple[str, ...]:
    """The variables that set it, the first that is there wins."""
    return (f"VK_{PREFIX}_{name}".upper(), *_SETTINGS[name].metadata["env"])


def settings() -> Mapping[str, Mapping[str, Any]]:
    """As `config.settings`: for the help text."""
    default, heading = AgentOptions(), ""
    found: dict[str, Mapping[str, Any]] = {}
    for name, each in _SETTINGS.items():
        value = getattr(default, name)
        heading = each.metadata["section"] or heading
        found[name] = {
            **{key: each.metadata[key] for key in ("text", "short", "metavar", "secret")},
            "section": heading,
            "default": value,
            "env": env_names(name),
            "is_switch": isinstance(value, bool),
            "is_list": False,
        }
    return found


def parse(*, flags: Mapping[str, Any], env: Mapping[str, str]) -> AgentOptions:
    """flags: setting name → raw value. Raises ConfigError with every fault."""
    chosen: dict[str, Any] = {}
    faults: list[str] = []
    for name, each in _SETTINGS.items():
        found = _raw(name, flags, env)
        if found is None:
            continue
        raw, where = found
        try:
            chosen[name] = each.metadata["parse"](raw)
        except ValueError as error:
            faults.append(f"{where} = {raw!r}: {error}")
    if not chosen.get("node_name") and not any("node-name" in fault for fault in faults):
        faults.append("--node-name / NODE_NAME: name the node that the agent runs on")
    if faults:
        raise ConfigError(faults)
    return AgentOptions(**chosen)


_SETTINGS = {each.name: each for each in fields(AgentOptions)}


def _raw(name: str, flags: Mapping[str, Any], env: Mapping[str, str]) -> tuple[Any, str] | None:
    if name in flags:
        return flags[name], flag_of(name)
    for variable in env_names(name):
        if variable in env:
            return env[variable], f"environment variable {variable}"
    return None
