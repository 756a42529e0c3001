"""Server-side apply: who manages which field, what conflicts, what goes when nobody states it any more."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import MERGE, Answer, Client, config_map

APPLY = "application/apply-patch+yaml"


class Applier:
    def __init__(self, client: Client, core: str) -> None:
        self.client, self.core = client, core

    def __call__(self, manager: str, obj: Any, *, path: str = "", query: str = "") -> Answer:
        plural = {"ConfigMap": "configmaps", "Pod": "pods", "Service": "services"}.get(obj["kind"], "")
        where = path or f"{self.core}/{plural}/{obj['metadata']['name']}"
        return self.client.patch(f"{where}?fieldManager={manager}{query}", obj, APPLY)

    def deployment(self, manager: str, *containers: Any, query: str = "", **spec: Any) -> Answer:
        namespace = self.core.rpartition("/")[2]
        template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": list(containers)}}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template, **spec},
        }
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/d"
        return self(manager, body, path=path, query=query)


@pytest.fixture
def apply(client: Client, core: str) -> Applier:
    return Applier(client, core)


def managers(obj: Any) -> dict[tuple[str, str], Any]:
    return {
        (item["manager"], item["operation"]): item["fieldsV1"]
        for item in obj["metadata"].get("managedFields", [])
        if item.get("subresource", "") == ""
    }


def causes(answer: Answer) -> list[tuple[str, str, str]]:
    assert (answer.status, answer.reason) == (409, "Conflict"), answer.body
    return [(item["reason"], item["message"], item["field"]) for item in answer.body["details"]["causes"]]


def test_it_creates_and_says_whose_the_fields_are(apply: Applier) -> None:
    answer = apply("a", config_map(k="1"))
    assert answer.status == 201
    [entry] = answer.body["metadata"]["managedFields"]
    assert {"time"} < entry.keys()
    assert entry | {"time": ""} == {
        "manager": "a",
        "operation": "Apply",
        "apiVersion": "v1",
        "time": "",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:k": {}}},
    }


def test_the_same_again_changes_nothing(apply: Applier) -> None:
    first = apply("a", config_map(k="1")).body["metadata"]
    time.sleep(1.1)
    again = apply("a", config_map(k="1"))
    assert (again.status, again.body["metadata"]) == (200, first)


def test_a_conflict_names_manager_and_field_and_force_takes_over(apply: Applier) -> None:
    apply("a", config_map(k="1", l="1"))
    answer = apply("b", config_map(k="2"))
    assert causes(answer) == [("FieldManagerConflict", 'conflict with "a"', ".data.k")]
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "a": .data.k'
    two = apply("b", config_map(k="2", l="2"))
    assert two.body["message"] == 'Apply failed with 2 conflicts: conflicts with "a":\n- .data.k\n- .data.l'
    forced = apply("b", config_map(k="2"), query="&force=true")
    assert (forced.status, forced.body["data"]) == (200, {"k": "2", "l": "1"})
    assert managers(forced.body) == {
        ("a", "Apply"): {"f:data": {"f:l": {}}},
        ("b", "Apply"): {"f:data": {"f:k": {}}},
    }
    assert causes(apply("a", config_map(k="1", l="1"))) == [("FieldManagerConflict", 'conflict with "b"', ".data.k")]


def test_the_same_value_is_shared(apply: Applier) -> None:
    apply("a", config_map(k="1", l="1"))
    assert apply("b", config_map(k="1")).status == 200
    left = apply("a", config_map(l="1"))
    assert left.body["data"] == {"k": "1", "l": "1"}  # b still has it
    gone = apply("b", {**config_map(), "metadata": {"name": "c", "labels": {"x": "y"}}})
    assert (gone.body["data"], gone.body["metadata"]["labels"]) == ({"l": "1"}, {"x": "y"})


def test_what_nobody_states_any_more_goes(apply: Applier) -> None:
    apply("a", {**config_map(k="1"), "metadata": {"name": "c", "annotations": {"n": "1"}}})
    answer = apply("a", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    assert answer.status == 200
    assert "data" not in answer.body
    assert "annotations" not in answer.body["metadata"]


def test_other_writes_take_fields_over(apply: Applier, client: Client, core: str) -> None:
    apply("a", config_map(k="1", l="1"))
    path = f"{core}/configmaps/c?fieldManager=edit"
    changed = client.patch(path, {"data": {"k": "2", "m": "3"}}, MERGE).body
    assert managers(changed) == {
        ("a", "Apply"): {"f:data": {"f:l": {}}},
        ("edit", "Update"): {"f:data": {"f:k": {}, "f:m": {}}},
    }
    [(reason, message, field)] = causes(apply("a", config_map(k="1", l="1")))
    assert (reason, field) == ("FieldManagerConflict", ".data.k")
    assert message.startswith('conflict with "edit" using v1')
    body = client.get(f"{core}/configmaps/c").body
    del body["data"]["m"]
    removed = client.put(f"{core}/configmaps/c?fieldManager=third", body).body
    assert managers(removed)["edit", "Update"] == {"f:data": {"f:k": {}}}


def test_fields_of_the_one_who_created(apply: Applier, client: Client, core: str) -> None:
    client.create(f"{core}/configmaps?fieldManager=maker", config_map(k="1"))
    [(_, message, field)] = causes(apply("a", config_map(k="2")))
    assert message.startswith('conflict with "maker" using v1')
    assert field == ".data.k"
    assert apply("a", config_map(k="1")).status == 200


def test_an_object_of_an_unnamed_client_conflicts_too(apply: Applier, client: Client, core: str) -> None:
    client.create(f"{core}/configmaps", config_map(k="1"))
    [(reason, _, field)] = causes(apply("a", config_map(k="2")))
    assert (reason, field) == ("FieldManagerConflict", ".data.k")
    assert apply("a", config_map(k="2"), query="&force=true").body["data"] == {"k": "2"}


def names(answer: Answer) -> list[str]:
    assert answer.status in (200, 201), answer.body
    return [item["name"] for item in answer.body["spec"]["template"]["spec"]["containers"]]


def test_items_of_lists_have_managers_of_their_own(apply: Applier) -> None:
    one, two = {"name": "one", "image": "i:1"}, {"name": "two", "image": "i:2"}
    assert names(apply.deployment("a", one)) == ["one"]
    assert names(apply.deployment("b", two)) == ["one", "two"]
    assert names(apply.deployment("a", one)) == ["one", "two"]
    conflict = apply.deployment("b", two, {"name": "one", "image": "i:9"})
    assert [field for _, _, field in causes(conflict)] == ['.spec.template.spec.containers[name="one"].image']
    more = {**two, "env": [{"name": "X", "value": "1"}], "args": ["a", "b"], "ports": [{"containerPort": 80}]}
    answer = apply.deployment("b", more)
    mine = managers(answer.body)["b", "Apply"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"two"}']
    assert mine == {
        ".": {},
        "f:name": {},
        "f:image": {},
        "f:args": {},
        "f:env": {'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}},
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
    }
    assert names(apply.deployment("b", {"name": "three", "image": "i"})) == ["one", "three"]


def test_atomic_fields_are_replaced_whole(apply: Applier) -> None:
    one = {"name": "one", "image": "i"}
    apply.deployment("a", {**one, "command": ["x", "y"]})
    answer = apply.deployment("b", {**one, "command": ["z"]})
    assert [field for _, _, field in causes(answer)] == ['.spec.template.spec.containers[name="one"].command']


def test_defaults_are_nobodys(apply: Applier) -> None:
    one = {"name": "one", "image": "i"}
    apply.deployment("a", one)
    answer = apply.deployment("b", one, replicas=3)
    assert (answer.status, answer.body["spec"]["replicas"]) == (200, 3)
    again = apply.deployment("a", one)
    assert again.body["spec"]["replicas"] == 3
    assert apply.deployment("b", one).body["spec"]["replicas"] == 1  # b let go: the default again


def test_sets(apply: Applier) -> None:
    def with_finalizers(*finalizers: str) -> Any:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": list(finalizers)}}

    apply("a", with_finalizers("x.dev/a", "x.dev/both"))
    answer = apply("b", with_finalizers("x.dev/b", "x.dev/both"))
    assert answer.status == 200, answer.body
    both = answer.body
    assert set(both["metadata"]["finalizers"]) == {"x.dev/a", "x.dev/b", "x.dev/both"}
    assert managers(both)["b", "Apply"] == {"f:metadata": {"f:finalizers": {'v:"x.dev/b"': {}, 'v:"x.dev/both"': {}}}}
    left = apply("a", with_finalizers()).body
    assert set(left["metadata"]["finalizers"]) == {"x.dev/b", "x.dev/both"}
    assert "finalizers" not in apply("b", with_finalizers()).body["metadata"]


def test_status_is_a_door_of_its_own(apply: Applier, client: Client, node: str) -> None:
    path = f"/api/v1/nodes/{node}"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": {"capacity": {"x.dev/a": "1"}}}
    assert "x.dev/a" not in apply("a", body, path=path).body.get("status", {}).get("capacity", {})
    done = apply("a", body, path=f"{path}/status")
    assert (done.status, done.body["status"]["capacity"]) == (200, {"x.dev/a": "1"})


def test_a_dry_run_stores_nothing(apply: Applier, client: Client, core: str) -> None:
    assert apply("a", config_map(k="1"), query="&dryRun=All").status == 201
    assert client.get(f"{core}/configmaps/c").status == 404


def test_refusals(apply: Applier, client: Client, core: str) -> None:
    path = f"{core}/configmaps/c"
    unnamed = client.patch(path, config_map(k="1"), APPLY)
    assert (unnamed.status, unnamed.fields) == (422, {"fieldManager"})
    apply("a", config_map(k="1"))
    forced = client.patch(f"{path}?force=true", {"data": {}}, MERGE)
    assert (forced.status, forced.fields) == (422, {"force"})
    other = client.patch(f"{path}?fieldManager=a", config_map("other"), APPLY)
    assert other.status == 400
    stated = {**config_map(), "metadata": {"name": "c", "managedFields": [{"manager": "x", "operation": "Apply"}]}}
    assert apply("a", stated).body["message"] == "metadata.managedFields must be nil"
    unknown = apply("a", {**config_map(), "bogus": 1})
    assert unknown.status >= 400
    assert ".bogus: field not declared in schema" in unknown.body["message"]
    keyless = apply.deployment("a", {"image": "i"})
    assert (keyless.status, keyless.fields) == (422, {"spec.template.spec.containers[0].name"})
    twice = apply.deployment("a", {"name": "one", "image": "i", "env": [{"name": "X"}, {"name": "X"}]})
    assert twice.status >= 400
    assert '.env: duplicate entries for key [name="X"]' in twice.body["message"]
    assert client.patch(f"{path}?fieldManager=a", b"{", APPLY).status == 400
    stale = {**config_map(k="2"), "metadata": {"name": "c", "resourceVersion": "1"}}
    assert (apply("a", stale).status, apply("a", stale).reason) == (409, "Conflict")


def test_a_client_may_have_it_all_forgotten(apply: Applier, client: Client, core: str) -> None:
    apply("a", config_map(k="1"))
    done = client.patch(f"{core}/configmaps/c", {"metadata": {"managedFields": [{}]}}, MERGE)
    assert done.status == 200
    assert ("a", "Apply") not in managers(done.body)


def test_kubectl(kubeconfig: Path, kubectl_path: str, space: str, client: Client, core: str) -> None:
    def kubectl(*words: str, obj: Any) -> subprocess.CompletedProcess[str]:
        command = [kubectl_path, "--kubeconfig", str(kubeconfig), "-n", space, *words, "-f", "-"]
        return subprocess.run(command, input=json.dumps(obj), capture_output=True, text=True, timeout=60, check=False)

    side = ("apply", "--server-side")
    done = kubectl(*side, obj=config_map(k="1"))
    assert (done.returncode, done.stdout) == (0, "configmap/c serverside-applied\n"), done.stderr
    client.patch(f"{core}/configmaps/c?fieldManager=edit", {"data": {"k": "2"}}, MERGE)
    refused = kubectl(*side, obj=config_map(k="3"))
    assert refused.returncode == 1
    assert 'conflict with "edit" using v1' in refused.stderr
    assert kubectl(*side, "--force-conflicts", obj=config_map(k="3")).returncode == 0
    assert client.get(f"{core}/configmaps/c").body["data"] == {"k": "3"}
    assert kubectl("apply", obj=config_map("d", k="1", l="1")).returncode == 0
    moved = kubectl(*side, obj=config_map("d", k="2"))
    assert moved.returncode == 0, moved.stderr
    assert client.get(f"{core}/configmaps/d").body["data"]["k"] == "2"
