"""Evictions: the deletion of a pod that PodDisruptionBudgets may refuse.

Source: kubernetes pkg/registry/core/pod/storage/eviction.go, v1.32.
"""

from typing import Any

from fakes.kube import errors
from fakes.kube.api import Api
from fakes.kube.clock import stamp
from fakes.kube.deletion import Precondition
from fakes.kube.errors import ApiError
from fakes.kube.reads import with_condition
from fakes.kube.resources import RESOURCES
from fakes.kube.selectors import object_selector

Json = dict[str, Any]

_BUDGETS = "poddisruptionbudgets.policy"
_REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
_TOO_MANY = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_RETRY_S = 10
_MOST_DISRUPTED = 2000


def evict(api: Api, namespace: str, name: str, eviction: Json, *, dry_run: bool) -> Json:
    """Evict a pod; the metav1.Status to answer with.

    Raises ApiError 429 when its budget is spent, 404 and 409 as a delete does.
    """
    if (eviction.get("metadata") or {}).get("name") != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    pod = api.get("pods", name, namespace)
    options = eviction.get("deleteOptions") or {}
    wanted = options.get("preconditions") or {}
    Precondition(wanted.get("uid"), wanted.get("resourceVersion")).check(RESOURCES["pods"], pod)
    budgets = _budgets(api, pod) if _is_protectable(pod) else []
    if len(budgets) > 1:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"} | {
            "message": _TOO_MANY,
            "code": 500,
        }
    for budget in budgets:
        if not _may_go_unready(pod, budget):
            _spend(api, budget, name, dry_run=dry_run)
    if not dry_run:
        _mark(api, pod)
    api.remove("pods", name, namespace, grace_seconds=options.get("gracePeriodSeconds"), dry_run=dry_run)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _is_protectable(pod: Json) -> bool:
    """Pods that have not begun, have ended or are going already disrupt nobody."""
    return pod["status"].get("phase") not in ("Pending", "Succeeded", "Failed") and not pod["metadata"].get(
        "deletionTimestamp"
    )


def _budgets(api: Api, pod: Json) -> list[Json]:
    labels = pod["metadata"].get("labels") or {}
    found, _ = api.list(_BUDGETS, pod["metadata"]["namespace"])
    return [item for item in found if object_selector(item["spec"].get("selector"))(labels)]


def _may_go_unready(pod: Json, budget: Json) -> bool:
    """A pod that is not ready counts for no budget; it may go if the budget is met without it, or does not mind."""
    conditions = pod["status"].get("conditions") or ()
    if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0)


def _spend(api: Api, budget: Json, pod: str, *, dry_run: bool) -> None:
    """Take one disruption from the budget, naming the pod, so that the controller counts it as gone. Raises 429."""
    meta, status = budget["metadata"], budget.get("status") or {}
    name, allowed = meta["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", retry_s=_RETRY_S)
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudget", "policy", name, "pdb disruptions allowed is negative")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudget", "policy", name, why)
    if allowed == 0:
        raise _refused(_spent(name, status))
    if dry_run:
        return
    body = {"disruptionsAllowed": allowed - 1, "disruptedPods": {**disrupted, pod: stamp(api.clock())}}
    api.patch(_BUDGETS, name, meta["namespace"], {"status": body}, kind="merge", subresource="status")


def _spent(name: str, status: Json) -> str:
    """Why a budget allows no disruption now."""
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    said: Json = next((item for item in status.get("conditions") or () if item["type"] == "DisruptionAllowed"), {})
    reason = said.get("reason", "") if said.get("status") == "False" and said.get("message") else ""
    if reason == "SyncFailed":  # the numbers are not to be trusted then
        why = f"currently because it failed sync: {said['message']}"
    elif has <= needs:
        return f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
    else:
        why = f"currently ({reason}): {said['message']}" if reason else "currently"
    return f"The disruption budget {name} does not allow evicting pods {why}"


def _refused(cause: str, *, retry_s: int = 0) -> ApiError:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry_s:
        details["retryAfterSeconds"] = retry_s
    return ApiError(429, "TooManyRequests", _REFUSAL, details)


def _mark(api: Api, pod: Json) -> None:
    """Say on the pod that it is disrupted from outside, so that Jobs need not count it as failed."""
    new = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": stamp(api.clock()),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    meta = pod["metadata"]
    conditions = with_condition(pod["status"].get("conditions"), new)
    body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": conditions}}
    api.patch("pods", meta["name"], meta["namespace"], body, kind="merge", subresource="status")
