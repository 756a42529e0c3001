"""The three patch languages: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

Pure: a document and a patch go in, a new document comes out; neither is changed, unchanged branches are shared.
Strategic merge follows k8s.io/apimachinery `pkg/util/strategicpatch`; which lists merge, and by what, the schema says.
"""

from collections.abc import Mapping
from typing import Any

from fakes.kube.errors import ApiError, bad_request
from fakes.kube.schema import merge_key

Json = dict[str, Any]

PRIMITIVE = ""
"""Merge key of a list of plain values: it is united as a set."""


def strategic(document: Json, patch: Json, kind: str) -> Json:
    """Apply a strategic merge patch to a whole object of `kind`. Raises ApiError 400 for a malformed one."""
    result = _merge_map(document, patch, kind, ())
    return result if result is not None else {}


def _merge_map(old: Json, patch: Json, kind: str, path: tuple[str, ...]) -> Json | None:
    """The merged map; None when the patch says this map is to be deleted."""
    directive = patch.get("$patch")
    if directive == "replace":
        return _content(patch)
    if directive == "delete":
        return None if path else {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type: {directive}")
    result = dict(old)
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        _merge_field(result, key, value, patch, kind, (*path, key))
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            if isinstance(result.get(field), list):
                result[field] = [item for item in result[field] if item not in value]
    _order_only(result, patch, kind, path)
    if isinstance(retained := patch.get("$retainKeys"), list):
        result = {key: value for key, value in result.items() if key in retained}
    return result


def _merge_field(result: Json, key: str, value: Any, patch: Json, kind: str, path: tuple[str, ...]) -> None:
    if value is None:
        result.pop(key, None)
        return
    old = result.get(key)
    if isinstance(value, dict):
        merged = _merge_map(old, value, kind, path) if isinstance(old, dict) else _fresh(value)
        if merged is None:
            result.pop(key, None)
        else:
            result[key] = merged
    elif isinstance(value, list):
        order = patch.get(f"$setElementOrder/{key}")
        result[key] = _merge_list(old if isinstance(old, list) else [], value, order, kind, path)
    else:
        result[key] = value


def _fresh(value: Json) -> Json | None:
    if value.get("$patch") == "delete":
        return None
    return _content(value)


def _content(value: Json) -> Json:
    content: Json = _strip(value)
    return content


def _strip(value: Any) -> Any:
    """A patch taken as content: directives and nulls have done their work and go."""
    if isinstance(value, dict):
        return {
            key: _strip(item)
            for key, item in value.items()
            if item is not None
            and not key.startswith(("$patch", "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"))
        }
    if isinstance(value, list):
        return [
            _strip(item)
            for item in value
            if not (isinstance(item, dict) and "$patch" in item and (item["$patch"] == "delete" or len(item) == 1))
        ]
    return value


def _merge_list(old: list[Any], patch: list[Any], order: Any, kind: str, path: tuple[str, ...]) -> list[Any]:
    key = merge_key(kind, path)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        rest = [
            item
            for item in patch
            if not (isinstance(item, dict) and item.get("$patch") == "replace" and len(item) == 1)
        ]
        return [_strip(item) for item in rest]
    if key is None:
        return [_strip(item) for item in patch]
    if key == PRIMITIVE:
        return _ordered([*old, *(item for item in patch if item not in old)], order, None)
    return _ordered(_merge_items(old, patch, key, kind, path), order, key)


def _merge_items(old: list[Any], patch: list[Any], key: str, kind: str, path: tuple[str, ...]) -> list[Any]:
    result = list(old)
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"cannot merge a plain value into the list {'.'.join(path)}")
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        found = [index for index, there in enumerate(result) if there.get(key) == item[key]]
        if item.get("$patch") == "delete":
            result = [there for there in result if there.get(key) != item[key]]
        elif not found:
            result.append(_strip(item))
        else:
            merged = _merge_map(result[found[0]], item, kind, path)
            result[found[0]] = merged if merged is not None else {}
    return result


def _ordered(items: list[Any], order: Any, key: str | None) -> list[Any]:
    """Items in the order the patch states; those it does not name keep their place relative to their neighbours."""
    if not isinstance(order, list):
        return items
    wanted = [entry.get(key) if key is not None and isinstance(entry, dict) else entry for entry in order]
    named = [item for item in items if _identity(item, key) in wanted]
    others = [(index, item) for index, item in enumerate(items) if _identity(item, key) not in wanted]
    named.sort(key=lambda item: wanted.index(_identity(item, key)))
    place = {id(item): index for index, item in enumerate(items)}
    result: list[Any] = []
    for item in named:
        while others and others[0][0] < place[id(item)] and not _precedes(named, item, place, others[0][0]):
            result.append(others.pop(0)[1])
        result.append(item)
    return [*result, *(item for _, item in others)]


def _precedes(named: list[Any], item: Any, place: Mapping[int, int], index: int) -> bool:
    """Whether a later named item used to stand before the unnamed one at `index`."""
    later = named[named.index(item) + 1 :]
    return any(place[id(entry)] < index for entry in later)


def _identity(item: Any, key: str | None) -> Any:
    return item.get(key) if key is not None and isinstance(item, dict) else item


def _order_only(result: Json, patch: Json, kind: str, path: tuple[str, ...]) -> None:
    """Reorder lists that the patch orders without changing their items."""
    for directive, order in patch.items():
        if not directive.startswith("$setElementOrder/"):
            continue
        field = directive.partition("/")[2]
        if field not in patch and isinstance(result.get(field), list):
            key = merge_key(kind, (*path, field))
            result[field] = _ordered(result[field], order, key or None)


def merge(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(document: Any, operations: list[Json]) -> Any:
    """Apply RFC 6902 operations. Raises ApiError 400 for a malformed patch, 422 for one that does not fit."""
    for operation in operations:
        if not isinstance(operation, dict) or "op" not in operation or "path" not in operation:
            raise bad_request("error decoding patch: every operation needs op and path")
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Json) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _edit(document, path, "add", _value(operation))
        case "replace":
            return _edit(document, path, "replace", _value(operation))
        case "remove":
            return _edit(document, path, "remove", None)
        case "test":
            try:
                present = _read(document, path)
            except ApiError:
                present = None
            if present != operation.get("value"):
                raise _unfit(f"testing value {operation['path']} failed")
            return document
        case "move" | "copy":
            source = _pointer(operation.get("from", ""))
            value = _read(document, source)
            if operation["op"] == "move":
                document = _edit(document, source, "remove", None)
            return _edit(document, path, "add", value)
        case other:
            raise bad_request(f"Unexpected kind: {other}")


def _value(operation: Json) -> Any:
    if "value" not in operation:
        raise bad_request(f"{operation['op']} operation without value at {operation['path']}")
    return operation["value"]


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise _unfit(f"{text} is not a JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")]


def _unfit(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def _index(items: list[Any], step: str, *, end: bool) -> int:
    if step == "-" and end:
        return len(items)
    try:
        index = int(step)
    except ValueError:
        raise _unfit(f"{step} is not a list index") from None
    if not -len(items) <= index < len(items) + end:
        raise _unfit(f"index {step} is out of range")
    return index


def _read(document: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(document, step, end=False)]
        else:
            raise _unfit(f"path /{'/'.join(path)} does not exist")
    return document


def _edit(document: Any, path: list[str], op: str, value: Any) -> Any:
    """`document` with one place changed; the branch to it is copied, the rest shared."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(document, dict):
        made: Json = dict(document)
        if rest:
            if step not in made:
                raise _unfit(f"the path /{step} does not exist")
            made[step] = _edit(made[step], rest, op, value)
        elif op != "remove":
            made[step] = value  # the real server lets "replace" add, too: it sees no unset fields
        elif step not in made:
            raise _unfit(f"unable to remove nonexistent key: {step}")
        else:
            del made[step]
        return made
    if not isinstance(document, list):
        raise _unfit(f"the path /{step} does not exist")
    items = list(document)
    if rest:
        index = _index(items, step, end=False)
        items[index] = _edit(items[index], rest, op, value)
    elif op == "add":
        items.insert(_index(items, step, end=True), value)
    elif op == "remove":
        del items[_index(items, step, end=False)]
    else:
        items[_index(items, step, end=False)] = value
    return items
