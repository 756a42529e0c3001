"""Who may do what: tokens of ServiceAccounts, their end, RBAC, and the reviews that ask about both."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import Client, eventually, pod

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def token_for(client: Client, core: str, **spec: Any) -> Any:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return client.create(f"{core}/serviceaccounts/default/token", body)


def review(client: Client, token: str, **spec: Any) -> dict[str, Any]:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, **spec}}
    answer = client.create("/apis/authentication.k8s.io/v1/tokenreviews", body)
    assert answer.status == 201
    return dict(answer.body["status"])


def bound_to(made: dict[str, Any]) -> dict[str, Any]:
    meta = made["metadata"]
    return {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}}


def test_token_says_whose_it_is(client: Client, core: str, space: str) -> None:
    made = client.create(f"{core}/pods", pod()).body
    answer = token_for(client, core, expirationSeconds=3607, **bound_to(made))
    assert answer.status == 201
    assert answer.body["status"]["expirationTimestamp"].endswith("Z")
    body = answer.body["status"]["token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["sub"] == f"system:serviceaccount:{space}:default"
    inner = claims["kubernetes.io"]
    assert inner["namespace"] == space
    assert inner["pod"] == {"name": "p", "uid": made["metadata"]["uid"]}
    assert inner["warnafter"] == claims["iat"] + 3607
    assert claims["exp"] - claims["iat"] > 3607 * 24  # the token of a pod lives on for those who read it once


def test_review_of_a_token(client: Client, core: str, space: str) -> None:
    made = client.create(f"{core}/pods", pod()).body
    token = token_for(client, core, **bound_to(made)).body["status"]["token"]
    status = review(client, token)
    assert status["authenticated"] is True
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{space}:default"
    assert {"system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated"} <= set(user["groups"])
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    assert review(client, token + "x").get("authenticated", False) is False
    assert review(client, "nonsense").get("authenticated", False) is False


def test_token_dies_with_its_pod(client: Client, core: str) -> None:
    made = client.create(f"{core}/pods", pod()).body
    token = token_for(client, core, **bound_to(made)).body["status"]["token"]
    client.delete(f"{core}/pods/p")
    client.create(f"{core}/pods", pod())  # a namesake does not revive it
    # a real server may remember a good answer for some seconds
    eventually(lambda: not review(client, token).get("authenticated"), within_s=30)


def test_audiences(client: Client, core: str) -> None:
    token = token_for(client, core, audiences=["vault"]).body["status"]["token"]
    assert not review(client, token).get("authenticated")
    assert review(client, token, audiences=["vault", "other"])["audiences"] == ["vault"]


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        pytest.param({"expirationSeconds": 599}, 422, id="too short"),
        pytest.param({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "absent"}}, 404, id="absent pod"),
        pytest.param({"boundObjectRef": {"apiVersion": "v1", "kind": "Service", "name": "s"}}, 400, id="other kind"),
    ],
)
def test_refused_token_requests(client: Client, core: str, spec: dict[str, Any], status: int) -> None:
    assert token_for(client, core, **spec).status == status


def test_token_for_a_namesake_pod_conflicts(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "55555555-5555-5555-5555-555555555555"}
    assert token_for(client, core, boundObjectRef=reference).status == 409


@pytest.fixture
def robot(client: Client, core: str, kubeconfig: Path) -> Client:
    """The namespace's default ServiceAccount."""
    return Client(kubeconfig, token=token_for(client, core).body["status"]["token"])


def allow(client: Client, space: str, *rules: dict[str, Any]) -> None:
    names = {"metadata": {"name": "r"}}
    assert client.create(f"{RBAC}/namespaces/{space}/roles", {**names, "rules": list(rules)}).status == 201
    binding = {
        **names,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": space}],
    }
    assert client.create(f"{RBAC}/namespaces/{space}/rolebindings", binding).status == 201


def test_without_credentials(kubeconfig: Path, core: str) -> None:
    nobody = Client(kubeconfig, token="")
    assert nobody.get("/version").status == 200
    assert nobody.get("/healthz").status == 200
    assert nobody.get(f"{core}/pods").status in (401, 403)  # 403 where anonymous requests are let in to be refused
    assert Client(kubeconfig, token="bad").get(f"{core}/pods").status == 401


def test_nothing_is_allowed_unasked(robot: Client, core: str, space: str) -> None:
    answer = robot.get(f"{core}/pods")
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.body["message"] == (
        f'pods is forbidden: User "system:serviceaccount:{space}:default" cannot list resource "pods" '
        f'in API group "" in the namespace "{space}"'
    )
    assert robot.get("/api/v1/nodes").status == 403
    assert robot.get("/apis").status == 200


def test_roles_allow(client: Client, robot: Client, core: str, space: str) -> None:
    allow(
        client,
        space,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
    )
    client.create(f"{core}/pods", pod())
    eventually(lambda: robot.get(f"{core}/pods").status == 200)
    assert robot.patch(f"{core}/pods/p/status", {"status": {"phase": "Running"}}).status == 200
    assert robot.patch(f"{core}/pods/p", {"metadata": {"labels": {"a": "b"}}}).status == 403
    assert robot.delete(f"{core}/pods/p").status == 403
    assert robot.get(f"{core}/configmaps/one").status == 404
    assert robot.get(f"{core}/configmaps/two").status == 403
    assert robot.get("/api/v1/pods").status == 403


def test_access_reviews(client: Client, robot: Client, space: str) -> None:
    allow(client, space, {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]})
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

    def asked(**attributes: str) -> bool:
        spec = {
            "user": f"system:serviceaccount:{space}:default",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"namespace": space, **attributes},
        }
        answer = client.create(path, {"spec": spec})
        assert answer.status == 201
        return bool(answer.body["status"]["allowed"])

    eventually(lambda: asked(group="batch", resource="jobs", verb="create"))
    assert not asked(group="batch", resource="jobs", verb="delete")
    assert not asked(resource="nodes", subresource="proxy", verb="get")
    spec = {"resourceAttributes": {"namespace": space, "verb": "create", "group": "batch", "resource": "jobs"}}
    mine = robot.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": spec})
    assert mine.body["status"]["allowed"] is True


def test_masters_need_no_rule(client: Client) -> None:
    spec = {
        "user": "x",
        "groups": ["system:masters"],
        "resourceAttributes": {"verb": "get", "resource": "nodes", "subresource": "proxy"},
    }
    assert client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec}).body["status"]["allowed"]


def test_client_authority_is_published(client: Client) -> None:
    found = client.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").body
    assert found["data"]["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")


def test_acting_as_another(client: Client, robot: Client, core: str, space: str) -> None:
    name = f"system:serviceaccount:{space}:default"
    refused = client.get(f"{core}/pods", Impersonate_User=name)
    assert (refused.status, f'User "{name}" cannot list resource "pods"' in refused.body["message"]) == (403, True)
    allow(client, space, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    eventually(lambda: client.get(f"{core}/pods", Impersonate_User=name).status == 200)
    assert client.get("/api/v1/nodes", Impersonate_User="x", Impersonate_Group="system:masters").status == 200
    usurper = robot.get(f"{core}/pods", Impersonate_User="kubernetes-admin", Impersonate_Group="system:masters")
    assert (usurper.status, "cannot impersonate" in usurper.body["message"]) == (403, True)
