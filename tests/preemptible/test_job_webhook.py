"""A preemptible Job before the webhook: what it gets, what it is refused for, and what its owner should know."""

import base64
import json

import pytest

from vk_provider.admission.placement import Target
from vk_provider.admission.webhook import BadReview
from vk_provider.preemptible.job_webhook import answer, configured

TARGET = Target(taint_key="virtual-kubelet.io/provider", taint_value="alibabacloud", taint_effect="NoSchedule")
BOTH = {"gocrane.io/cpu": "2", "gocrane.io/memory": "8Gi"}


def reviewed(resources, *, kind="Job", api="batch/v1", operation="CREATE", **spec):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "resources": resources}], **spec}}
    found = {"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": {"template": template}}
    request = {"uid": "u", "operation": operation, "object": found}
    return answer({"request": request}, TARGET, ("Job.batch",))["response"]


def test_a_job_gets_all_that_its_pods_need():
    response = reviewed({"limits": BOTH, "requests": BOTH})
    assert response["allowed"]
    paths = {each["path"] for each in json.loads(base64.b64decode(response["patch"]))}
    assert {"/spec/podFailurePolicy", "/spec/template/spec/priorityClassName"} <= paths
    zeros = [each for each in json.loads(base64.b64decode(response["patch"])) if each["path"].endswith("/resources")]
    assert zeros[0]["value"]["limits"] == {**BOTH, "cpu": "0", "memory": "0"}


def test_a_job_that_requests_no_idle_capacity_is_left_alone():
    assert reviewed({"requests": {"cpu": "2"}}) == {"uid": "u", "allowed": True}


def test_what_is_refused_is_refused_in_words():
    response = reviewed({"limits": BOTH, "requests": BOTH}, kind="Deployment", api="apps/v1")
    assert not response["allowed"]
    assert "only CronJobs and Jobs may" in response["status"]["message"]
    response = reviewed({"limits": {**BOTH, "gocrane.io/cpu": "1500m"}})
    assert "whole vCPU" in response["status"]["message"]


def test_who_would_lose_tries_is_warned():
    response = reviewed({"limits": BOTH, "requests": BOTH}, restartPolicy="OnFailure")
    assert response["allowed"]
    assert "backoffLimit" in response["warnings"][0]


@pytest.mark.parametrize("review", [None, {}, {"request": {}}, {"request": {"uid": "u"}}])
def test_what_is_no_review_is_refused(review):
    with pytest.raises(BadReview):
        answer(review, TARGET, ("Job.batch",))


def test_the_configuration_never_stops_a_cluster():
    made = configured({"url": "https://a"}, "vk-provider")
    assert made["failurePolicy"] == "Ignore"
    assert made["timeoutSeconds"] <= 5
    assert "kube-system" in made["namespaceSelector"]["matchExpressions"][0]["values"]
