"""Creating, reading, changing and deleting objects: identities, preconditions, conflicts, finalizers."""

import pytest

from tests.contract.kube.client import JSON_PATCH, MERGE, Client, config_map, eventually, pod


def test_create_gives_an_identity(client: Client, core: str) -> None:
    made = client.create(f"{core}/configmaps", config_map(a="1"))
    assert made.status == 201
    meta = made.body["metadata"]
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 0
    assert client.get(f"{core}/configmaps/c").body["metadata"]["uid"] == meta["uid"]


def test_generate_name(client: Client, core: str) -> None:
    body = {"metadata": {"generateName": "x-"}}
    names = {client.create(f"{core}/configmaps", body).body["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


def test_second_create_conflicts(client: Client, core: str) -> None:
    client.create(f"{core}/configmaps", config_map())
    again = client.create(f"{core}/configmaps", config_map())
    assert (again.status, again.reason) == (409, "AlreadyExists")
    assert again.body["message"] == 'configmaps "c" already exists'
    assert again.body["details"] == {"name": "c", "kind": "configmaps"}


def test_not_found_body(client: Client, space: str) -> None:
    answer = client.get(f"/apis/batch/v1/namespaces/{space}/jobs/nope")
    assert answer.status == 404
    assert answer.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'jobs.batch "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "group": "batch", "kind": "jobs"},
        "code": 404,
    }


def test_create_in_missing_namespace(client: Client) -> None:
    answer = client.create("/api/v1/namespaces/no-such-place/configmaps", config_map())
    assert (answer.status, answer.body["message"]) == (404, 'namespaces "no-such-place" not found')


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param(
            "POST", "configmaps", {"metadata": {"name": "c", "namespace": "default"}}, 400, id="another namespace"
        ),
        pytest.param(
            "POST",
            "configmaps",
            {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}},
            400,
            id="another kind",
        ),
        pytest.param("POST", "configmaps", b"{", 400, id="no JSON"),
        pytest.param("POST", "configmaps", {"metadata": {"name": "c"}, "data": {"a": 1}}, 400, id="number for text"),
        pytest.param("POST", "configmaps", {"metadata": {"name": "Big"}}, 422, id="bad name"),
        pytest.param("POST", "configmaps", {"metadata": {}}, 422, id="no name"),
        pytest.param("POST", "configmaps", {"metadata": {"name": "c", "labels": {"a": "b c"}}}, 422, id="bad label"),
        pytest.param("POST", "configmaps", {"metadata": {"name": "c"}, "data": {"a b": "1"}}, 422, id="bad key"),
        pytest.param("PUT", "configmaps/absent", {"metadata": {"name": "absent"}}, 404, id="replace what is not there"),
        pytest.param("PUT", "configmaps/absent", {"metadata": {"name": "other"}}, 400, id="name differs from the URL"),
        pytest.param("POST", "configmaps/x", {"metadata": {"name": "x"}}, 405, id="create at a name"),
        pytest.param("GET", "unheardof", None, 404, id="unknown resource"),
        pytest.param("GET", "configmaps/x/status", None, 404, id="unknown subresource"),
    ],
)
def test_refusals(client: Client, core: str, method: str, path: str, body: object, status: int) -> None:
    assert client.send(method, f"{core}/{path}", body).status == status


def test_stale_update_conflicts(client: Client, core: str) -> None:
    old = client.create(f"{core}/configmaps", config_map(a="1")).body
    assert client.put(f"{core}/configmaps/c", {**old, "data": {"a": "2"}}).status == 200
    stale = client.put(f"{core}/configmaps/c", {**old, "data": {"a": "3"}})
    assert (stale.status, stale.reason) == (409, "Conflict")
    assert "the object has been modified" in stale.body["message"]


def test_update_of_a_namesake_conflicts(client: Client, core: str) -> None:
    old = client.create(f"{core}/configmaps", config_map()).body
    body = {"metadata": {"name": "c", "uid": "11111111-1111-1111-1111-111111111111"}}
    answer = client.put(f"{core}/configmaps/c", body)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert old["metadata"]["uid"] in answer.body["message"]


def test_write_without_change_makes_no_revision(client: Client, core: str) -> None:
    old = client.create(f"{core}/configmaps", config_map(a="1")).body
    same = client.put(f"{core}/configmaps/c", old).body
    patched = client.patch(f"{core}/configmaps/c", {"data": {"a": "1"}}, MERGE).body
    assert (
        old["metadata"]["resourceVersion"]
        == same["metadata"]["resourceVersion"]
        == patched["metadata"]["resourceVersion"]
    )


@pytest.mark.parametrize(
    ("kind", "patch", "status", "data"),
    [
        pytest.param(MERGE, {"data": {"a": None, "b": "2"}}, 200, {"b": "2"}, id="merge"),
        pytest.param(
            JSON_PATCH,
            [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}],
            200,
            {},
            id="json",
        ),
        pytest.param(
            JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "2"}], 422, {"a": "1"}, id="json test fails"
        ),
        pytest.param(JSON_PATCH, [{"op": "remove", "path": "/data/z"}], 422, {"a": "1"}, id="json removes nothing"),
        pytest.param(JSON_PATCH, {"data": {}}, 400, {"a": "1"}, id="json is no list"),
        pytest.param(MERGE, {"metadata": {"name": "d"}}, 400, {"a": "1"}, id="rename"),
        pytest.param(MERGE, {"metadata": {"resourceVersion": "1"}}, 409, {"a": "1"}, id="stale version"),
        pytest.param("application/json", {"data": {}}, 415, {"a": "1"}, id="unknown patch type"),
    ],
)
def test_patches(client: Client, core: str, kind: str, patch: object, status: int, data: dict[str, str]) -> None:
    client.create(f"{core}/configmaps", config_map(a="1"))
    assert client.patch(f"{core}/configmaps/c", patch, kind).status == status
    assert client.get(f"{core}/configmaps/c").body.get("data", {}) == data


def test_patch_of_a_namesake_is_refused(client: Client, core: str) -> None:
    client.create(f"{core}/configmaps", config_map(a="1"))
    patch = {"metadata": {"uid": "22222222-2222-2222-2222-222222222222"}, "data": {"a": "2"}}
    assert client.patch(f"{core}/configmaps/c", patch).status in (409, 422)  # 422 in 1.20, 409 today
    assert client.get(f"{core}/configmaps/c").body["data"] == {"a": "1"}


def test_delete_answers(client: Client, core: str) -> None:
    made = client.create(f"{core}/configmaps", config_map()).body
    gone = client.delete(f"{core}/configmaps/c")
    assert (gone.status, gone.body["kind"], gone.body["status"]) == (200, "Status", "Success")
    assert gone.body["details"]["uid"] == made["metadata"]["uid"]
    assert client.delete(f"{core}/configmaps/c").status == 404


def test_delete_preconditions(client: Client, core: str) -> None:
    made = client.create(f"{core}/configmaps", config_map()).body["metadata"]
    wrong = client.delete(f"{core}/configmaps/c", preconditions={"uid": "33333333-3333-3333-3333-333333333333"})
    stale = client.delete(f"{core}/configmaps/c", preconditions={"resourceVersion": "1"})
    assert (wrong.status, stale.status) == (409, 409)
    wanted = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert client.delete(f"{core}/configmaps/c", preconditions=wanted).status == 200


def test_dry_run_stores_nothing(client: Client, core: str) -> None:
    assert client.create(f"{core}/configmaps?dryRun=All", config_map()).status == 201
    assert client.get(f"{core}/configmaps/c").status == 404
    client.create(f"{core}/configmaps", config_map(a="1"))
    assert client.send("DELETE", f"{core}/configmaps/c?dryRun=All").status == 200
    shown = client.patch(f"{core}/configmaps/c?dryRun=All", {"data": {"a": "2"}}, MERGE)
    assert shown.body["data"] == {"a": "2"}
    assert client.get(f"{core}/configmaps/c").body["data"] == {"a": "1"}


def test_finalizers_hold_an_object(client: Client, core: str) -> None:
    body = config_map()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(f"{core}/configmaps", body)
    held = client.delete(f"{core}/configmaps/c")
    assert held.status == 200
    meta = client.get(f"{core}/configmaps/c").body["metadata"]
    assert meta["deletionTimestamp"]
    assert meta["deletionGracePeriodSeconds"] == 0
    added = client.patch(
        f"{core}/configmaps/c", {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}, MERGE
    )
    assert (added.status, added.reason) == (422, "Invalid")
    assert client.patch(f"{core}/configmaps/c", {"metadata": {"finalizers": None}}, MERGE).status == 200
    assert client.get(f"{core}/configmaps/c").status == 404


def test_server_owned_metadata_cannot_be_changed(client: Client, core: str) -> None:
    old = client.create(f"{core}/configmaps", config_map()).body["metadata"]
    patch = {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z", "creationTimestamp": "2020-01-01T00:00:00Z"}}
    client.patch(f"{core}/configmaps/c", patch, MERGE)
    now = client.get(f"{core}/configmaps/c").body["metadata"]
    assert "deletionTimestamp" not in now
    assert now["creationTimestamp"] == old["creationTimestamp"]


def deployment(**spec: object) -> dict[str, object]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec},
    }


def test_generation_counts_changes_of_the_spec(client: Client, space: str) -> None:
    path = f"/apis/apps/v1/namespaces/{space}/deployments"
    assert client.create(path, deployment()).body["metadata"]["generation"] == 1
    assert client.patch(f"{path}/d", {"metadata": {"labels": {"x": "y"}}}).body["metadata"]["generation"] == 1
    assert client.patch(f"{path}/d/status", {"status": {"replicas": 3}}).body["metadata"]["generation"] == 1
    assert client.patch(f"{path}/d", {"spec": {"replicas": 2}}).body["metadata"]["generation"] == 2


def test_status_and_spec_are_apart(client: Client, space: str) -> None:
    path = f"/apis/apps/v1/namespaces/{space}/deployments"
    assert client.create(path, {**deployment(), "status": {"replicas": 7}}).body["status"].get("replicas") is None
    both = {"spec": {"replicas": 5}, "status": {"replicas": 5}}
    assert client.patch(f"{path}/d", both).body["status"].get("replicas") is None
    after = client.patch(f"{path}/d/status", {"spec": {"replicas": 9}, "status": {"replicas": 4}}).body
    assert (after["spec"]["replicas"], after["status"]["replicas"]) == (5, 4)


def test_scale(client: Client, space: str) -> None:
    path = f"/apis/apps/v1/namespaces/{space}/deployments"
    client.create(path, deployment())
    scale = client.get(f"{path}/d/scale").body
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert scale["status"]["selector"] == "app=a"
    assert client.put(f"{path}/d/scale", {**scale, "spec": {"replicas": 3}}).body["spec"]["replicas"] == 3
    assert client.patch(f"{path}/d/scale", {"spec": {"replicas": 4}}, MERGE).body["spec"]["replicas"] == 4
    assert client.get(f"{path}/d").body["spec"]["replicas"] == 4
    assert client.patch(f"{path}/d/scale", {"spec": {"replicas": -1}}, MERGE).status == 422


def test_put_creates_a_lease(client: Client, space: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases/l"
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 40, "renewTime": "2026-01-02T03:04:05.000006Z"}
    assert client.put(path, {"metadata": {"name": "l"}, "spec": spec}).status == 201
    assert client.get(path).body["spec"]["renewTime"] == "2026-01-02T03:04:05.000006Z"
    assert client.put(path, {"metadata": {"name": "l"}, "spec": spec}).status == 422
    assert client.put(path, {"metadata": {"name": "l"}, "spec": {**spec, "leaseDurationSeconds": 0}}).status == 422


def test_delete_collection_by_label(client: Client, core: str) -> None:
    for index in range(4):
        body = config_map(f"c{index}")
        body["metadata"]["labels"] = {"even": str(index % 2 == 0).lower()}
        client.create(f"{core}/configmaps", body)
    assert client.send("DELETE", f"{core}/configmaps?labelSelector=even%3Dtrue").status == 200
    left = [item["metadata"]["name"] for item in client.get(f"{core}/configmaps").body["items"]]
    assert [name for name in left if name.startswith("c")] == ["c1", "c3"]


def test_owned_objects_go_with_their_owner(client: Client, core: str) -> None:
    owner = client.create(f"{core}/configmaps", config_map("owner")).body["metadata"]
    child = config_map("child")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    ]
    client.create(f"{core}/configmaps", child)
    client.delete(f"{core}/configmaps/owner", propagationPolicy="Background")
    eventually(lambda: client.get(f"{core}/configmaps/child").status == 404)


def test_foreground_deletion_waits_for_blocking_dependents(client: Client, core: str) -> None:
    owner = client.create(f"{core}/configmaps", config_map("owner")).body["metadata"]
    child = config_map("child")
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["uid"],
        "blockOwnerDeletion": True,
    }
    child["metadata"] |= {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
    client.create(f"{core}/configmaps", child)
    client.delete(f"{core}/configmaps/owner", propagationPolicy="Foreground")
    eventually(lambda: client.get(f"{core}/configmaps/child").body["metadata"].get("deletionTimestamp"))
    assert client.get(f"{core}/configmaps/owner").body["metadata"]["finalizers"] == ["foregroundDeletion"]
    client.patch(f"{core}/configmaps/child", {"metadata": {"finalizers": None}}, MERGE)
    eventually(lambda: client.get(f"{core}/configmaps/owner").status == 404)


def test_orphans_are_set_free(client: Client, core: str) -> None:
    owner = client.create(f"{core}/configmaps", config_map("owner")).body["metadata"]
    child = config_map("child")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    ]
    client.create(f"{core}/configmaps", child)
    # the collector of a real cluster learns of a new dependent in its own time
    eventually(lambda: client.get(f"{core}/configmaps/child").status == 200)
    client.delete(f"{core}/configmaps/owner", propagationPolicy="Orphan")
    eventually(lambda: client.get(f"{core}/configmaps/owner").status == 404)
    eventually(lambda: "ownerReferences" not in client.get(f"{core}/configmaps/child").body["metadata"])


def test_namespace_is_emptied_and_goes(client: Client, core: str) -> None:
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    client.create(f"{core}/configmaps", held)
    client.create(f"{core}/pods", pod())
    assert client.delete(core).body["status"]["phase"] == "Terminating"
    refused = client.create(f"{core}/configmaps", config_map("late"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    eventually(lambda: client.get(f"{core}/pods/p").status == 404)
    assert client.get(core).status == 200
    client.patch(f"{core}/configmaps/c", {"metadata": {"finalizers": None}}, MERGE)
    eventually(lambda: client.get(core).status == 404)
