"""Every setting, once: its flag, environment names, TOML key, default and the reason for the default.

A setting `node_name` is the flag `--node-name`, the TOML key `node_name`, and the environment variable
`VK_NODE_NAME` besides any older names listed with it. Precedence: flag, environment, TOML file, default.
Pure: the caller reads the file and the environment. All faults are reported at once.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from vk_provider.errors import ConfigError
from vk_provider.model import quantity

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

Parse = Callable[[Any], Any]
"""Turns what stood in a flag, a variable or the file into the value; raises ValueError with advice."""


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("expected text")  # noqa: TRY004 - one error kind for one report
    return raw.strip()


def _node_name(raw: Any) -> str:
    name = _text(raw)
    if len(name) > 253 or not _NAME.match(name):
        raise ValueError("use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit")
    return name


def _integer(least: int, most: int) -> Parse:
    def parse(raw: Any) -> int:
        if isinstance(raw, bool) or not re.fullmatch(r"-?\d+", str(raw).strip()):
            raise ValueError(f"expected a whole number from {least} to {most}")
        number = int(raw)
        if not least <= number <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return number

    return parse


def _seconds(least: float, most: float) -> Parse:
    def parse(raw: Any) -> float:
        try:
            number = float(raw) if not isinstance(raw, bool) else float("nan")
        except (TypeError, ValueError):
            number = float("nan")
        if not least <= number <= most:
            raise ValueError(f"expected seconds, a number from {least:g} to {most:g}")
        return number

    return parse


def _flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def _list(raw: Any) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a comma-separated list")
    return tuple(part.strip() for part in parts if part.strip())


def _addresses(raw: Any) -> tuple[str, ...]:
    return tuple(_address(part) for part in _list(raw))


def _address(raw: Any) -> str:
    text = _text(raw)
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("expected an IP address") from None


def _labels(raw: Any) -> Mapping[str, str]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in _list(raw)]
    labels: dict[str, str] = {}
    for key, value in pairs:
        if not _LABEL_KEY.match(str(key)) or not _LABEL_VALUE.match(str(value)):
            raise ValueError(f"{key}={value} is not a label; write key=value,key=value")
        labels[str(key)] = str(value)
    return labels


def _limits(raw: Any) -> Mapping[str, int]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in _list(raw)]
    limits: dict[str, int] = {}
    for action, count in pairs:
        if not re.fullmatch(r"[A-Z][A-Za-z]+", str(action)):
            raise ValueError(f"{action!r} is no name of an ECI call; write CreateContainerGroup=3000")
        limits[str(action)] = _integer(1, 1_000_000)(count)
    return limits


def _object_name(raw: Any) -> str:
    text = _text(raw)
    if text and (text.count("/") != 1 or not all(_NAME.match(part) for part in text.split("/"))):
        raise ValueError("expected namespace/name")
    return text


def _quantity(raw: Any) -> str:
    if quantity.parse(raw) <= 0:
        raise ValueError("expected more than nothing")
    return str(raw)


def _one_of(*words: str) -> Parse:
    def parse(raw: Any) -> str:
        word = _text(raw)
        by_lower = {known.lower(): known for known in words}
        if word.lower() not in by_lower:
            raise ValueError(f"expected one of {', '.join(words)}")
        return by_lower[word.lower()]

    return parse


def _url(raw: Any) -> str:
    text = _text(raw)
    if text and not re.match(r"^https?://[^/\s]+/?$", text):
        raise ValueError("expected a URL such as https://eci.cn-hangzhou.aliyuncs.com or http://127.0.0.1:8080")
    return text.rstrip("/")


def setting(
    default: Any, parse: Parse, text: str, *, env: Sequence[str] = (), flag: str = "", secret: bool = False
) -> Any:
    """Declares one setting. text: what it means, its unit, and why the default is what it is."""
    meta = {"parse": parse, "text": text, "env": tuple(env), "flag": flag, "secret": secret}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=meta)
    return field(default=default, metadata=meta, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one provider process, checked."""

    # --- the cluster
    kubeconfig: str = setting(
        "",
        _text,
        "kubeconfig file; empty inside a cluster, where the ServiceAccount serves",
        env=("KUBECONFIG",),
    )
    kube_context: str = setting("", _text, "context in the kubeconfig; empty = its current one")
    cluster_name: str = setting(
        "default",
        _text,
        "what people call the cluster: shown as a tag of its instances, which are known by the cluster's own uid",
        env=("ECI_CLUSTER_NAME", "ALIYUN_CLUSTERID"),
    )
    cluster_dns: tuple[str, ...] = setting(
        (), _addresses, "addresses of the cluster's DNS, written into instances; empty = the cloud's own resolver"
    )
    cluster_domain: str = setting("cluster.local", _text, "DNS domain of the cluster")
    kubernetes_service_host: str = setting(
        "",
        _text,
        "what pods get as KUBERNETES_SERVICE_HOST, where the Service address cannot be reached from instances",
    )
    kubernetes_service_port: int = setting(0, _integer(0, 65535), "likewise the port; 0 = the Service's own")

    # --- the node
    node_name: str = setting(
        "virtual-kubelet", _node_name, "name of the virtual node; must stay the same over restarts"
    )
    node_ip: str = setting(
        "",
        _address,
        "address at which the API server reaches our kubelet API; empty = the one this host uses toward it",
        env=("VKUBELET_POD_IP",),
    )
    node_labels: Mapping[str, str] = setting({}, _labels, "further node labels, key=value,key=value")
    taint_key: str = setting(
        "virtual-kubelet.io/provider",
        _text,
        "key of the node's taint; empty = no taint",
        env=("VKUBELET_TAINT_KEY",),
    )
    taint_value: str = setting("alibabacloud", _text, "value of the node's taint", env=("VKUBELET_TAINT_VALUE",))
    taint_effect: str = setting(
        "NoSchedule",
        _one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
        "effect of the node's taint",
        env=("VKUBELET_TAINT_EFFECT",),
    )
    quota_cpu: str = setting(
        "5000",
        _quantity,
        "CPU that the node offers: your account's quota",
        env=("ECI_QUOTA_CPU",),
    )
    quota_memory: str = setting("20Ti", _quantity, "memory that the node offers", env=("ECI_QUOTA_MEMORY",))
    quota_pods: int = setting(
        5000, _integer(1, 100_000), "pods that the node offers", env=("ECI_QUOTA_POD",), flag="--quota-pods"
    )
    quota_gpus: int = setting(0, _integer(0, 100_000), "nvidia.com/gpu that the node offers; 0 = none")
    adopt_node: bool = setting(
        False, _flag, "take over an existing Node of our name that we did not make; never true for a real machine"
    )
    daemon_set_pods: str = setting(
        "pending",
        _one_of("pending", "fail"),
        "DaemonSet pods that land here: stay pending with an event (quiet), or fail (their controller makes new ones)",
    )

    # --- the kubelet API
    kubelet_port: int = setting(
        10250,
        _integer(0, 65535),
        "port of the kubelet API; 0 = any free one. Metrics tools expect 10250",
        env=("KUBELET_PORT",),
    )
    kubelet_bind: str = setting("0.0.0.0", _address, "address that the kubelet API listens on")
    tls_cert_file: str = setting(
        "",
        _text,
        "serving certificate of the kubelet API, PEM, read again when it changes; empty = see serving_certificate",
        env=("APISERVER_CERT_LOCATION",),
    )
    tls_key_file: str = setting("", _text, "its private key, PEM", env=("APISERVER_KEY_LOCATION",))
    serving_certificate: str = setting(
        "csr",
        _one_of("csr", "self-signed"),
        "without a file: csr = signed by the cluster for kubernetes.io/kubelet-serving and renewed, self-signed until "
        "somebody approves the request (kubectl certificate approve); self-signed = never asked for",
    )
    approve_own_certificate: bool = setting(
        False,
        _flag,
        "approve our own certificate requests. Off, since who may do that can be given a certificate in the name of "
        "any node; needs the rights that deploy/vk-provider.yaml shows as comments",
    )
    client_ca_file: str = setting(
        "", _text, "CA of client certificates, PEM; empty = the cluster's, read from its ConfigMap"
    )
    insecure_kubelet_api: bool = setting(
        False, _flag, "answer everybody without asking who it is. For a laptop only: it gives away logs"
    )

    # --- the cloud
    eci_region: str = setting("", _text, "region, as cn-hangzhou", env=("ECI_REGION",))
    eci_endpoint: str = setting(
        "", _url, "URL of the ECI API; empty = https://eci.<region>.aliyuncs.com", env=("ECI_ENDPOINT",)
    )
    eci_access_key: str = setting(
        "", _text, "AccessKey id; empty = the default chain of credentials", env=("ECI_ACCESS_KEY",), secret=True
    )
    eci_secret_key: str = setting("", _text, "AccessKey secret", env=("ECI_SECRET_KEY",), secret=True)
    eci_security_token: str = setting("", _text, "STS token that goes with them", secret=True)
    eci_vswitch: tuple[str, ...] = setting((), _list, "vSwitches, in order of preference", env=("ECI_VSWITCH",))
    eci_security_group: str = setting("", _text, "security group", env=("ECI_SECURITY_GROUP",))
    eci_zone: str = setting("", _text, "zone; empty = chosen by the cloud")
    eci_resource_group: str = setting("", _text, "resource group", env=("ALIYUN_RESOURCEGROUP_ID",))
    eci_ram_role: str = setting("", _text, "RAM role of instances whose pod names none by annotation")
    eci_spot_strategy: str = setting(
        "NoSpot",
        _one_of("NoSpot", "SpotAsPriceGo"),
        "for pods that say nothing of it by annotation; a price limit only a pod can set, for it goes by size",
    )
    eci_gpu_instance_type: tuple[str, ...] = setting(
        (), _list, "ECS types, in order of preference, for pods that ask for GPUs and name no type; empty = refused"
    )
    eci_cpu_architecture: str = setting(
        "amd64", _one_of("amd64", "arm64"), "of the node and of instances whose pod insists on none"
    )
    eci_profile: str = setting(
        "kube-system/eci-profile",
        _object_name,
        "ConfigMap namespace/name with the network and with selectors, as the vendor's node has it; read again when it "
        "changes; empty = none",
    )

    eci_calls_per_minute: Mapping[str, int] = setting(
        {},
        _limits,
        "limits that a ticket has raised, as CreateContainerGroup=3000,DeleteContainerGroup=3000; others as published",
    )

    # --- pace
    poll_interval_s: float = setting(
        2.0, _seconds(0.1, 60), "seconds between two looks for changes in the cloud; a status is at most so much late"
    )
    sweep_interval_s: float = setting(
        120.0, _seconds(1, 3600), "seconds between two full counts, which find lost and orphaned instances"
    )
    orphan_age_s: float = setting(
        60.0, _seconds(0, 3600), "an instance without a pod is deleted only when it is at least so old"
    )
    live_configuration: bool = setting(
        True,
        _flag,
        "bring changes of ConfigMaps, Secrets and labels, and renewed tokens, to the files of running instances. It is "
        "not known whether ECI restarts containers for that; off = files stay as they were, and tokens expire. Per "
        'pod: annotation virtual-kubelet.io/live-configuration: "false"',
    )
    workers: int = setting(
        128, _integer(1, 1000), "pods worked on at the same time; half of them at most may be at a create call"
    )

    # --- the log
    log_level: str = setting("info", _one_of("debug", "info", "warning", "error"), "how much is logged")
    log_format: str = setting("text", _one_of("text", "json"), "shape of a log line")

    @property
    def taints(self) -> Sequence[Mapping[str, str]]:
        if not self.taint_key:
            return ()
        return ({"key": self.taint_key, "value": self.taint_value, "effect": self.taint_effect},)


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def env_names(name: str) -> tuple[str, ...]:
    """The variables that set it, the first that is there wins."""
    older: tuple[str, ...] = _FIELDS[name].metadata["env"]
    return (f"VK_{name.upper()}", *older)


_FIELDS = {each.name: each for each in fields(Config)}


def settings() -> Mapping[str, Mapping[str, Any]]:
    """name → {text, default, env, secret}: for the help text and the README."""
    default = Config()
    return {
        name: {
            "text": each.metadata["text"],
            "default": getattr(default, name),
            "env": env_names(name),
            "secret": each.metadata["secret"],
            "is_switch": isinstance(getattr(default, name), bool),
        }
        for name, each in _FIELDS.items()
    }


def parse(
    *, flags: Mapping[str, Any], env: Mapping[str, str], toml: str | None = None, toml_name: str = "the file"
) -> Config:
    """Put the three sources together. flags: setting name → raw value, only those given.

    Raises ConfigError with every fault, each naming where the value stood and what to write instead.
    """
    faults: list[str] = []
    table = _table(toml, toml_name, faults)
    chosen: dict[str, Any] = {}
    for name, each in _FIELDS.items():
        found = _raw(name, flags, env, table, toml_name)
        if found is None:
            continue
        raw, where = found
        try:
            chosen[name] = each.metadata["parse"](raw)
        except ValueError as error:
            shown = "" if each.metadata["secret"] else f" = {raw!r}"
            faults.append(f"{where}{shown}: {error}")
    faults += _mixed(chosen)
    if faults:
        raise ConfigError(faults)
    return Config(**_completed(chosen))


def _raw(
    name: str, flags: Mapping[str, Any], env: Mapping[str, str], table: Mapping[str, Any], toml_name: str
) -> tuple[Any, str] | None:
    if name in flags:
        return flags[name], flag_of(name)
    for variable in env_names(name):
        if variable in env:
            return env[variable], f"environment variable {variable}"
    if name in table:
        return table[name], f"{toml_name}: {name}"
    return None


def _table(toml: str | None, toml_name: str, faults: list[str]) -> Mapping[str, Any]:
    if toml is None:
        return {}
    try:
        table = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{toml_name}: not TOML: {error}")
        return {}
    for key in table:
        if key not in _FIELDS:
            close = difflib.get_close_matches(key, _FIELDS, n=1)
            advice = f"; did you mean {close[0]}?" if close else "; `vk-provider run --help` lists the keys"
            faults.append(f"{toml_name}: unknown key {key}{advice}")
    return table


def _mixed(chosen: Mapping[str, Any]) -> list[str]:
    """Faults that no single setting shows."""
    faults = []
    if bool(chosen.get("eci_access_key")) != bool(chosen.get("eci_secret_key")):
        missing = "eci_secret_key" if chosen.get("eci_access_key") else "eci_access_key"
        faults.append(f"{flag_of(missing)}: an AccessKey has two halves; set {' or '.join(env_names(missing))}")
    if bool(chosen.get("tls_cert_file")) != bool(chosen.get("tls_key_file")):
        faults.append("--tls-cert-file and --tls-key-file: give both, or none to have one made")
    if chosen.get("tls_cert_file") and "serving_certificate" in chosen:
        faults.append("--serving-certificate: --tls-cert-file says what to serve with; leave one of the two out")
    if not chosen.get("eci_region") and not chosen.get("eci_endpoint"):
        faults.append("--eci-region: say in which region to run; set ECI_REGION, for example cn-hangzhou")
    return faults


def _completed(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Region and endpoint follow from each other where only one is given."""
    done = dict(chosen)
    if not done.get("eci_region"):
        official = re.match(r"https?://eci(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$", done["eci_endpoint"])
        done["eci_region"] = official.group(1) if official else "cn-hangzhou"
    if not done.get("eci_endpoint"):
        done["eci_endpoint"] = f"https://eci.{done['eci_region']}.aliyuncs.com"
    return done
