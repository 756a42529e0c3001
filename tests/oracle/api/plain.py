"""Texts without what differs from run to run, as the record has them: pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
LONGEST = 1500  # characters; what is longer is told by its beginning, its size and its hash
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?P<fraction>\d+))?(?:Z|[+-]\d\d:\d\d)"
_REPLACED: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (_TIME, lambda found: f"TIME.{len(found['fraction'] or '')}"),
    (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "UID"),
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\beci-[0-9a-z]{8,}\b", "INSTANCE"),
    (r"\b(?!127\.0\.0\.1\b)(?:\d+\.){3}\d+\b", "IP"),
    (r"(IP|127\.0\.0\.1|localhost|\[::1\]):\d{4,5}\b", r"\1:PORT"),
    (r"(connection for |forwarding |port |localPort=)\d{4,5}\b", r"\1PORT"),
    (r"[EWI]\d{4} [\d:.]+ +\d+ (\S+\.go):\d+\]", r"KLOG \1]"),
    (r"kube-api-access-\w{5}", "kube-api-access-TOKEN"),
    (r"(?:tick \d+\r?\n)+", "tick N...\n"),
    (r"(?:problem\r?\n)+", "problem N...\n"),
    (r"\.{5,}", "....."),
    (r"0\.000s|\d+\.\d+s\b", "SECONDS"),
    (r'(container "\w+" in pod [^\n]*\n)\1+', r"\1...\n"),  # said again and again while kubectl waits
]


def text(said: str, *, namespace: str, node: str, folder: str) -> str:
    """Words instead of the run's own names, times, ids, addresses and ports."""
    said = said.replace(namespace, "NS").replace(folder, "TMP")
    said = re.sub(rf'\b{re.escape(node)}\b(?=")|(?<=nodes/){re.escape(node)}\b', "NODE", said)
    for pattern, word in _REPLACED:
        said = re.sub(pattern, word, said)
    return said


def shortened(said: str, data: bytes) -> str:
    """said: what plain text became of the data."""
    if len(said) < LONGEST:
        return said
    lines = data.count(b"\n")
    digest = hashlib.sha256(data if "\\x" in said else said.encode()).hexdigest()[:12]
    return f"{said[:120]} … {len(data)} bytes, sha256 {digest}, {lines} lines"


def summed(data: bytes) -> str:
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:12]}"


def keys(value: Any) -> list[str]:
    """The paths of all values of a document."""
    return sorted(set(_keys(value, "")))


def _keys(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _keys(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each, f"{path}[]")
    else:
        yield path


def families(page: str) -> list[str]:
    """Name and labels of each metric of a page."""
    found = set()
    for line in page.splitlines():
        if match := re.fullmatch(r"([a-z_:]+)(?:\{(.*)\})? \S+(?: \d+)?", line):
            labels = ",".join(sorted(re.findall(r'(\w+)="', match[2] or "")))
            found.add(f"{match[1]}{{{labels}}}")
    return sorted(found)


def pods(listed: Json, namespace: str) -> Json:
    """What a list of pods has of the pod `run`."""
    mine = [each for each in listed["items"] if each["metadata"]["namespace"] == namespace]
    run = next((each for each in mine if each["metadata"]["name"] == "run"), {})
    meta = {key: value for key, value in run.get("metadata", {}).items() if key != "annotations"}
    return {
        "kind": listed["kind"],
        "apiVersion": listed["apiVersion"],
        "is-run-there": bool(run),
        "keys": keys({"metadata": meta, "status": run.get("status"), "spec": run.get("spec")}),
    }


def body(show: str, said: str, *, namespace: str) -> Any:
    """What counts of a page. Raises ValueError if it is not of the kind that it should be."""
    match show:
        case "keys":
            return keys(json.loads(said))
        case "pods":
            return pods(json.loads(said), namespace)
        case "families":
            return families(said)
        case "metrics":
            return "metrics" if "# HELP" in said else said[:99]
        case "listing":
            return "a listing" if "<pre>" in said or "<a" in said or "profile" in said else said
        case "head":
            return said[:40]
        case "is stay there":
            items = [each["metadata"] for each in json.loads(said)["items"]]
            return any(each["name"] == "stay" and each["namespace"] == namespace for each in items)
    return said
