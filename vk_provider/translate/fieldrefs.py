"""The pod's own fields, as containers may ask for them by path (the downward API; contract S8, S25)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vk_provider.model.pod import LIVE_CONTENT_ANNOTATION, Json
from vk_provider.model.workload import FromPodIP
from vk_provider.translate.node_context import NodeContext

_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$", re.DOTALL)
_PLAIN_METADATA = frozenset({"metadata.name", "metadata.namespace", "metadata.uid"})
_WHOLE_MAPS = frozenset({"metadata.labels", "metadata.annotations"})
_POD_IP = frozenset({"status.podIP", "status.podIPs"})  # an instance has one address, so both say the same
_ENVIRONMENT = (
    _PLAIN_METADATA | _POD_IP | {"spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs"}
)
_ESCAPED = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII, of which the quote and the backslash are escaped
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def is_environment_path(value: object) -> str:
    """What is wrong with a field path that an environment variable asks for; empty = nothing."""
    return _fault(str(value), _ENVIRONMENT)


def is_volume_path(value: object) -> str:
    """What is wrong with a field path that a downwardAPI volume asks for; empty = nothing."""
    return _fault(str(value), _PLAIN_METADATA | _WHOLE_MAPS)


def is_pod_ip(path: str) -> bool:
    """Whether only the cloud knows the value, once the instance has an address."""
    return path in _POD_IP


def environment_value(pod: Json, path: str, context: NodeContext) -> str | FromPodIP:
    """The value of one path that `is_environment_path` allows. A label or annotation that is not there is empty."""
    if is_pod_ip(path):
        return FromPodIP()
    match path:
        case "spec.nodeName":
            return str(pod["spec"].get("nodeName") or context.node_name)
        case "spec.serviceAccountName":
            return service_account(pod)
        case "status.hostIP" | "status.hostIPs":
            return context.node_ip
        case _:
            return _metadata_value(pod, path)


def volume_value(pod: Json, path: str) -> str:
    """The content of a downwardAPI file: one value, or all labels or annotations as sorted lines `key="value"`."""
    if path in _WHOLE_MAPS:
        entries = _entries(pod, path)
        return "\n".join(f"{key}={quoted(entries[key])}" for key in sorted(entries))
    return _metadata_value(pod, path)


def service_account(pod: Json) -> str:
    return str(pod["spec"].get("serviceAccountName") or "default")


def quoted(text: str) -> str:
    """In double quotes with the escapes of the Go language, which is how a kubelet writes labels into a file."""
    return '"' + _ESCAPED.sub(_escaped, text) + '"'


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _fault(path: str, allowed: frozenset[str]) -> str:
    if path in allowed or _SUBSCRIPT.match(path):
        return ""
    return f"{path} cannot be asked for here; known are {', '.join(sorted(allowed))} and metadata.labels['KEY']"


def _metadata_value(pod: Json, path: str) -> str:
    subscript = _SUBSCRIPT.match(path)
    if subscript is None:
        return str(pod["metadata"].get(path.removeprefix("metadata.")) or "")
    if subscript[2] == LIVE_CONTENT_ANNOTATION:
        return ""
    return str((pod["metadata"].get(subscript[1].removeprefix("metadata.")) or {}).get(subscript[2]) or "")


def _entries(pod: Json, path: str) -> Mapping[str, str]:
    """Without our note of what the files hold: it changes with each change of them, which would never end."""
    entries: Mapping[str, str | None] = pod["metadata"].get(path.removeprefix("metadata.")) or {}
    return {key: value or "" for key, value in entries.items() if key != LIVE_CONTENT_ANNOTATION}
