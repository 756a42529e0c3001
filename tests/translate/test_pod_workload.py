"""Whole pods: what comes out of a manifest and the objects it refers to, compared as a whole."""

from __future__ import annotations

import pytest
from pod_cases import CASES, CONTEXT, expected, fetch, load, outcome

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.translate.workload import TokenRequest, build, references


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    assert outcome(case) == expected(case)


@pytest.mark.parametrize("case", CASES)
def test_translating_leaves_the_pod_as_it_was(case: str) -> None:
    pod, _ = load(case)
    outcome(case)
    assert pod == load(case)[0]


def test_references_name_all_there_is_to_fetch() -> None:
    wanted = references(load("job_pi_kubernetes_1_36")[0])
    assert wanted.config_maps == {("vk", "kube-root-ca.crt")}
    assert wanted.secrets == frozenset()
    assert wanted.service_namespaces == {"default", "vk"}
    assert wanted.needs_services
    assert wanted.tokens == {
        TokenRequest(
            volume="kube-api-access-8x7qz",
            path="token",
            service_account="default",
            namespace="vk",
            audience="",
            expiration_s=3607,
        )
    }


def test_references_of_environment_and_volumes() -> None:
    wanted = references(load("environment")[0])
    assert wanted.config_maps == {("shop", "settings"), ("shop", "absent")}
    assert wanted.secrets == {("shop", "database")}


def test_two_pods_alike_but_for_their_life_differ_in_owner_alone() -> None:
    pod, objects = load("job_pi_kubernetes_1_20")
    first = build(pod, fetch(references(pod, capabilities=CAPABILITIES), objects), CONTEXT)
    pod["metadata"]["uid"] = "another"
    second = build(pod, fetch(references(pod, capabilities=CAPABILITIES), objects), CONTEXT)
    assert second.owner.uid == "another"
    assert second.containers == first.containers
