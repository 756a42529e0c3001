"""CustomResourceDefinitions: served once established, with schemas that prune, fill in and refuse."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.kube.client import JSON_PATCH, MERGE, STRATEGIC, Client, eventually
from tests.contract.kube.test_kubectl import Kubectl, kubectl

__all__ = ["kubectl"]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STRING = {"type": "string"}
SPEC = {
    "type": "object",
    "required": ["schedule"],
    "properties": {
        "schedule": {"type": "string", "pattern": r"^[*\d ]+$", "maxLength": 20, "minLength": 2},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "policy": {"type": "string", "enum": ["Allow", "Forbid"]},
        "share": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "args": {"type": "array", "items": STRING, "maxItems": 2},
        "names": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
            },
        },
        "labels": {"type": "object", "additionalProperties": STRING},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "since": {"type": "string", "format": "date-time"},
        "choice": {
            "type": "object",
            "properties": {"a": STRING, "b": STRING},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "deep": {"type": "object", "properties": {"on": {"type": "boolean", "default": True}}},
    },
}
STATUS = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "selector": STRING,
        "conditions": {
            "type": "array",
            "items": {"type": "object", "properties": {"type": STRING, "status": STRING}},
        },
    },
}
SCHEMA = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
COLUMNS = [
    {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule", "description": "When it runs"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
]
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def definition(group: str, **spec: Any) -> Any:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}, "scale": SCALE},
        "additionalPrinterColumns": COLUMNS,
    }
    names = {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["everything"]}
    wanted = {"group": group, "scope": "Namespaced", "names": names, "versions": [version], **spec}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{wanted['names']['plural']}.{group}"},
        "spec": wanted,
    }


def conditions(obj: Any) -> dict[str, str]:
    return {item["type"]: item["status"] for item in (obj.get("status", {}).get("conditions") or ())}


@pytest.fixture(autouse=True)
def _bears_definitions(client: Client) -> None:
    served = {item["version"] for item in client.get("/apis/policy").body["versions"]}
    if "v1" not in served:
        pytest.skip("an API server before 1.21 that a Go of today compiled dies of its first definition, in reflect2")


@pytest.fixture
def group() -> str:
    """A group of the test's own."""
    return f"g{uuid.uuid4().hex[:8]}.example.com"


@pytest.fixture
def define(client: Client, group: str) -> Iterator[Any]:
    """Makes a definition and waits until it is served."""
    names: list[str] = []

    def make(**spec: Any) -> Any:
        made = client.create(DEFINITIONS, definition(group, **spec))
        assert made.status == 201, made.body
        names.append(made.body["metadata"]["name"])
        path = f"{DEFINITIONS}/{names[-1]}"
        eventually(lambda: conditions(client.get(path).body).get("Established") == "True")
        for version in made.body["spec"]["versions"]:
            listed = f"/apis/{group}/{version['name']}"
            plural = made.body["spec"]["names"]["plural"]
            if version["served"]:  # the real one says so before it does so
                eventually(lambda listed=listed, plural=plural: client.get(f"{listed}/{plural}").status == 200)
                eventually(lambda listed=listed: client.get(listed).status == 200)
        return client.get(path).body

    yield make
    for name in names:
        client.delete(f"{DEFINITIONS}/{name}")


@pytest.fixture
def tabs(client: Client, define: Any, group: str, space: str) -> str:
    """Where the objects of the usual definition are."""
    define()
    return f"/apis/{group}/v1/namespaces/{space}/crontabs"


def tab(group: str, name: str = "a", **spec: Any) -> Any:
    return {
        "apiVersion": f"{group}/v1",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"schedule": "* *", **spec},
    }


def test_an_established_definition(client: Client, define: Any, group: str) -> None:
    made = define()
    assert made["spec"]["names"]["singular"] == "crontab"
    assert made["spec"]["names"]["listKind"] == "CronTabList"
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"] == made["spec"]["names"]
    assert conditions(made)["NamesAccepted"] == "True"


def test_discovery(client: Client, tabs: str, group: str) -> None:
    found = {item["name"]: item for item in client.get(f"/apis/{group}/v1").body["resources"]}
    assert set(found) == {"crontabs", "crontabs/status", "crontabs/scale"}
    entry = found["crontabs"]
    assert (entry["kind"], entry["singularName"], entry["namespaced"]) == ("CronTab", "crontab", True)
    assert (entry["shortNames"], entry["categories"]) == (["ct"], ["everything"])
    assert set(entry["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert group in {item["name"] for item in client.get("/apis").body["groups"]}
    assert client.get(f"/apis/{group}").body["preferredVersion"]["version"] == "v1"


def test_the_life_of_an_object(client: Client, tabs: str, group: str, space: str) -> None:
    made = client.create(tabs, tab(group))
    assert made.status == 201, made.body
    assert made.body["metadata"]["generation"] == 1
    assert made.body["metadata"]["namespace"] == space
    listed = client.get(tabs).body
    assert (listed["kind"], listed["apiVersion"]) == ("CronTabList", f"{group}/v1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    changed = client.patch(f"{tabs}/a", {"spec": {"replicas": 3}}, kind=MERGE)
    assert (changed.body["spec"]["replicas"], changed.body["metadata"]["generation"]) == (3, 2)
    replaced = client.put(f"{tabs}/a", {**changed.body, "spec": {"schedule": "1 1"}})
    assert replaced.body["spec"] == {"schedule": "1 1", "replicas": 1}
    assert client.put(f"{tabs}/a", changed.body).status == 409
    done = client.delete(f"{tabs}/a")
    assert (done.status, done.body["kind"], done.body["status"]) == (200, "Status", "Success")
    gone = client.get(f"{tabs}/a")
    assert (gone.status, gone.body["message"]) == (404, f'crontabs.{group} "a" not found')


def test_kinds_of_patches(client: Client, tabs: str, group: str) -> None:
    client.create(tabs, tab(group))
    answer = client.patch(f"{tabs}/a", [{"op": "add", "path": "/spec/replicas", "value": 2}], kind=JSON_PATCH)
    assert answer.body["spec"]["replicas"] == 2
    refused = client.patch(f"{tabs}/a", {"spec": {"replicas": 3}}, kind=STRATEGIC)
    assert (refused.status, refused.reason) == (415, "UnsupportedMediaType")


def test_watch(client: Client, tabs: str, group: str) -> None:
    version = client.get(tabs).body["metadata"]["resourceVersion"]
    client.create(tabs, tab(group))
    client.patch(f"{tabs}/a", {"spec": {"replicas": 3}}, kind=MERGE)
    client.delete(f"{tabs}/a")
    seen = [(kind, obj["kind"]) for kind, obj in client.watch(f"{tabs}?resourceVersion={version}", seconds=1)]
    assert seen == [(kind, "CronTab") for kind in ("ADDED", "MODIFIED", "DELETED")]


def test_pruned_and_filled_in(client: Client, tabs: str, group: str) -> None:
    body = tab(
        group,
        ports=[{"port": 1, "wrong": 2}],
        free={"any": {"thing": [1, None]}},
        labels={"any": "key"},
        deep={},
        share="50%",
        unheard="of",
    )
    body["unheard"] = "of"
    body["status"] = {"replicas": 5}
    made = client.create(tabs, body).body
    assert made["spec"] == {
        "schedule": "* *",
        "replicas": 1,
        "ports": [{"port": 1, "protocol": "TCP"}],
        "free": {"any": {"thing": [1, None]}},
        "labels": {"any": "key"},
        "deep": {"on": True},
        "share": "50%",
    }
    assert "unheard" not in made
    assert "status" not in made
    assert client.patch(f"{tabs}/a", {"spec": {"wrong": 1}}, kind=MERGE).body["spec"] == made["spec"]


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"schedule": None}, "spec.schedule", "Required value"),
        ({"schedule": 5}, "spec.schedule", 'must be of type string: "integer"'),
        ({"schedule": "never"}, "spec.schedule", r"spec.schedule in body should match '^[*\d ]+$'"),
        ({"schedule": "*"}, "spec.schedule", "spec.schedule in body should be at least 2 chars long"),
        ({"schedule": "* " * 20}, "spec.schedule", ""),
        (
            {"replicas": 11},
            "spec.replicas",
            "Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        (
            {"replicas": 0},
            "spec.replicas",
            "Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
        ),
        ({"replicas": "two"}, "spec.replicas", 'spec.replicas in body must be of type integer: "string"'),
        ({"replicas": 1.5}, "spec.replicas", "must be of type integer"),
        ({"policy": "Any"}, "spec.policy", 'Unsupported value: "Any": supported values: "Allow", "Forbid"'),
        ({"share": True}, "spec.share", "must be of type integer"),
        ({"args": ["a", "b", "c"]}, "spec.args", ""),
        ({"args": "a"}, "spec.args", 'spec.args in body must be of type array: "string"'),
        ({"args": ["a", 1]}, "spec.args[1]", "must be of type string"),
        ({"names": ["a", "b", "a"]}, "spec.names[2]", 'Duplicate value: "a"'),
        ({"ports": [{"port": 1}, {"port": 1}]}, "spec.ports[1]", "Duplicate value: "),
        ({"ports": [{}]}, "spec.ports[0].port", "Required value"),
        ({"labels": {"a": 1}}, "spec.labels.a", "must be of type string"),
        ({"since": "yesterday"}, "spec.since", 'must be of type date-time: "yesterday"'),
        ({"choice": {}}, "<nil>", '"spec.choice" must validate one and only one schema (oneOf). Found none valid'),
        (
            {"choice": {"a": "1", "b": "2"}},
            "<nil>",
            '"spec.choice" must validate one and only one schema (oneOf). Found 2',
        ),
    ],
)
def test_what_is_refused(client: Client, tabs: str, group: str, spec: Any, field: str, said: str) -> None:
    body = tab(group)
    body["spec"] = {name: value for name, value in {**body["spec"], **spec}.items() if value is not None}
    refused = client.create(tabs, body)
    assert (refused.status, refused.reason) == (422, "Invalid"), refused.body
    assert refused.body["message"].startswith(f'CronTab.{group} "a" is invalid: ')
    causes = {cause["field"]: cause["message"] for cause in refused.body["details"]["causes"]}
    assert field in causes
    assert said in causes[field]


def test_a_body_says_what_it_is(client: Client, tabs: str, group: str) -> None:
    """Unlike one of a built-in kind."""
    body = tab(group)
    del body["kind"]
    assert client.create(tabs, body).status == 400


def test_updates_are_judged_too(client: Client, tabs: str, group: str) -> None:
    client.create(tabs, tab(group))
    assert client.patch(f"{tabs}/a", {"spec": {"replicas": 50}}, kind=MERGE).status == 422
    assert client.patch(f"{tabs}/a", {"metadata": {"labels": {"a": "b c"}}}, kind=MERGE).status == 422


def test_status_subresource(client: Client, tabs: str, group: str) -> None:
    made = client.create(tabs, tab(group)).body
    body = {**made, "status": {"replicas": 2}, "spec": {"schedule": "9 9"}}
    body["metadata"] = {**made["metadata"], "labels": {"a": "b"}}
    written = client.put(f"{tabs}/a/status", body).body
    assert (written["status"], written["spec"]["schedule"]) == ({"replicas": 2}, "* *")
    assert written["metadata"]["generation"] == 1
    assert "labels" not in written["metadata"]
    kept = client.patch(f"{tabs}/a", {"status": {"replicas": 9}, "spec": {"replicas": 4}}, kind=MERGE).body
    assert (kept["status"], kept["spec"]["replicas"], kept["metadata"]["generation"]) == ({"replicas": 2}, 4, 2)
    refused = client.patch(f"{tabs}/a/status", {"status": {"replicas": "two"}}, kind=MERGE)
    assert refused.status == 422


def test_scale_subresource(client: Client, tabs: str, group: str) -> None:
    client.create(tabs, tab(group, replicas=2))
    client.patch(f"{tabs}/a/status", {"status": {"replicas": 1, "selector": "a=b"}}, kind=MERGE)
    scale = client.get(f"{tabs}/a/scale").body
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    assert client.patch(f"{tabs}/a/scale", {"spec": {"replicas": 5}}, kind=MERGE).body["spec"]["replicas"] == 5
    found = client.get(f"{tabs}/a").body
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (5, 1)


def test_table(client: Client, tabs: str, group: str) -> None:
    client.create(tabs, tab(group))
    status = {"conditions": [{"type": "Other", "status": "No"}, {"type": "Ready", "status": "True"}]}
    client.patch(f"{tabs}/a/status", {"status": status}, kind=MERGE)
    table = client.get(tabs, Accept="application/json;as=Table;v=v1;g=meta.k8s.io").body
    assert [item["name"] for item in table["columnDefinitions"]] == ["Name", "Schedule", "Replicas", "Ready", "Since"]
    assert table["columnDefinitions"][1]["description"] == "When it runs"
    assert table["columnDefinitions"][4]["priority"] == 1
    (row,) = table["rows"]
    assert row["cells"][:4] == ["a", "* *", 1, "True"]
    assert row["cells"][4].endswith("s")


def test_cluster_scope_and_several_versions(client: Client, define: Any, group: str) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    other = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    versions = [
        {"name": "v1alpha1", "served": True, "storage": False, "schema": schema},
        {"name": "v1", "served": True, "storage": True, "schema": schema},
        {"name": "v2beta1", "served": True, "storage": False, "schema": other},
        {"name": "v3", "served": False, "storage": False, "schema": schema},
    ]
    define(scope="Cluster", versions=versions, names={"plural": "things", "kind": "Thing"})
    assert [item["version"] for item in client.get(f"/apis/{group}").body["versions"]] == ["v1", "v2beta1", "v1alpha1"]
    thing = {"apiVersion": f"{group}/v1alpha1", "kind": "Thing", "metadata": {"name": "a"}}
    made = client.create(f"/apis/{group}/v1alpha1/things", {**thing, "spec": {"x": 1}, "y": 2})
    assert made.status == 201, made.body
    assert made.body["apiVersion"] == f"{group}/v1alpha1"
    found = client.get(f"/apis/{group}/v1/things/a").body
    assert (found["apiVersion"], found["spec"], found["y"]) == (f"{group}/v1", {"x": 1}, 2)
    assert found["metadata"]["uid"] == made.body["metadata"]["uid"]
    assert client.get(f"/apis/{group}/v3/things/a").status == 404
    assert client.get(f"/apis/{group}/v1/things/a/status").status == 404
    assert (
        client.patch(f"/apis/{group}/v1/things/a", {"status": {"z": 1}}, kind=MERGE).body["metadata"]["generation"] == 2
    )
    columns = client.get(f"/apis/{group}/v1/things", Accept="application/json;as=Table;v=v1;g=meta.k8s.io").body
    assert [item["name"] for item in columns["columnDefinitions"]] == ["Name", "Age"]


def test_a_kind_of_a_built_in_name_is_its_own(client: Client, define: Any, group: str, space: str) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    define(
        names={"plural": "pods", "kind": "Pod"},
        versions=[{"name": "v1", "served": True, "storage": True, "schema": schema}],
    )
    path = f"/apis/{group}/v1/namespaces/{space}/pods"
    body = {"apiVersion": f"{group}/v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"anything": 1}}
    made = client.create(path, body)
    assert made.status == 201, made.body
    assert made.body["spec"] == {"anything": 1}
    assert client.get(f"/api/v1/namespaces/{space}/pods/a").status == 404
    assert client.delete(f"{path}/a").body["kind"] == "Status"
    assert client.get(f"{path}/a").status == 404


def test_owners_and_finalizers(client: Client, core: str, tabs: str, group: str) -> None:
    body = tab(group)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    owner = client.create(tabs, body).body
    reference = {"apiVersion": f"{group}/v1", "kind": "CronTab", "name": "a", "uid": owner["metadata"]["uid"]}
    client.create(f"{core}/configmaps", {"metadata": {"name": "mine", "ownerReferences": [reference]}})
    assert "deletionTimestamp" in client.delete(f"{tabs}/a").body["metadata"]
    assert client.get(f"{tabs}/a").status == 200
    client.patch(f"{tabs}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
    assert client.get(f"{tabs}/a").status == 404
    # The real collector learns of new kinds only now and then.
    eventually(lambda: client.get(f"{core}/configmaps/mine").status == 404, within_s=60)


def test_deleting_the_definition_takes_its_objects(client: Client, tabs: str, group: str) -> None:
    body = tab(group)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(tabs, body)
    path = f"{DEFINITIONS}/crontabs.{group}"
    client.delete(path)
    eventually(lambda: "deletionTimestamp" in client.get(f"{tabs}/a").body.get("metadata", {}))
    refused = client.create(tabs, tab(group, "b"))
    assert refused.status in (403, 405)
    client.patch(f"{tabs}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
    eventually(lambda: client.get(path).status == 404)
    eventually(lambda: client.get(tabs).status == 404)
    assert client.create(DEFINITIONS, definition(group)).status == 201
    eventually(lambda: client.get(tabs).status == 200)
    assert client.get(tabs).body["items"] == []


def test_changing_the_definition(client: Client, tabs: str, group: str) -> None:
    client.create(tabs, tab(group))
    path = f"{DEFINITIONS}/crontabs.{group}"
    change = [{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/new",
               "value": {"type": "string", "default": "d"}}]  # fmt: skip
    assert client.patch(path, change, kind=JSON_PATCH).status == 200
    eventually(lambda: client.patch(f"{tabs}/a", {"spec": {"new": "x"}}, kind=MERGE).body["spec"].get("new") == "x")
    refused = client.patch(path, {"spec": {"names": {"kind": "Other", "listKind": "OtherList"}}}, kind=MERGE)
    assert refused.status in (200, 422)  # to the real one, names that are not accepted are a condition
    assert client.patch(path, {"spec": {"scope": "Cluster"}}, kind=MERGE).fields == {"spec.scope"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"scope": "Any"}, "spec.scope", id="scope"),
        pytest.param({"versions": []}, "spec.versions", id="no version"),
        pytest.param({"conversion": {"strategy": "Any"}}, "spec.conversion.strategy", id="conversion"),
    ],
)
def test_definitions_refused(client: Client, group: str, change: Any, field: str) -> None:
    refused = client.create(DEFINITIONS, definition(group, **change))
    assert refused.status == 422
    assert any(one.startswith(field) for one in refused.fields), refused.fields


@pytest.mark.parametrize(
    ("schema", "ending"),
    [
        pytest.param(None, "openAPIV3Schema", id="none"),
        pytest.param({"type": "object", "properties": {"spec": {}}}, ".properties[spec].type", id="no type"),
        pytest.param({"type": "string"}, "openAPIV3Schema.type", id="no object"),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "array"}}}, ".properties[a].items", id="array of nothing"
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
            ".properties[a].pattern",
            id="pattern",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}},
            ".properties[a].anyOf[0].type",
            id="type in an alternative",
        ),
    ],
)
def test_schemas_refused(client: Client, group: str, schema: Any, ending: str) -> None:
    version = {"name": "v1", "served": True, "storage": True} | (
        {"schema": {"openAPIV3Schema": schema}} if schema else {}
    )
    refused = client.create(DEFINITIONS, definition(group, versions=[version]))
    assert refused.status == 422
    assert any(field.endswith(ending) for field in refused.fields), refused.fields


def test_name_must_be_plural_and_group(client: Client, group: str) -> None:
    body = definition(group)
    body["metadata"]["name"] = f"other.{group}"
    assert client.create(DEFINITIONS, body).fields == {"metadata.name"}


def test_kubectl_get_and_apply(kubectl: Kubectl, tabs: str, group: str) -> None:
    manifest = f"""
apiVersion: {group}/v1
kind: CronTab
metadata: {{name: a}}
spec: {{schedule: "* *", replicas: 2}}
"""
    assert "created" in kubectl.run("apply", "-f", "-", stdin=manifest)
    assert "configured" in kubectl.run("apply", "-f", "-", stdin=manifest.replace("replicas: 2", "replicas: 3"))
    head, line = kubectl.run("get", "crontabs").splitlines()
    assert head.split() == ["NAME", "SCHEDULE", "REPLICAS", "READY"]
    assert line.split()[:4] == ["a", "*", "*", "3"]
    assert kubectl.json("get", f"crontab.{group}/a")["spec"]["replicas"] == 3
    kubectl.run("scale", "--replicas=4", f"crontabs.{group}/a")
    assert kubectl.json("get", f"crontabs.{group}", "a")["spec"]["replicas"] == 4
    kubectl.run("wait", "--for=condition=Established", f"crd/crontabs.{group}", "--timeout=20s")
    assert "schedule" in kubectl.run("explain", "crontabs.spec", f"--api-version={group}/v1")
    kubectl.run("delete", f"crontabs.{group}", "a")
