"""Laws of field sets, over objects of every shape, and what `managedFields` of nonsense does."""

from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.kube import fieldsets, ownership
from fakes.kube.api import Api, ApiError, Writer
from fakes.kube.resources import RESOURCES

Json = dict[str, Any]
POD = fieldsets.root(RESOURCES["pods"])
NAMES = some.sampled_from(["a", "b", "c"])
TEXTS = some.sampled_from(["", "1", "2"])
MAPS = some.dictionaries(NAMES, TEXTS, max_size=3)


def distinct(items: Any, key: str) -> Any:
    return some.lists(items, max_size=3, unique_by=lambda item: item.get(key))


PORTS = distinct(
    some.fixed_dictionaries({"containerPort": some.integers(1, 3)}, optional={"name": NAMES}), "containerPort"
)
ENV = distinct(some.fixed_dictionaries({"name": NAMES}, optional={"value": TEXTS}), "name")
CONTAINERS = distinct(
    some.fixed_dictionaries(
        {"name": NAMES},
        optional={
            "image": TEXTS,
            "args": some.lists(TEXTS, max_size=2),
            "env": ENV,
            "ports": PORTS,
            "resources": some.fixed_dictionaries({}, optional={"limits": MAPS}),
        },
    ),
    "name",
)
META = some.fixed_dictionaries({}, optional={"labels": MAPS, "finalizers": some.lists(NAMES, unique=True)})
SPEC = some.fixed_dictionaries({}, optional={"containers": CONTAINERS, "nodeSelector": MAPS, "hostname": TEXTS})
FREE = some.recursive(TEXTS, lambda inner: some.dictionaries(NAMES, inner, max_size=2), max_leaves=4)


def solid(value: Any) -> Any:
    """Without empty maps and lists, which a server does not store either."""
    if isinstance(value, dict):
        return {key: made for key, item in value.items() if (made := solid(item)) not in ({}, [])}
    return [solid(item) for item in value] if isinstance(value, list) else value


PODS = some.fixed_dictionaries({"metadata": META}, optional={"spec": SPEC, "x": FREE}).map(solid)


@given(PODS)
def test_a_set_survives_being_written(pod: Json) -> None:
    found = fieldsets.of(POD, pod)
    assert fieldsets.decode(fieldsets.encode(found)) == found


@given(PODS, PODS)
def test_a_merge_has_all_that_is_stated_and_keeps_the_rest(old: Json, new: Json) -> None:
    merged = fieldsets.merge(POD, old, new)
    before, stated = fieldsets.of(POD, old), fieldsets.of(POD, new)
    assert stated <= fieldsets.of(POD, merged) | fieldsets.closed(fieldsets.of(POD, merged))
    written, gone = fieldsets.changes(POD, old, merged)
    assert written <= fieldsets.closed(stated)
    assert all(any(path[: len(leaf)] == leaf for leaf in stated | before) for path in gone)
    assert fieldsets.merge(POD, merged, new) == merged
    assert not any(fieldsets.changes(POD, new, fieldsets.merge(POD, new, new)))


@given(PODS)
def test_what_is_taken_away_whole_leaves_nothing(pod: Json) -> None:
    assert not fieldsets.without(POD, pod, fieldsets.closed(fieldsets.of(POD, pod)))
    assert fieldsets.changes(POD, pod, pod) == (frozenset(), frozenset())


@given(some.lists(some.tuples(some.sampled_from(["x", "y"]), MAPS, some.booleans()), max_size=6))
def test_applies_in_any_order(steps: list[tuple[str, dict[str, str], bool]]) -> None:
    """An apply that goes through leaves just what it states of its own; all that is there, somebody states."""
    api, stated = Api(), dict[str, dict[str, str]]()
    api.create("namespaces", {"metadata": {"name": "default"}})
    for name, data, force in steps:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
        others = stated.get("y" if name == "x" else "x", {})
        differ = any(others.get(key, value) != value for key, value in data.items())
        full = {**config, **({"data": data} if data else {})}
        with pytest.raises(ApiError, match="Apply failed") if differ and not force else nullcontext():
            api.apply("configmaps", "c", "default", full, writer=Writer(name, True), force=force)
        if differ and not force:
            continue
        stated[name] = dict(data)
        for key in [key for key, value in data.items() if others.get(key, value) != value]:
            del others[key]
        assert api.get("configmaps", "c", "default").get("data", {}) == {**others, **data}


NONSENSE = [
    "x",
    [5],
    [{"operation": "Apply"}],
    [{"operation": "Apply", "apiVersion": "v1", "manager": 5}],
    [{"operation": [], "apiVersion": "v1"}],
    [{"operation": "Apply", "apiVersion": "v1", "time": 5}],
    [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:a": 5}}],
    [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": {"g:a": {}}}],
    [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": {"k:{": {}}}],
    [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": {"v:[]": {}}}],
    [{"operation": "Apply", "apiVersion": "v1", "fieldsV1": {'k:{"a":[]}': {}}}],
]


@pytest.mark.parametrize("given_entries", NONSENSE, ids=str)
def test_nonsense_from_a_client_changes_nothing(given_entries: Any) -> None:
    row = RESOURCES["configmaps"]
    mine = [{"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": "t", "fieldsType": "FieldsV1"}]
    mine[0]["fieldsV1"] = {"f:data": {"f:k": {}}}
    old = {"metadata": {"managedFields": mine}, "data": {"k": "1"}}
    new = {"metadata": {"managedFields": given_entries}, "data": {"k": "1"}}
    ownership.track(row, new, old, Writer("b"), "", "now")
    assert new["metadata"]["managedFields"] == mine
