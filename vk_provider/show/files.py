"""Files, directories and standard input → the documents in them, with the place of each. The only I/O of `show`.

YAML is read as kubectl reads it, and not as PyYAML alone would: dates and sexagesimal numbers stay texts, keys become
texts, a key that stands twice is a fault. All faults of all files are told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from vk_provider.errors import ManifestError
from vk_provider.show.manifests import Json, Manifest

SUFFIXES = (".yaml", ".yml", ".json")
MOST_DEPTH = 100
MOST_NODES = 500_000  # aliases make much of little; nobody writes so much by hand
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")
_HELM = re.compile(r"\{\{-?\s*(\.|include|if|range|with|template|end|define)\b|\{\{-?\s*\.")
_READ_HELM = "it looks like a Helm template; render it first: helm template CHART | vk-provider show -"


class _Unreadable(Exception):
    """What is wrong with one file."""


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
        except _Unreadable as error:
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
        raise _Unreadable(f"a URL, and show reaches no network; fetch it first: curl -fsSL {name} | vk-provider show -")
    path = Path(name)
    try:
        if not path.is_dir():
            yield name, path.read_bytes()
            return
        files = _manifests_in(path, recursive=recursive)
    except (OSError, ValueError) as error:
        raise _Unreadable(_told(error)) from error
    for file in files:
        try:
            yield str(file), file.read_bytes()
        except OSError as error:
            faults.append(f"{file}: {_told(error)}")


def _manifests_in(directory: Path, *, recursive: bool) -> list[Path]:
    inside = sorted(directory.rglob("*") if recursive else directory.iterdir())
    found = [each for each in inside if each.suffix.lower() in SUFFIXES and each.is_file()]
    kustomized = [each for each in found if each.name in _KUSTOMIZATIONS]
    if kustomized:
        raise _Unreadable(f"a kustomization; build it first: kubectl kustomize {directory} | vk-provider show -")
    if (directory / "Chart.yaml").is_file():
        raise _Unreadable(f"a Helm chart; render it first: helm template {directory} | vk-provider show -")
    if not found:
        deeper = not recursive and any(each.is_dir() for each in inside)
        raise _Unreadable(
            f"a directory without {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} files"
            + ("; -R looks into its directories" if deeper else "")
        )
    return found


def _told(error: Exception) -> str:
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return text[:1].lower() + text[1:]


# --- one file ---------------------------------------------------------------------------------------------------------


def _documents(name: str, content: bytes, faults: list[str]) -> list[Manifest]:
    """What of it can be read; what cannot goes to the faults."""
    try:
        text = _text(content)
        parsed = _json(text) if text.lstrip().startswith("{") else None
        pairs = parsed if parsed is not None else _yaml(text)
    except _Unreadable as error:
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
        raise _Unreadable("UTF-16 text; save it as UTF-8")
    if b"\0" in content:
        raise _Unreadable("a binary file, not a manifest")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise _Unreadable(f"line {line}: not UTF-8 text (byte 0x{wrong:02x}); save it as UTF-8") from error


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


def _yaml(text: str) -> list[tuple[int, Any]]:
    found = []
    loader = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                found.append((node.start_mark.line + 1, loader.construct_document(node)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = " ".join(str(error.problem or error.context or "").split())
        advice = f"; {_READ_HELM}" if _HELM.search(text) else ""
        raise _Unreadable(f"{place}not YAML: {problem}{advice}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise _Unreadable(f"line {line}: a control character, which no manifest holds: {error.reason}") from error
    except RecursionError as error:
        raise _Unreadable("nested more deeply than any manifest is") from error
    except ValueError as error:  # a number with thousands of digits
        raise _Unreadable(f"not YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return found


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Iterator[Json]:
    made: Json = {}
    yield made
    seen = set()
    for key, _ in node.value:  # before `<<` puts others among them, which the object's own may cover
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(key.value)
    loader.flatten_mapping(node)
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, Hashable) or isinstance(name, tuple) or name is None:
            raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key.start_mark)
        made[_key(name)] = loader.construct_object(value)


def _key(name: object) -> str:
    return str(name).lower() if isinstance(name, bool) else str(name)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# Without numbers to the base of 60: 22:22 is a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\.\d[\d_]*([eE][-+]?\d+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


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
