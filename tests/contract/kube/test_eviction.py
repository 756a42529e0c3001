"""Evictions: budgets are kept, refusals say which one, and the pod says that it was evicted."""

from typing import Any

import pytest

from tests.contract.kube.client import MERGE, Client, pod

LABELS = {"app": "a"}
READY = [{"type": "Ready", "status": "True"}]
NOT_READY = [{"type": "Ready", "status": "False"}]
REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture(scope="session")
def policy(client: Client) -> str:
    """The version under which budgets and evictions are served: v1 since 1.21."""
    served = {item["version"] for item in client.get("/apis/policy").body["versions"]}
    return "v1" if "v1" in served else "v1beta1"


@pytest.fixture
def placed(client: Client, core: str, node: str) -> Any:
    def place(name: str = "p", *, phase: str = "Running", conditions: Any = None, **spec: Any) -> None:
        body = pod(name, nodeName=node, **spec)
        body["metadata"]["labels"] = LABELS
        assert client.create(f"{core}/pods", body).status == 201
        status = {"phase": phase, "conditions": READY if conditions is None else conditions}
        assert client.patch(f"{core}/pods/{name}/status", {"status": status}).status == 200

    return place


@pytest.fixture
def budget(client: Client, space: str, policy: str) -> Any:
    """Makes a budget whose status is as the disruption controller would leave it."""

    def make(name: str = "b", *, spec: Any = None, generation: int = 9, **status: Any) -> str:
        path = f"/apis/policy/{policy}/namespaces/{space}/poddisruptionbudgets"
        given = {"minAvailable": 1, "selector": {"matchLabels": LABELS}, **(spec or {})}
        made = client.create(path, {"metadata": {"name": name}, "spec": given})
        assert made.status == 201, made.body
        counts = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, **status}
        body = {"status": {**counts, "observedGeneration": generation}}
        written = client.patch(f"{path}/{name}/status", body, kind=MERGE)
        assert written.status == 200, written.body
        return f"{path}/{name}"

    return make


@pytest.fixture
def evict(client: Client, core: str, policy: str) -> Any:
    def send(name: str = "p", query: str = "", **more: Any) -> Any:
        body = {"kind": "Eviction", "apiVersion": f"policy/{policy}", "metadata": {"name": name}, **more}
        return client.create(f"{core}/pods/{name}/eviction{query}", body)

    return send


def deleting(client: Client, core: str, name: str = "p") -> bool:
    answer = client.get(f"{core}/pods/{name}")
    return answer.status == 404 or "deletionTimestamp" in answer.body["metadata"]


def test_without_a_budget(client: Client, core: str, placed: Any, evict: Any) -> None:
    placed()
    done = evict(deleteOptions={"gracePeriodSeconds": 77})
    assert (done.status, done.body["status"], done.body["code"]) == (201, "Success", 201)
    assert client.get(f"{core}/pods/p").body["metadata"]["deletionGracePeriodSeconds"] == 77


def test_the_pod_says_that_it_was_evicted(client: Client, core: str, policy: str, placed: Any, evict: Any) -> None:
    if policy == "v1beta1":
        pytest.skip("conditions of disruption came later than policy/v1")
    placed()
    evict()
    (found,) = [
        item for item in client.get(f"{core}/pods/p").body["status"]["conditions"] if item["type"] == "DisruptionTarget"
    ]
    assert (found["status"], found["reason"]) == ("True", "EvictionByEvictionAPI")
    assert found["message"] == "Eviction API: evicting"
    assert found["lastTransitionTime"]


def test_spent_budget_refuses(client: Client, core: str, placed: Any, budget: Any, evict: Any) -> None:
    placed()
    budget(currentHealthy=3, desiredHealthy=3)
    refused = evict()
    assert (refused.status, refused.reason, refused.body["message"]) == (429, "TooManyRequests", REFUSAL)
    cause = {
        "reason": "DisruptionBudget",
        "message": "The disruption budget b needs 3 healthy pods and has 3 currently",
    }
    assert refused.body["details"] == {"causes": [cause]}
    assert not deleting(client, core)
    assert "DisruptionTarget" not in {
        item["type"] for item in client.get(f"{core}/pods/p").body["status"]["conditions"]
    }


def test_budget_the_controller_has_not_seen_refuses_for_a_while(
    policy: str, placed: Any, budget: Any, evict: Any
) -> None:
    placed()
    budget(generation=0, disruptionsAllowed=1)
    refused = evict()
    assert (refused.status, refused.reason) == (429, "TooManyRequests")
    cause = {"reason": "DisruptionBudget", "message": "The disruption budget b is still being processed by the server."}
    wait = {"retryAfterSeconds": 10} if policy == "v1" else {}
    assert refused.body["details"] == {"causes": [cause], **wait}


def test_an_eviction_is_taken_from_the_budget(client: Client, core: str, placed: Any, budget: Any, evict: Any) -> None:
    placed("p")
    placed("q")
    path = budget(disruptionsAllowed=1, currentHealthy=2)
    assert evict("p").status == 201
    status = client.get(path).body["status"]
    assert status.get("disruptionsAllowed", 0) == 0
    assert list(status["disruptedPods"]) == ["p"]
    assert evict("q").status == 429
    assert not deleting(client, core, "q")


def test_dry_run_takes_nothing(client: Client, core: str, placed: Any, budget: Any, evict: Any) -> None:
    placed()
    path = budget(disruptionsAllowed=1)
    assert evict(query="?dryRun=All").status == 201
    assert evict(deleteOptions={"dryRun": ["All"]}).status == 201
    assert client.get(path).body["status"]["disruptionsAllowed"] == 1
    assert not deleting(client, core)


def test_two_budgets_are_one_too_many(client: Client, core: str, placed: Any, budget: Any, evict: Any) -> None:
    placed()
    budget("a", disruptionsAllowed=1)
    budget("b", disruptionsAllowed=1)
    refused = evict()
    assert refused.body["status"] == "Failure"
    assert refused.body["code"] == 500
    assert refused.body["message"] == (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    )
    assert not deleting(client, core)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Pending"])
def test_pods_no_budget_can_protect(
    client: Client, core: str, placed: Any, budget: Any, evict: Any, phase: str
) -> None:
    placed(phase=phase)
    budget()
    assert evict().status == 201
    assert deleting(client, core)


@pytest.mark.parametrize(
    ("spec", "status", "goes"),
    [
        pytest.param({}, {"currentHealthy": 0}, False, id="budget not met"),
        pytest.param({}, {"currentHealthy": 1}, True, id="budget met"),
        pytest.param({"unhealthyPodEvictionPolicy": "AlwaysAllow"}, {"currentHealthy": 0}, True, id="always"),
        pytest.param({"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, {"currentHealthy": 0}, False, id="if healthy"),
    ],
)
def test_unready_pods(
    client: Client, core: str, policy: str, placed: Any, budget: Any, evict: Any, spec: Any, status: Any, goes: bool
) -> None:
    if policy == "v1beta1":
        pytest.skip("the policy for unhealthy pods came later than policy/v1")
    placed(conditions=NOT_READY)
    path = budget(spec=spec, **status)
    assert evict().status == (201 if goes else 429)
    assert deleting(client, core) is goes
    assert "disruptedPods" not in client.get(path).body["status"]


def test_budgets_of_other_pods_say_nothing(placed: Any, budget: Any, evict: Any) -> None:
    placed()
    budget("c", spec={"selector": {"matchLabels": {"app": "b"}}})
    assert evict().status == 201


def test_preconditions(client: Client, core: str, placed: Any, evict: Any) -> None:
    placed()
    refused = evict(deleteOptions={"preconditions": {"uid": "another"}})
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert not deleting(client, core)


def test_refusals(client: Client, core: str, placed: Any, evict: Any) -> None:
    placed()
    assert (missing := evict("absent")).status == 404, missing.body
    assert missing.body["message"] == 'pods "absent" not found'
    other = client.create(f"{core}/pods/p/eviction", {"metadata": {"name": "q"}})
    assert (other.status, other.body["message"]) == (400, "name in URL does not match name in Eviction object")
    assert not deleting(client, core)
