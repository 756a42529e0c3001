"""Server-side apply of custom resources: lists and maps merge as the definition's schema says."""

from typing import Any

from tests.contract.kube.client import Answer
from tests.contract.kube.test_apply import Applier, apply, causes, managers
from tests.contract.kube.test_definitions import _bears_definitions, define, group, tab, tabs

__all__ = ["_bears_definitions", "apply", "define", "group", "tabs"]


def test_custom_resources_merge_as_their_schema_says(apply: Applier, tabs: str, group: str) -> None:
    def stated(manager: str, query: str = "", **spec: Any) -> Answer:
        body = tab(group, "a", **spec)
        if manager == "b":
            del body["spec"]["schedule"]
        return apply(manager, body, path=f"{tabs}/a", query=query)

    first = stated("a", names=["x"], ports=[{"port": 1}], labels={"l": "1"}, args=["1"], free={"f": {"g": 1}})
    assert first.status == 201, first.body
    mine = managers(first.body)["a", "Apply"]["f:spec"]
    assert "f:g" in mine.pop("f:free")["f:f"]  # versions differ in whether the map within is named itself
    assert mine == {
        "f:args": {},
        "f:labels": {"f:l": {}},
        "f:names": {'v:"x"': {}},
        "f:ports": {'k:{"port":1}': {".": {}, "f:port": {}}},
        "f:schedule": {},
    }
    second = stated("b", names=["y"], ports=[{"port": 2}], labels={"m": "1"}, free={"h": 1})
    assert second.status == 200, second.body
    spec = second.body["spec"]
    assert (spec["names"], [port["port"] for port in spec["ports"]]) == (["x", "y"], [1, 2])
    assert (spec["labels"], spec["free"]) == ({"l": "1", "m": "1"}, {"f": {"g": 1}, "h": 1})
    assert causes(stated("b", args=["2"])) == [("FieldManagerConflict", 'conflict with "a"', ".spec.args")]
    left = stated("b", names=["z"]).body["spec"]
    assert (left["names"], [port["port"] for port in left["ports"]]) == (["x", "z"], [1])
    assert (left["labels"], left["free"]) == ({"l": "1"}, {"f": {"g": 1}})
