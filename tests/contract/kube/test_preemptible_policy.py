"""deploy/preemptible/policy.yaml says what `idle.admission.check` says, where the API server has no rule of its own.

Each object is sent with `dryRun=All` to a server that has the policy. Only real ones since 1.30 do.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.kube.client import Client, eventually
from tests.idle import test_admission as cases
from vk_provider.idle.admission import check

POLICY = Path(__file__).parents[3] / "deploy/preemptible/policy.yaml"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
OWN_RULES = (  # of extended resources, which hold with and without the policy
    "must be an integer",
    "must be greater than or equal to 0",
    "quantities must match the regular expression",
    "must be equal to gocrane.io/cpu limit of 2",
    "Limit must be set for non overcommitable resources",
)
MARKER = "only a Job's pods may request idle capacity"


@pytest.fixture(scope="module")
def policy(client: Client) -> Iterator[None]:
    if client.get(f"{REGISTRATION}/validatingadmissionpolicies").status != 200:
        pytest.skip("a server without ValidatingAdmissionPolicy v1: the stand-in, or Kubernetes before 1.30")
    rules, binding = yaml.safe_load_all(POLICY.read_text())
    assert client.create(f"{REGISTRATION}/validatingadmissionpolicies", rules).status == 201
    assert client.create(f"{REGISTRATION}/validatingadmissionpolicybindings", binding).status == 201
    name = rules["metadata"]["name"]
    bare = furnished(cases.pod(owner=None))
    where = PLURALS["Pod"].format("default")
    try:
        eventually(lambda: MARKER in str(client.create(f"{where}?dryRun=All", bare).body))
        yield
    finally:
        client.delete(f"{REGISTRATION}/validatingadmissionpolicybindings/{name}")
        client.delete(f"{REGISTRATION}/validatingadmissionpolicies/{name}")


def furnished(document: Any) -> Any:
    """With what the API server wants of any such object, so that only what is tested can be refused."""
    made = json.loads(json.dumps(document))
    made["metadata"] = {**made.get("metadata", {}), "name": f"x-{uuid.uuid4().hex[:8]}"}
    for volatile in ("uid", "namespace"):
        made["metadata"].pop(volatile, None)
    for owner in made["metadata"].get("ownerReferences", ()):
        owner |= {"name": "owner", "uid": str(uuid.uuid4())}
    kind, spec = made["kind"], made["spec"]
    if kind == "CronJob":
        spec["schedule"] = "* * * * *"
    if kind in ("Deployment", "StatefulSet"):
        spec |= {"selector": {"matchLabels": {"a": "b"}}, "serviceName": "x"}
        spec["template"]["metadata"] = {"labels": {"a": "b"}}
        spec["template"]["spec"]["restartPolicy"] = "Always"
        if kind == "Deployment":
            del spec["serviceName"]
    inner = (
        spec["jobTemplate"]["spec"]["template"]["spec"]
        if kind == "CronJob"
        else spec.get("template", {}).get("spec", spec)
    )
    for number, container in enumerate([*inner["containers"], *inner.get("initContainers", [])]):
        container |= {"name": f"c{number}", "image": "perl"}
    return made


def answers() -> list[Any]:
    found = []
    for case in [*cases.GOOD, *cases.BAD]:
        document = case.values[0]
        if document["kind"] in PLURALS and document.get("apiVersion", "").split("/")[0] in ("v1", "batch", "apps"):
            found.append(pytest.param(document, id=case.id))
    return found


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("document", answers())
def test_the_policy_and_the_check_at_bind_agree(client: Client, document: Any) -> None:
    body = furnished(document)
    answer = client.create(f"{PLURALS[body['kind']].format('default')}?dryRun=All", body)
    refused = check(document).refusals
    assert (answer.status == 201) is not bool(refused), (answer.body, refused)
    if not refused:
        return
    message = answer.body["message"]
    assert "ValidatingAdmissionPolicy 'gocrane-preemptible'" in message or any(own in message for own in OWN_RULES)
