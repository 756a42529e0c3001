"""Patches as tables: document, patch, what comes of it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.kube.errors import ApiError
from fakes.kube.patch import json_patch, merge, strategic


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


A, B = {"name": "a", "image": "1"}, {"name": "b", "image": "1"}


@pytest.mark.parametrize(
    ("old", "patch", "new"),
    [
        pytest.param(spec(A, B), spec({"name": "b", "image": "2"}), spec(A, {"name": "b", "image": "2"}), id="by name"),
        pytest.param(spec(A), spec(B), spec(A, B), id="a new item is appended"),
        pytest.param(spec(A, B), spec({"name": "a", "$patch": "delete"}), spec(B), id="delete an item"),
        pytest.param(spec(A), spec({"name": "z", "$patch": "delete"}), spec(A), id="delete what is not there"),
        pytest.param(spec(A, B), spec({"$patch": "replace"}, B), spec(B), id="replace a list"),
        pytest.param(
            spec(A), {"spec": {"$patch": "replace", "nodeName": "n"}}, {"spec": {"nodeName": "n"}}, id="replace a map"
        ),
        pytest.param({"spec": {"a": 1}, "x": 1}, {"spec": {"$patch": "delete"}}, {"x": 1}, id="delete a map"),
        pytest.param(spec(A), {"spec": {"nodeName": None, "hostname": "h"}}, spec(A, hostname="h"), id="null removes"),
        pytest.param(
            spec(A, B),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "a", "image": "2"}],
                }
            },
            spec(B, {"name": "a", "image": "2"}),
            id="order",
        ),
        pytest.param(
            spec(A, B),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            spec(B, A),
            id="order alone",
        ),
        pytest.param(
            spec({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}),
            spec({"name": "a", "env": [{"name": "Y", "value": "3"}]}),
            spec({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]}),
            id="lists in items",
        ),
        pytest.param(
            spec(A, tolerations=[{"key": "a"}]),
            {"spec": {"tolerations": [{"key": "b"}]}},
            spec(A, tolerations=[{"key": "b"}]),
            id="a list without key is replaced",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b", "a"]}},
            {"metadata": {"finalizers": ["a", "b"]}},
            id="a set is united",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            id="delete from a set",
        ),
        pytest.param(
            spec(A, volumes=[{"name": "v", "emptyDir": {}}]),
            {
                "spec": {
                    "volumes": [
                        {
                            "name": "v",
                            "emptyDir": None,
                            "secret": {"secretName": "s"},
                            "$retainKeys": ["name", "secret"],
                        }
                    ]
                }
            },
            spec(A, volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
            id="retain keys",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]}},
            id="conditions by type",
        ),
        pytest.param(
            {"status": {"containerStatuses": [{"name": "a"}, {"name": "b"}]}},
            {"status": {"containerStatuses": [{"name": "b"}]}},
            {"status": {"containerStatuses": [{"name": "b"}]}},
            id="container statuses are replaced",
        ),
    ],
)
def test_strategic(old: dict[str, Any], patch: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy((old, patch))
    assert strategic(old, patch, "Pod") == new
    assert (old, patch) == before


@pytest.mark.parametrize(
    ("kind", "old", "patch", "new"),
    [
        (
            "Service",
            {"spec": {"ports": [{"port": 1, "name": "a"}]}},
            {"spec": {"ports": [{"port": 1, "name": "b"}]}},
            {"spec": {"ports": [{"port": 1, "name": "b"}]}},
        ),
        (
            "Deployment",
            {"spec": {"template": spec(A)}},
            {"spec": {"template": spec(B)}},
            {"spec": {"template": spec(A, B)}},
        ),
        (
            "CronJob",
            {"spec": {"jobTemplate": {"spec": {"template": spec(A)}}}},
            {"spec": {"jobTemplate": {"spec": {"template": spec(B)}}}},
            {"spec": {"jobTemplate": {"spec": {"template": spec(A, B)}}}},
        ),
        (
            "Node",
            {"status": {"addresses": [{"type": "Hostname", "address": "a"}]}},
            {"status": {"addresses": [{"type": "Hostname", "address": "b"}]}},
            {"status": {"addresses": [{"type": "Hostname", "address": "b"}]}},
        ),
        (
            "Node",
            {"spec": {"taints": [{"key": "a"}]}},
            {"spec": {"taints": [{"key": "b"}]}},
            {"spec": {"taints": [{"key": "b"}]}},
        ),
        (
            "ConfigMap",
            {"data": {"containers": "x"}},
            {"data": {"volumes": "y"}},
            {"data": {"containers": "x", "volumes": "y"}},
        ),
        (
            "Endpoints",
            {"subsets": [{"ports": [{"port": 1}]}]},
            {"subsets": [{"ports": [{"port": 2}]}]},
            {"subsets": [{"ports": [{"port": 2}]}]},
        ),
    ],
)
def test_strategic_of_other_kinds(kind: str, old: dict[str, Any], patch: dict[str, Any], new: dict[str, Any]) -> None:
    assert strategic(old, patch, kind) == new


def test_item_without_its_key_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        strategic(spec(A), spec({"image": "2"}), "Pod")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("old", "patch", "new"),
    [
        # the appendix of RFC 7386
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(old: Any, patch: Any, new: Any) -> None:
    assert merge(old, patch) == new


@pytest.mark.parametrize(
    ("old", "operations", "new"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        (
            {"a/b": 1, "c~d": 2},
            [{"op": "replace", "path": "/a~1b", "value": 3}, {"op": "remove", "path": "/c~0d"}],
            {"a/b": 3},
        ),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}, {"op": "replace", "path": "", "value": {}}], {}),
    ],
)
def test_json_patch(old: Any, operations: list[dict[str, Any]], new: Any) -> None:
    before = copy.deepcopy(old)
    assert json_patch(old, operations) == new
    assert old == before


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "remove", "path": "/z"}], 422),
        ([{"op": "add", "path": "/l/9", "value": 1}], 422),
        ([{"op": "add", "path": "/z/y", "value": 1}], 422),
        ([{"op": "add", "path": "a", "value": 1}], 422),
        ([{"op": "add", "path": "/b"}], 400),
        ([{"op": "grow", "path": "/a"}], 400),
        ([{"path": "/a"}], 400),
        (["x"], 400),
    ],
)
def test_json_patch_refusals(operations: Any, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        json_patch({"a": 1, "l": []}, operations)
    assert refused.value.code == code


names = st.sampled_from("abcdef")
containers = st.lists(names, unique=True, max_size=6)


@given(old=containers, new=containers, order=st.permutations("abcdef"))
def test_order_directive_orders_and_loses_nothing(old: list[str], new: list[str], order: list[str]) -> None:
    patch = {
        "spec": {
            "containers": [{"name": name} for name in new],
            "$setElementOrder/containers": [{"name": name} for name in order],
        }
    }
    result = strategic(spec(*({"name": name} for name in old)), patch, "Pod")["spec"]["containers"]
    found = [item["name"] for item in result]
    assert found == [name for name in order if name in {*old, *new}]


@given(old=containers, some=containers)
def test_unnamed_items_keep_their_order(old: list[str], some: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in some]}}
    result = strategic(spec(*({"name": name} for name in old)), patch, "Pod")["spec"]["containers"]
    found = [item["name"] for item in result]
    assert sorted(found) == sorted(old)
    assert [name for name in found if name not in some] == [name for name in old if name not in some]
    assert [name for name in found if name in some] == [name for name in some if name in old]
