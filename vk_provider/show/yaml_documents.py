"""Text of YAML → its documents, read as kubectl reads it, and not as PyYAML alone would. Pure.

Dates and sexagesimal numbers stay texts, keys become texts, a key that stands twice is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

Json = dict[str, Any]

_HELM = re.compile(r"\{\{-?\s*(\.|include|if|range|with|template|end|define)\b|\{\{-?\s*\.")
_READ_HELM = "it looks like a Helm template; render it first: helm template CHART | vk-provider show -"


class Unreadable(Exception):
    """What is wrong with one file."""


def documents(text: str) -> list[tuple[int, Any]]:
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
        raise Unreadable(f"{place}not YAML: {problem}{advice}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise Unreadable(f"line {line}: a control character, which no manifest holds: {error.reason}") from error
    except RecursionError as error:
        raise Unreadable("nested more deeply than any manifest is") from error
    except ValueError as error:  # a number with thousands of digits
        raise Unreadable(f"not YAML: {error}") from error
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
