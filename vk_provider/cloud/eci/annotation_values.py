"""How the values of annotations are written: what is wrong with a text, and what it says to the cloud.

A check takes the text and gives what is wrong with it, with the fix; empty when nothing is. A wire takes a text that
passed its check and gives parameters by their names in the cloud's API.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from vk_provider.model.quantity import GIB, ceil_div, parse

Check = Callable[[str], str]
Wire = Callable[[str], Mapping[str, str]]

MAX_SPECS = 5
SIZE_SPEC = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)Gi")
TYPE_SPEC = re.compile(r"ecs\.[a-z0-9-]+\.[a-z0-9-]+")
_TAG_FORBIDDEN = ("aliyun", "acs:", "vk-")


def parts(text: str) -> list[str]:
    """The items of a comma-separated list, without the empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_on(text: str) -> bool:
    return text.strip().lower() == "true"


# --- checks -----------------------------------------------------------------------------------------------------------


def flag(text: str) -> str:
    return "" if text.strip().lower() in ("true", "false") else f'{text!r} is neither "true" nor "false"'


def whole(least: int, most: int) -> Check:
    def check(text: str) -> str:
        number = text.strip()
        if re.fullmatch(r"\d{1,9}", number) and least <= int(number) <= most:
            return ""
        return f"{text!r} is no whole number from {least} to {most}"

    return check


def word(*allowed: str) -> Check:
    def check(text: str) -> str:
        return "" if text.strip() in allowed else f"{text!r} is unknown; write one of {', '.join(allowed)}"

    return check


def matching(pattern: str, example: str) -> Check:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        return "" if compiled.fullmatch(text.strip()) else f"{text!r} cannot be; write it like {example}"

    return check


def id_of(prefix: str) -> Check:
    return matching(rf"{prefix}-[A-Za-z0-9_-]+", f"{prefix}-bp1xyz")


def several(item: Check, most: int) -> Check:
    def check(text: str) -> str:
        found = parts(text)
        if not 1 <= len(found) <= most:
            return f"{len(found)} items; write 1 to {most}, separated by commas"
        return next((fault for one in found if (fault := item(one))), "")

    return check


def price(text: str) -> str:
    if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text.strip()) and Fraction(text.strip()) > 0:
        return ""
    return f"{text!r} is no price per hour over 0 with at most three decimals; write it like 0.5"


def gibibytes(most: int) -> Check:
    def check(text: str) -> str:
        amount = _quantity(text)
        if amount is not None and 0 < amount <= most * GIB:
            return ""
        return f"{text!r} is no amount over 0 and up to {most}Gi; write it like 50Gi"

    return check


def bandwidth(text: str) -> str:
    amount = _quantity(text)
    return "" if amount is not None and amount >= 1 else f"{text!r} is no bandwidth in bits per second such as 40M"


def address(text: str) -> str:
    try:
        ipaddress.IPv4Address(text.strip())
    except ValueError:
        return f"{text!r} is no IPv4 address"
    return ""


def spec(text: str) -> str:
    """One size, as `2-4Gi`, or one ECS type, as `ecs.c6.large`."""
    if SIZE_SPEC.fullmatch(text.strip()) or TYPE_SPEC.fullmatch(text.strip()):
        return ""
    return f"{text!r} is neither vCPU and memory, such as 2-4Gi, nor an ECS type, such as ecs.c6.large"


def instance_type(text: str) -> str:
    return "" if TYPE_SPEC.fullmatch(text.strip()) else f"{text!r} is no ECS type; write it like ecs.c6.large"


def hosts(text: str) -> str:
    form = 'write it like [{"host": "example.com", "ip": "10.0.0.1"}]'
    entries = _json(text, list)
    if entries is None or not all(isinstance(one, dict) for one in entries):
        return f"not a JSON list of objects; {form}"
    for one in entries:
        if set(one) != {"host", "ip"} or not all(isinstance(value, str) and value for value in one.values()):
            return f"every entry has just a host and an ip; {form}"
        try:
            ipaddress.ip_address(one["ip"])
        except ValueError:
            return f"{one['ip']!r} is no IP address; {form}"
    return "" if len(entries) <= 100 else f"{len(entries)} entries; ECI takes at most 100"


def resolver(text: str) -> str:
    form = 'write it like {"nameservers": "10.0.0.1", "searches": "a.example,b.example", "options": "ndots:2,edns0"}'
    settings = _json(text, dict)
    if settings is None or not all(isinstance(value, str) for value in settings.values()):
        return f"not a JSON object of texts; {form}"
    unknown = sorted(set(settings) - {"nameservers", "searches", "options"})
    if unknown:
        return f"{unknown[0]} is unknown; {form}"
    for one in parts(settings.get("nameservers", "")):
        try:
            ipaddress.ip_address(one)
        except ValueError:
            return f"{one!r} is no IP address; {form}"
    crowded = next((name for name, value in settings.items() if len(parts(value)) > 20), "")
    return f"{crowded} has more than 20 items" if crowded else ""


def tags(text: str) -> str:
    pairs = [part.partition(":") for part in parts(text)]
    if not 1 <= len(pairs) <= 3:
        return f"{len(pairs)} tags; write 1 to 3, as env:test,name:alice"
    for key, colon, value in pairs:
        if not key or not colon:
            return f"{key!r} has no value; write tags as env:test,name:alice"
        if key.lower().startswith(_TAG_FORBIDDEN):
            return f"the key {key!r} may not begin with {', '.join(_TAG_FORBIDDEN)}"
        if len(key) > 64 or len(value) > 128 or "://" in f"{key}:{value}":
            return f"tag {key!r}: at most 64 characters in the key, 128 in the value, and no URL"
    keys = [key for key, _, _ in pairs]
    return "" if len(set(keys)) == len(keys) else "a key stands there twice"


def disk(text: str) -> str:
    match = re.fullmatch(r"([a-z0-9-]+):(ext4|ext3|xfs|vfat):(\d{1,6})Gi", text.strip())
    if match and 20 <= int(match[3]) <= 32768:
        return ""
    return f"{text!r}: write the volume, its file system and 20Gi to 32768Gi, like cache-volume:ext4:500Gi"


def core_pattern(text: str) -> str:
    return "" if re.fullmatch(r"/[^|\s]+", text.strip()) else f"{text!r} is no absolute path"


def acr_instance(text: str) -> str:
    return matching(r"([a-z0-9-]+:)?cri-[a-z0-9]+", "cri-abc or cn-beijing:cri-abc")(text)


def role_arn(text: str) -> str:
    return matching(r"acs:ram::\d+:role/\S+", "acs:ram::1234567890:role/pull")(text)


def registry_host(text: str) -> str:
    return matching(r"[A-Za-z0-9.*-]+(:\d{1,5})?", "registry.example.com:5000")(text)


# --- wires ------------------------------------------------------------------------------------------------------------


def as_is(name: str) -> Wire:
    return lambda text: {name: text.strip()}


def as_flag(name: str) -> Wire:
    return lambda text: {name: text.strip().lower()}


def if_on(name: str, value: str) -> Wire:
    return lambda text: {name: value} if is_on(text) else {}


def joined(name: str) -> Wire:
    return lambda text: {name: ",".join(parts(text))}


def numbered(name: str) -> Wire:
    return lambda text: {f"{name}.{number}": one for number, one in enumerate(parts(text), 1)}


def in_bits(name: str) -> Wire:
    return lambda text: {name: str(ceil_div(parse(text.strip()), Fraction(1)))}


def as_hosts(text: str) -> Mapping[str, str]:
    """One entry for each address, with all its names."""
    names: dict[str, list[str]] = {}
    for one in json.loads(text):
        names.setdefault(one["ip"], []).append(one["host"])
    return {
        name: value
        for number, (ip, found) in enumerate(names.items(), 1)
        for name, value in (
            (f"HostAliase.{number}.Ip", ip),
            *((f"HostAliase.{number}.Hostname.{place}", host) for place, host in enumerate(found, 1)),
        )
    }


def as_tags(text: str) -> Mapping[str, str]:
    pairs = [part.partition(":") for part in parts(text)]
    return {
        name: value
        for number, (key, _, content) in enumerate(pairs, 1)
        for name, value in ((f"Tag.{number}.Key", key), (f"Tag.{number}.Value", content))
    }


def as_resolver(text: str) -> Mapping[str, str]:
    settings = json.loads(text)
    named = {
        **numbered("DnsConfig.NameServer")(settings.get("nameservers", "")),
        **numbered("DnsConfig.Search")(settings.get("searches", "")),
    }
    for number, option in enumerate(parts(settings.get("options", "")), 1):
        name, _, value = option.partition(":")
        named[f"DnsConfig.Option.{number}.Name"] = name
        if value:
            named[f"DnsConfig.Option.{number}.Value"] = value
    return named


def as_acr_instances(text: str) -> Mapping[str, str]:
    named: dict[str, str] = {}
    for number, one in enumerate(parts(text), 1):
        region, _, instance = one.rpartition(":")
        named[f"AcrRegistryInfo.{number}.InstanceId"] = instance
        if region:
            named[f"AcrRegistryInfo.{number}.RegionId"] = region
    return named


def _quantity(text: str) -> Fraction | None:
    try:
        return parse(text.strip()) if len(text) <= 40 else None
    except ValueError:
        return None


def _json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, kind) else None
