"""One call to ECI as it goes over the wire, and how the vendor's request classes become one. Pure.

Words of a pod (environment, arguments, files) travel in the form body and never in the URL: URLs have an unknown
length limit and end up in proxies' logs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aliyunsdkcore.request import RpcRequest

from vk_provider.redaction import without

_IN_BODY = re.compile(r"(Container|InitContainer|Volume|ImageRegistryCredential|HostAliase)\.|Command$")
_LISTINGS = {"DescribeContainerGroups", "DescribeContainerGroupStatus", "DescribeContainerGroupEvents"}


@dataclass(frozen=True, slots=True)
class EciRequest:
    """One call, not yet signed. query and body: wire name → text; the signature covers both.

    permit: asked right before each try, for how many seconds it may be under way; what it raises ends the call.
    """

    action: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict, repr=False)  # holds secrets
    permit: Callable[[], float | None] | None = field(default=None, repr=False, compare=False)

    @property
    def only_reads(self) -> bool:
        return self.action.startswith("Describe")

    @property
    def is_listing(self) -> bool:
        """Whether a page of many items answers it."""
        return self.action in _LISTINGS

    def without_secrets(self, message: str) -> str:
        """The cloud's words about it, in which it may have repeated any of ours."""
        return without(message, (*self.query.values(), *self.body.values()))


def finished(request: RpcRequest) -> EciRequest:
    return split(request, texts_of(request))


def texts_of(request: RpcRequest) -> dict[str, str]:
    """The parameters the vendor's class has gathered, as texts, without those it set to None."""
    return {name: _text(value) for name, value in given(request.get_query_params().items())}


def split(request: RpcRequest, texts: Mapping[str, str]) -> EciRequest:
    return EciRequest(
        action=request.get_action_name(),
        method=request.get_method(),
        query={name: text for name, text in texts.items() if not _IN_BODY.match(name)},
        body={name: text for name, text in texts.items() if _IN_BODY.match(name)},
    )


def given(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in items if value is not None)


def _text(value: str | bool | int | float) -> str:
    if isinstance(value, str):
        return value  # as it is: a SecretText has to stay one
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal(value)
    return str(value)


def decimal(value: float) -> str:
    """At most six decimals, rounded down: containers' shares rounded up could add up to more than the instance has."""
    return f"{math.floor(round(value * 10**6, 3)) / 10**6:.6f}".rstrip("0").rstrip(".")


def set_tags(request: Any, values: Mapping[str, str]) -> None:
    request.set_Tags([{"Key": key, "Value": value} for key, value in values.items()])
