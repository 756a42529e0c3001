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
from typing import Any, TypeVar

from vk_provider.eci_names import id_fault, is_placeholder, region_fault
from vk_provider.errors import ConfigError
from vk_provider.model import quantity

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

Parse = Callable[[Any], Any]
"""Turns what stood in a flag, a variable or the file into the value; raises ValueError with advice."""

MOST_VSWITCHES, MOST_SECURITY_GROUPS = 10, 5  # eci.md 2.1

AnyParse = TypeVar("AnyParse", bound=Parse)
_METAVARS: dict[Parse, str] = {}


def _takes(metavar: str) -> Callable[[AnyParse], AnyParse]:
    """Says how the help shows a value of this type."""

    def mark(parse: AnyParse) -> AnyParse:
        _METAVARS[parse] = metavar
        return parse

    return mark


@_takes("TEXT")
def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("expected text")  # noqa: TRY004 - one error kind for one report
    return raw.strip()


@_takes("NAME")
def _node_name(raw: Any) -> str:
    name = _text(raw)
    if len(name) > 253 or not _NAME.match(name):
        raise ValueError("use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit")
    return name


def _integer(least: int, most: int) -> Parse:
    @_takes("N")
    def parse(raw: Any) -> int:
        if isinstance(raw, bool) or not re.fullmatch(r"-?\d+", str(raw).strip()):
            raise ValueError(f"expected a whole number from {least} to {most}")
        number = int(raw)
        if not least <= number <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return number

    return parse


def _seconds(least: float, most: float) -> Parse:
    @_takes("SECONDS")
    def parse(raw: Any) -> float:
        try:
            number = float(raw) if not isinstance(raw, bool) else float("nan")
        except (TypeError, ValueError):
            number = float("nan")
        if not least <= number <= most:
            raise ValueError(f"expected seconds, a number from {least:g} to {most:g}")
        return number

    return parse


@_takes("TEXT")
def _tag(raw: Any) -> str:
    """What stands in the tags of our instances. Source: eci.md 2.1."""
    text = _text(raw)
    if not text:
        raise ValueError("must not be empty")
    if "://" in text:
        raise ValueError("holds a URL, which ECI does not allow in a tag; choose a plain name")
    return text


@_takes("true|false")
def _flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


@_takes("A,B,…")
def _list(raw: Any) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a comma-separated list")
    return tuple(part.strip() for part in parts if part.strip())


@_takes("VSW-ID,VSW-ID,…")
def _vswitches(raw: Any) -> tuple[str, ...]:
    return _ids(_list(raw), "vsw", most=MOST_VSWITCHES, example="vsw-bp1xyz")


@_takes("SG-ID")
def _security_groups(raw: Any) -> str:
    return ",".join(_ids(_list(raw), "sg", most=MOST_SECURITY_GROUPS, example="sg-bp1xyz"))


@_takes("RG-ID")
def _resource_group(raw: Any) -> str:
    return "".join(_ids(_list(raw), "rg", most=1, example="rg-acfmxyz"))


def _ids(ids: tuple[str, ...], prefix: str, *, most: int, example: str) -> tuple[str, ...]:
    faults = [] if len(ids) <= most else [f"{len(ids)} are given, and ECI takes at most {most}"]
    faults += [fault for each in ids if not is_placeholder(each) and (fault := id_fault(each, prefix, example=example))]
    if faults:
        raise ValueError("; ".join(faults))
    return ids


@_takes("IP,IP,…")
def _addresses(raw: Any) -> tuple[str, ...]:
    return tuple(_address(part) for part in _list(raw))


@_takes("IP")
def _address(raw: Any) -> str:
    text = _text(raw)
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("expected an IP address") from None


@_takes("KEY=VALUE,…")
def _labels(raw: Any) -> Mapping[str, str]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in _list(raw)]
    labels: dict[str, str] = {}
    for key, value in pairs:
        if not _LABEL_KEY.match(str(key)) or not _LABEL_VALUE.match(str(value)):
            raise ValueError(f"{key}={value} is not a label; write key=value,key=value")
        labels[str(key)] = str(value)
    return labels


@_takes("CALL=N,…")
def _limits(raw: Any) -> Mapping[str, int]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in _list(raw)]
    limits: dict[str, int] = {}
    for action, count in pairs:
        if not re.fullmatch(r"[A-Z][A-Za-z]+", str(action)):
            raise ValueError(f"{action!r} is no name of an ECI call; write CreateContainerGroup=3000")
        limits[str(action)] = _integer(1, 1_000_000)(count)
    return limits


@_takes("NAMESPACE/NAME")
def _object_name(raw: Any) -> str:
    text = _text(raw)
    if text and (text.count("/") != 1 or not all(_NAME.match(part) for part in text.split("/"))):
        raise ValueError("expected namespace/name")
    return text


@_takes("QUANTITY")
def _quantity(raw: Any) -> str:
    if quantity.parse(raw) <= 0:
        raise ValueError("expected more than nothing")
    return str(raw)


def _one_of(*words: str) -> Parse:
    @_takes("|".join(words))
    def parse(raw: Any) -> str:
        word = _text(raw)
        by_lower = {known.lower(): known for known in words}
        if word.lower() not in by_lower:
            raise ValueError(f"expected one of {', '.join(words)}")
        return by_lower[word.lower()]

    return parse


@_takes("HOST:PORT")
def _listening(raw: Any) -> str:
    """`host:port` or `:port`, with an IPv6 host in brackets."""
    text = _text(raw)
    host, _, port = text.rpartition(":")
    if not text:
        return ""
    is_port = ":" in text and re.fullmatch(r"\d{1,5}", port) and int(port) <= 65535
    if not is_port or (":" in host and not host.startswith("[")):
        raise ValueError("expected host:port or :port, as 127.0.0.1:10261")
    if host:
        _address(host.strip("[]"))
    return text


@_takes("URL")
def _url(raw: Any) -> str:
    text = _text(raw)
    if text and not re.match(r"^https?://[^/\s]+/?$", text):
        raise ValueError("expected a URL such as https://eci.cn-hangzhou.aliyuncs.com or http://127.0.0.1:8080")
    return text.rstrip("/")


def setting(
    default: Any,
    parse: Parse,
    text: str,
    *,
    env: Sequence[str] = (),
    secret: bool = False,
    section: str = "",
    short: str = "",
    metavar: str = "",
) -> Any:
    """Declares one setting.

    text: what it means, its unit, and why the default is what it is. short: what it means in a few words, where those
    of `text` up to its first stop are too many. section: heading in the help, for this and the settings after it.
    metavar: how the help shows a value, where the type says too little.
    """
    meta = {
        "parse": parse,
        "text": text,
        "env": tuple(env),
        "secret": secret,
        "section": section,
        "short": short or re.split(r"[;,] |\. ", text, maxsplit=1)[0],
        "metavar": metavar or _METAVARS[parse],
    }
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
        section="The cluster",
        metavar="FILE",
    )
    kube_context: str = setting("", _text, "context in the kubeconfig; empty = its current one", metavar="NAME")
    cluster_name: str = setting(
        "default",
        _tag,
        "what people call the cluster: shown as a tag of its instances, which are known by the cluster's own uid",
        short="what people call the cluster; a tag of its instances",
        env=("ECI_CLUSTER_NAME", "ALIYUN_CLUSTERID"),
        metavar="NAME",
    )
    cluster_dns: tuple[str, ...] = setting(
        (), _addresses, "addresses of the cluster's DNS, written into instances; empty = the cloud's own resolver"
    )
    cluster_domain: str = setting("cluster.local", _text, "DNS domain of the cluster")
    kubernetes_service_host: str = setting(
        "",
        _text,
        "what pods get as KUBERNETES_SERVICE_HOST, where the Service address cannot be reached from instances",
        metavar="HOST",
    )
    kubernetes_service_port: int = setting(
        0,
        _integer(0, 65535),
        "likewise the port; 0 = the Service's own",
        short="what pods get as KUBERNETES_SERVICE_PORT",
    )
    cloud_expands_pod_ip: bool = setting(
        False,
        _flag,
        "leave $(POD_IP) to the cloud, in commands, arguments and other variables: it has to replace such a name of a "
        "variable with the pod's address, as Kubernetes does. Nothing says that ECI does; off = such pods are refused",
    )

    # --- the node
    node_name: str = setting(
        "virtual-kubelet",
        _node_name,
        "name of the virtual node; must stay the same over restarts",
        section="The node",
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
    quota_pods: int = setting(5000, _integer(1, 100_000), "pods that the node offers", env=("ECI_QUOTA_POD",))
    quota_gpus: int = setting(0, _integer(0, 100_000), "nvidia.com/gpu that the node offers; 0 = none")
    adopt_node: bool = setting(
        False, _flag, "take over an existing Node of our name that we did not make; never true for a real machine"
    )
    daemon_set_pods: str = setting(
        "pending",
        _one_of("pending", "fail"),
        "DaemonSet pods that land here: stay pending with an event (quiet), or fail (their controller makes new ones)",
        short="what becomes of DaemonSet pods that land here",
    )

    # --- the kubelet API
    kubelet_port: int = setting(
        10250,
        _integer(0, 65535),
        "port of the kubelet API; 0 = any free one. Metrics tools expect 10250",
        env=("KUBELET_PORT",),
        section="The kubelet API",
    )
    kubelet_bind: str = setting("0.0.0.0", _address, "address that the kubelet API listens on")
    tls_cert_file: str = setting(
        "",
        _text,
        "serving certificate of the kubelet API, PEM, read again when it changes; empty = see serving_certificate",
        env=("APISERVER_CERT_LOCATION",),
        metavar="FILE",
    )
    tls_key_file: str = setting("", _text, "its private key, PEM", env=("APISERVER_KEY_LOCATION",), metavar="FILE")
    serving_certificate: str = setting(
        "csr",
        _one_of("csr", "self-signed"),
        "without a file: csr = signed by the cluster for kubernetes.io/kubelet-serving and renewed, self-signed until "
        "somebody approves the request (kubectl certificate approve); self-signed = never asked for",
        short="how it is signed where there is no file",
    )
    approve_own_certificate: bool = setting(
        False,
        _flag,
        "approve our own certificate requests. Off, since who may do that can be given a certificate in the name of "
        "any node; needs the rights that deploy/vk-provider.yaml shows as comments",
    )
    client_ca_file: str = setting(
        "", _text, "CA of client certificates, PEM; empty = the cluster's, read from its ConfigMap", metavar="FILE"
    )
    insecure_kubelet_api: bool = setting(
        False, _flag, "answer everybody without asking who it is. For a laptop only: it gives away logs"
    )

    health_address: str = setting(
        "",
        _listening,
        "host:port at which /livez and /readyz answer probes over plain HTTP, without credentials; empty = nowhere, so "
        "that several providers on one machine need not share a port out",
        short="/livez and /readyz for probes; empty = off",
    )

    # --- the cloud
    eci_region: str = setting(
        "",
        _text,
        "region, as cn-hangzhou",
        env=("ECI_REGION",),
        section="The cloud",
        short="where instances run, as cn-hangzhou",
        metavar="REGION",
    )
    eci_allow_unknown_region: bool = setting(
        False,
        _flag,
        "take eci_region as it is, though this version does not know it: for regions newer than it",
        short="also take a region that is newer than this version",
    )
    eci_endpoint: str = setting(
        "", _url, "URL of the ECI API; empty = https://eci.<region>.aliyuncs.com", env=("ECI_ENDPOINT",)
    )
    eci_access_key: str = setting(
        "",
        _text,
        "AccessKey id; empty = the default chain of credentials",
        env=("ECI_ACCESS_KEY",),
        secret=True,
        metavar="ID",
    )
    eci_secret_key: str = setting("", _text, "AccessKey secret", env=("ECI_SECRET_KEY",), secret=True, metavar="SECRET")
    eci_security_token: str = setting("", _text, "STS token that goes with them", secret=True, metavar="TOKEN")
    eci_vswitch: tuple[str, ...] = setting(
        (),
        _vswitches,
        "vSwitches, in order of preference; none = the region's default",
        env=("ECI_VSWITCH",),
        short="vSwitches, in order of preference",
    )
    eci_security_group: str = setting(
        "",
        _security_groups,
        "security group, or up to five separated by commas; empty = the region's default",
        env=("ECI_SECURITY_GROUP",),
    )
    eci_zone: str = setting(
        "", _text, "zone; empty = chosen by the cloud", short="zone, as cn-hangzhou-i", metavar="ZONE"
    )
    eci_resource_group: str = setting(
        "", _resource_group, "resource group", env=("ALIYUN_RESOURCEGROUP_ID",), metavar="RG-ID"
    )
    eci_ram_role: str = setting("", _text, "RAM role of instances whose pod names none by annotation", metavar="NAME")
    eci_spot_strategy: str = setting(
        "NoSpot",
        _one_of("NoSpot", "SpotAsPriceGo"),
        "spot instances for pods whose annotations say nothing of them; a price limit only a pod can set, for it goes "
        "by size",
    )
    eci_gpu_instance_type: tuple[str, ...] = setting(
        (),
        _list,
        "ECS types, in order of preference, for pods that ask for GPUs and name no type; empty = refused",
        short="ECS types for pods that ask for GPUs and name no type",
        metavar="TYPE,TYPE,…",
    )
    eci_cpu_architecture: str = setting(
        "amd64", _one_of("amd64", "arm64"), "architecture of the node and of instances whose pod insists on none"
    )
    eci_profile: str = setting(
        "kube-system/eci-profile",
        _object_name,
        "ConfigMap namespace/name with the network and with selectors, as the vendor's node has it; read again when it "
        "changes; empty = none",
        short="ConfigMap with the network and with selectors",
    )

    eci_calls_per_minute: Mapping[str, int] = setting(
        {},
        _limits,
        "limits that a ticket has raised, as CreateContainerGroup=3000,DeleteContainerGroup=3000; others as published",
        short="calls of ECI a minute, where a ticket has raised the limit",
    )

    # --- pace
    poll_interval_s: float = setting(
        2.0,
        _seconds(0.1, 60),
        "seconds between two looks for changes in the cloud; a status is at most so much late",
        section="Pace",
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
        short="bring changes of ConfigMaps, Secrets and labels into running instances",
    )
    workers: int = setting(
        128, _integer(1, 1000), "pods worked on at the same time; half of them at most may be at a create call"
    )

    # --- the log
    log_level: str = setting(
        "info", _one_of("debug", "info", "warning", "error"), "how much is logged", section="The log"
    )
    log_format: str = setting("text", _one_of("text", "json"), "shape of a log line")

    @property
    def taints(self) -> Sequence[Mapping[str, str]]:
        if not self.taint_key:
            return ()
        return ({"key": self.taint_key, "value": self.taint_value, "effect": self.taint_effect},)


def flag_of(name: str) -> str:
    """Raises KeyError for a name that is no setting, so that no message can name a flag that does not exist."""
    return "--" + _FIELDS[name].name.replace("_", "-")


def named(name: str) -> str:
    """The flag and the best-known variable, as messages name a setting: `--eci-access-key / ECI_ACCESS_KEY`."""
    return f"{flag_of(name)} / {env_names(name)[:2][-1]}"


def env_names(name: str) -> tuple[str, ...]:
    """The variables that set it, the first that is there wins."""
    older: tuple[str, ...] = _FIELDS[name].metadata["env"]
    return (f"VK_{name.upper()}", *older)


_FIELDS = {each.name: each for each in fields(Config)}


def settings() -> Mapping[str, Mapping[str, Any]]:
    """name → {text, short, section, metavar, default, env, secret, is_switch, is_list}: for the help text."""
    default = Config()
    found: dict[str, Mapping[str, Any]] = {}
    section = ""
    for name, each in _FIELDS.items():
        value = getattr(default, name)
        section = each.metadata["section"] or section
        found[name] = {
            **{key: each.metadata[key] for key in ("text", "short", "metavar", "secret")},
            "section": section,
            "default": value,
            "env": env_names(name),
            "is_switch": isinstance(value, bool),
            "is_list": isinstance(value, tuple | dict),
        }
    return found


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
        shown = where if each.metadata["secret"] else f"{where} = {raw!r}"
        try:
            chosen[name] = each.metadata["parse"](raw)
        except ValueError as error:
            faults.append(f"{shown}: {error}")
            continue
        if any(is_placeholder(text) for text in _texts(chosen[name])):
            faults.append(f"{shown}: this is a placeholder; write {_PLACEHOLDER_ADVICE.get(name, 'the real value')}")
    faults += _misspelt(env)
    faults += _mixed(chosen)
    if faults:
        raise ConfigError(faults)
    return Config(**_completed(chosen))


_PLACEHOLDER_ADVICE = {
    "eci_region": "a region, for example cn-hangzhou",
    "eci_vswitch": "the ids of your vSwitches, which the VPC console shows (vsw-bp1…), or leave it out",
    "eci_security_group": "the id of your security group, which the ECS console shows (sg-bp1…), or leave it out",
    "cluster_name": "a name that is unique among the clusters of your account",
    "eci_access_key": "your AccessKey id, or leave it out for the default chain of credentials",
    "eci_secret_key": "the secret of your AccessKey, or leave it out for the default chain of credentials",
}


def _texts(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()


def _misspelt(env: Mapping[str, str]) -> list[str]:
    """Variables that are nearly ours. Others that begin with VK_ are other people's, such as Vulkan's."""
    known = {variable for name in _FIELDS for variable in env_names(name) if variable.startswith("VK_")}
    faults = []
    for variable in sorted(env):
        if variable.startswith("VK_") and variable not in {*known, "VK_CONFIG"}:
            near = difflib.get_close_matches(variable, known, n=1, cutoff=0.9)
            faults += [f"environment variable {variable}: unknown; did you mean {near[0]}?"] if near else []
    return faults


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
    faults += _misplaced(chosen)
    return faults


def _misplaced(chosen: Mapping[str, Any]) -> list[str]:
    """Regions and zones that do not exist."""
    region, zone = chosen.get("eci_region") or "", chosen.get("eci_zone") or ""
    if not region or is_placeholder(region):
        return []
    faults = []
    if not chosen.get("eci_allow_unknown_region") and (fault := region_fault(region)):
        faults.append(f"{flag_of('eci_region')}: {fault}; if it is newer, set {flag_of('eci_allow_unknown_region')}")
    if zone and not is_placeholder(zone) and not zone.startswith(region):
        faults.append(f"{flag_of('eci_zone')}: {zone} is not in {region}, whose zones are named {region}-…")
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
