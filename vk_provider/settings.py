"""How a setting is declared, and what its value may look like: for the process's own (`config`) and for a cloud's.

A section is a frozen dataclass whose fields are made by `setting`; `config` reads it by its prefix. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from vk_provider.model import quantity

_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

Parse = Callable[[Any], Any]
"""Turns what stood in a flag, a variable or the file into the value; raises ValueError with advice."""

AnyParse = TypeVar("AnyParse", bound=Parse)
_METAVARS: dict[Parse, str] = {}


def takes(metavar: str) -> Callable[[AnyParse], AnyParse]:
    """Says how the help shows a value of this type."""

    def mark(parse: AnyParse) -> AnyParse:
        _METAVARS[parse] = metavar
        return parse

    return mark


@takes("TEXT")
def text_value(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError("expected text")  # noqa: TRY004 - one error kind for one report
    return raw.strip()


@takes("NAME")
def dns_name(raw: Any) -> str:
    name = text_value(raw)
    if len(name) > 253 or not _NAME.match(name):
        raise ValueError("use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit")
    return name


def integer(least: int, most: int) -> Parse:
    @takes("N")
    def parse(raw: Any) -> int:
        if isinstance(raw, bool) or not re.fullmatch(r"-?\d+", str(raw).strip()):
            raise ValueError(f"expected a whole number from {least} to {most}")
        number = int(raw)
        if not least <= number <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return number

    return parse


def seconds(least: float, most: float) -> Parse:
    @takes("SECONDS")
    def parse(raw: Any) -> float:
        try:
            number = float(raw) if not isinstance(raw, bool) else float("nan")
        except (TypeError, ValueError):
            number = float("nan")
        if not least <= number <= most:
            raise ValueError(f"expected seconds, a number from {least:g} to {most:g}")
        return number

    return parse


@takes("TEXT")
def tag(raw: Any) -> str:
    """What stands in the tags of our instances."""
    text = text_value(raw)
    if not text:
        raise ValueError("must not be empty")
    if "://" in text:
        raise ValueError("holds a URL, which no tag may hold; choose a plain name")
    return text


@takes("true|false")
def flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


@takes("A,B,…")
def listing(raw: Any) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a comma-separated list")
    return tuple(part.strip() for part in parts if part.strip())


@takes("IP,IP,…")
def addresses(raw: Any) -> tuple[str, ...]:
    return tuple(address(part) for part in listing(raw))


@takes("IP")
def address(raw: Any) -> str:
    text = text_value(raw)
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("expected an IP address") from None


@takes("KEY=VALUE,…")
def labels(raw: Any) -> Mapping[str, str]:
    pairs = raw.items() if isinstance(raw, Mapping) else [part.partition("=")[::2] for part in listing(raw)]
    labels: dict[str, str] = {}
    for key, value in pairs:
        if not _LABEL_KEY.match(str(key)) or not _LABEL_VALUE.match(str(value)):
            raise ValueError(f"{key}={value} is not a label; write key=value,key=value")
        labels[str(key)] = str(value)
    return labels


EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@takes("KEY=VALUE:EFFECT,…")
def taints(raw: Any) -> tuple[Mapping[str, str], ...]:
    found = []
    for each in listing(raw):
        pair, _, effect = each.rpartition(":")
        key, _, value = pair.partition("=")
        if effect not in EFFECTS or not _LABEL_KEY.match(key) or not _LABEL_VALUE.match(value):
            raise ValueError(f"{each} is not a taint; write key=value:effect, with an effect of {', '.join(EFFECTS)}")
        found.append({"key": key, "value": value, "effect": effect})
    return tuple(found)


@takes("NAMESPACE/NAME")
def object_name(raw: Any) -> str:
    text = text_value(raw)
    if text and (text.count("/") != 1 or not all(_NAME.match(part) for part in text.split("/"))):
        raise ValueError("expected namespace/name")
    return text


@takes("QUANTITY")
def quantity_value(raw: Any) -> str:
    if quantity.parse(raw) <= 0:
        raise ValueError("expected more than nothing")
    return str(raw)


def one_of(*words: str) -> Parse:
    @takes("|".join(words))
    def parse(raw: Any) -> str:
        word = text_value(raw)
        by_lower = {known.lower(): known for known in words}
        if word.lower() not in by_lower:
            raise ValueError(f"expected one of {', '.join(words)}")
        return by_lower[word.lower()]

    return parse


@takes("HOST:PORT")
def listening(raw: Any) -> str:
    """`host:port` or `:port`, with an IPv6 host in brackets."""
    text = text_value(raw)
    host, _, port = text.rpartition(":")
    if not text:
        return ""
    is_port = ":" in text and re.fullmatch(r"\d{1,5}", port) and int(port) <= 65535
    if not is_port or (":" in host and not host.startswith("[")):
        raise ValueError("expected host:port or :port, as 127.0.0.1:10261")
    if host:
        address(host.strip("[]"))
    return text


@takes("LOOPBACK:PORT")
def loopback(raw: Any) -> str:
    """`host:port` of the loopback interface."""
    text = listening(raw)
    if text and text.rpartition(":")[0] not in ("127.0.0.1", "[::1]"):
        raise ValueError("expected an address that only this machine reaches, as 127.0.0.1:10262")
    return text


@takes("URL")
def url(raw: Any) -> str:
    text = text_value(raw)
    if text and not re.match(r"^https?://[^/\s]+/?$", text):
        raise ValueError("expected a URL such as https://vk.example.com:10443 or http://127.0.0.1:8080")
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
    advice: str = "the real value",
) -> Any:
    """Declares one setting.

    text: what it means, its unit, and why the default is what it is. short: what it means in a few words, where those
    of `text` up to its first stop are too many. section: heading in the help, for this and the settings after it.
    metavar: how the help shows a value, where the type says too little. advice: what to write where a placeholder is.
    """
    meta = {
        "parse": parse,
        "text": text,
        "env": tuple(env),
        "secret": secret,
        "section": section,
        "short": short or re.split(r"[;,] |\. ", text, maxsplit=1)[0],
        "metavar": metavar or _METAVARS[parse],
        "advice": advice,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=meta)
    return field(default=default, metadata=meta, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Settings of one cloud. A field `region` of the section `eci` is the flag `--eci-region`, the variable
    `VK_ECI_REGION` and the key `region` in the table `[eci]` of the TOML file.

    PREFIX: its name. SHOWN: fields that shape a request or a price, which `vk-provider show` takes, too. OF_NODE:
    fields of which each of several nodes may have its own. FILES: fields that name files.
    """

    PREFIX: ClassVar[str] = ""
    SHOWN: ClassVar[Sequence[str]] = ()
    OF_NODE: ClassVar[Sequence[str]] = ()
    FILES: ClassVar[Sequence[str]] = ()

    @classmethod
    def faults(cls, chosen: Mapping[str, Any]) -> Sequence[str]:
        """Those that no single setting shows. chosen: field → value, of what was given."""
        del chosen
        return ()

    @classmethod
    def completed(cls, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        """With what follows from what was given."""
        return chosen

    @classmethod
    def without_cloud(cls, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        """As given where no cloud will be asked: with stand-ins for what only a call needs."""
        return chosen

    @classmethod
    def flag_of(cls, name: str) -> str:
        """Raises KeyError for a name that is none of its settings: no message can name a flag that is not there."""
        return "--" + f"{cls.PREFIX}_{cls._field(name).name}".replace("_", "-")

    @classmethod
    def env_names(cls, name: str) -> tuple[str, ...]:
        """The variables that set it, the first that is there wins."""
        older: tuple[str, ...] = cls._field(name).metadata["env"]
        return (f"VK_{cls.PREFIX.upper()}_{name.upper()}", *older)

    @classmethod
    def named(cls, name: str) -> str:
        """The flag and the best-known variable, as messages name a setting."""
        return f"{cls.flag_of(name)} / {cls.env_names(name)[:2][-1]}"

    @classmethod
    def _field(cls, name: str) -> Any:
        return {each.name: each for each in fields(cls)}[name]


# --- placeholders -----------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"\.\.\.|…"  # vsw-...
    r"|<[^<>]*>"  # <your vSwitch>
    r"|\$\{?[A-Za-z_]|\{\{"  # $VSWITCH and {{ .Values.vswitch }}, which nobody has filled in
    r"|(?<![a-z0-9])(x{3,}|your)(?![a-z0-9])|x{5,}|\*{3,}|\?{3,}"  # vsw-xxx, your-vswitch, vsw-bp1xxxxxxxx
    r"|^(todo|tbd|fix-?me|(change|replace)[-_]?(me|this|it)|placeholder)$",
    re.IGNORECASE,
)


def is_placeholder(text: str) -> bool:
    """Whether it stands for something that the operator was to write in its place, as `vsw-...`, `<id>` or `xxx`."""
    return _PLACEHOLDER.search(text) is not None
