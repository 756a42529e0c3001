"""Files, directories and standard input → the documents in them, with the place of each. The only I/O of `show`.

All faults of all files are named at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vk_provider.errors import ManifestError
from vk_provider.show.manifests import Json, Manifest
from vk_provider.show.yaml_documents import Unreadable, documents

SUFFIXES = (".yaml", ".yml", ".json")
MOST_DEPTH = 100
MOST_NODES = 500_000  # aliases make much of little; nobody writes so much by hand
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")


def read(names: Sequence[str], *, stdin: Callable[[], bytes], recursive: bool = False) -> list[Manifest]:
    """The documents of all files, in order. `-` is standard input. Raises ManifestError with every fault."""
    found: list[Manifest] = []
    faults: list[str] = []
    if names.count("-") > 1:
        faults.append("-: standard input is named twice; it can be read once")
    for name in dict.fromkeys(names):
        try:
            for shown, content in _contents(name, stdin, recursive=recursive, faults=faults):
                found += _documents(shown, content, faults)
        except Unreadable as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise ManifestError(faults)
    return found


def _contents(
    name: str, stdin: Callable[[], bytes], *, recursive: bool, faults: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Name and content of one file, or of each in a directory."""
    if name == "-":
        yield "standard input", stdin()
        return
    if _URL.match(name):
        raise Unreadable(f"a URL, and show reaches no network; fetch it first: curl -fsSL {name} | vk-provider show -")
    path = Path(name)
    try:
        if not path.is_dir():
            yield name, path.read_bytes()
            return
        files = _manifests_in(path, recursive=recursive)
    except (OSError, ValueError) as error:
        raise Unreadable(_message_of(error)) from error
    for file in files:
        try:
            yield str(file), file.read_bytes()
        except OSError as error:
            faults.append(f"{file}: {_message_of(error)}")


def _manifests_in(directory: Path, *, recursive: bool) -> list[Path]:
    inside = sorted(directory.rglob("*") if recursive else directory.iterdir())
    found = [each for each in inside if each.suffix.lower() in SUFFIXES and each.is_file()]
    kustomized = [each for each in found if each.name in _KUSTOMIZATIONS]
    if kustomized:
        raise Unreadable(f"a kustomization; build it first: kubectl kustomize {directory} | vk-provider show -")
    if (directory / "Chart.yaml").is_file():
        raise Unreadable(f"a Helm chart; render it first: helm template {directory} | vk-provider show -")
    if not found:
        deeper = not recursive and any(each.is_dir() for each in inside)
        raise Unreadable(
            f"a directory without {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} files"
            + ("; -R looks into its directories" if deeper else "")
        )
    return found


def _message_of(error: Exception) -> str:
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return text[:1].lower() + text[1:]


# --- one file ---------------------------------------------------------------------------------------------------------


def _documents(name: str, content: bytes, faults: list[str]) -> list[Manifest]:
    """What of it can be read; what cannot goes to the faults."""
    try:
        text = _text(content)
        parsed = _json(text) if text.lstrip().startswith("{") else None
        pairs = parsed if parsed is not None else documents(text)
    except Unreadable as error:
        faults.append(f"{name}: {error}")
        return []
    found = []
    for line, document in pairs:
        if document is None:
            continue
        fault = _fault_of(document)
        if fault:
            faults.append(f"{name}: line {line}: {fault}")
        else:
            found.append(Manifest(document, name, line))
    return found


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("UTF-16 text; save it as UTF-8")
    if b"\0" in content:
        raise Unreadable("a binary file, not a manifest")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise Unreadable(f"line {line}: not UTF-8 text (byte 0x{wrong:02x}); save it as UTF-8") from error


def _json(text: str) -> list[tuple[int, Any]] | None:
    """Documents of JSON, one after the other; None = it is none, so it may be YAML that begins with a brace."""
    decoder, at, found = json.JSONDecoder(object_pairs_hook=_unique), 0, []
    try:
        while match := re.compile(r"\s*(?:---\s*)?(?=\S)").match(text, at):
            value, end = decoder.raw_decode(text, match.end())
            found.append((text.count("\n", 0, match.end()) + 1, value))
            at = end
    except (ValueError, RecursionError):
        return None
    return found


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")  # YAML's reader tells which one, and where
    return dict(pairs)


def _fault_of(document: object) -> str:
    """Why it is no Kubernetes object, or more than we walk through; empty = it may be one."""
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else "a text" if isinstance(document, str) else "a single value"
        return f"{kind}, where a Kubernetes object with apiVersion, kind and metadata is expected"
    seen = 0
    below: list[tuple[object, int]] = [(document, 1)]
    while below:
        value, depth = below.pop()
        seen += 1
        if depth > MOST_DEPTH or seen > MOST_NODES:
            return "nested more deeply, or larger by its aliases, than any manifest is"
        if isinstance(value, dict):
            below += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            below += [(each, depth + 1) for each in value]
        elif isinstance(value, int) and abs(value) >= 2**63:
            return "a whole number beyond 64 bits"
        elif not isinstance(value, str | int | float | None):
            return f"a value of the YAML type {type(value).__name__}, which JSON does not have"
    return ""
