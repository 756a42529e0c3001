"""Whom the placement sends to the virtual node, and how it merges with what a pod asks for already."""

import copy
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests import guides
from tests.admission.placements import CASES, DISK, EVERYTHING, OURS, SPREAD, TOLERATION, ZONE, Case, all_of, terms
from vk_provider.admission import policy, webhook
from vk_provider.admission.placement import DEFAULT_SELECTORS, Selector, Target, are_labels, is_placed, patch

Json = dict[str, Any]
TARGET = Target()


def applied(pod: Json, operations: list[Json]) -> Json:
    """JSON patch, as far as it is used: `add` to an object or to the end of a list (RFC 6902, 4.1)."""
    result = copy.deepcopy(pod)
    for operation in operations:
        assert operation["op"] == "add"
        *way, last = operation["path"].lstrip("/").split("/")
        place: Any = result
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            assert last == "-"
            place.append(copy.deepcopy(operation["value"]))
        else:
            place[last] = copy.deepcopy(operation["value"])
    return result


def placed(case: Case) -> Json:
    pod = case.pod()
    if not is_placed(pod, "default", case.namespace):
        return pod
    return applied(pod, patch(pod, TARGET))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_pod_gets_what_sends_it_to_the_virtual_node(case: Case) -> None:
    spec = placed(case)["spec"]
    assert (spec.get("affinity") or {}, spec.get("tolerations") or []) == case.wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_added_twice(case: Case) -> None:
    once = placed(case)
    if case.is_placed:
        assert patch(once, TARGET) == []


@pytest.mark.parametrize("namespace", ["kube-system"])
def test_the_system_namespace_is_left_alone(namespace: str) -> None:
    assert not is_placed({"metadata": {"labels": {"eci": "true"}}, "spec": {}}, namespace, {"eci": "true"})


def test_without_a_taint_no_toleration_is_added() -> None:
    assert [each["path"] for each in patch({"spec": {}}, Target(taint_key=""))] == ["/spec/affinity"]


expressions = st.sampled_from([OURS, ZONE, DISK])
node_terms = st.builds(
    lambda found, by_name: {
        **(all_of(*found) if found else {}),
        **({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]} if by_name else {}),
    },
    st.lists(expressions, max_size=3, unique_by=str),
    st.booleans(),
)
affinities = st.one_of(
    st.none(), st.just({}), st.just(SPREAD), st.lists(node_terms, min_size=1, max_size=4).map(lambda each: terms(*each))
)
tolerations = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "key": st.sampled_from(["", "virtual-kubelet.io/provider", "other"]),
            "operator": st.sampled_from(["", "Exists", "Equal"]),
            "value": st.sampled_from(["", "alibabacloud", "other"]),
            "effect": st.sampled_from(["", "NoSchedule", "NoExecute"]),
        },
    ),
    max_size=3,
)


def matches(term: Json, labels: Json, name: str) -> bool:
    """A node selector term, as the scheduler has it."""
    found = [labels.get(one["key"]) in one["values"] if one["operator"] == "In" else one["key"] in labels
             for one in term.get("matchExpressions") or ()]  # fmt: skip
    found += [name in one["values"] for one in term.get("matchFields") or ()]
    return bool(found) and all(found)


@given(affinities, tolerations)
def test_a_placed_pod_fits_just_the_virtual_nodes_that_it_fitted_before(
    affinity: Json | None, present: list[Json]
) -> None:
    pod: Json = {"spec": {**({} if affinity is None else {"affinity": affinity}), "tolerations": present}}
    after = applied(pod, patch(pod, TARGET))["spec"]
    had = ((affinity or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    has = after["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    for labels in ({}, {"disk": "x"}, {ZONE["key"]: "a"}, {"disk": "x", ZONE["key"]: "a"}):
        for name in ("n", "m"):
            virtual = {**labels, "type": "virtual-kubelet"}
            fitted = had is None or any(matches(term, virtual, name) for term in had["nodeSelectorTerms"])
            assert any(matches(term, virtual, name) for term in has) == fitted
            assert not any(matches(term, labels, name) for term in has)
    assert after["tolerations"][: len(present)] == present
    assert len(after["tolerations"]) <= len(present) + 1
    if EVERYTHING in present or TOLERATION in present:
        assert after["tolerations"] == present


@pytest.mark.parametrize(
    ("labels", "good"),
    [
        ({"a": "b"}, True),
        ({"example.com/a-b.c_d": ""}, True),
        ({"": "b"}, False),
        ({"a b": "c"}, False),
        ({"a": "b c"}, False),
        ({"/a": "b"}, False),
        ({"A.com/a": "b"}, False),
        ({"a": "b" * 64}, False),
        ({"a" * 64: "b"}, False),
        ({"a": "-"}, False),
    ],
)
def test_labels_that_an_api_server_refuses_are_known(labels: dict[str, str], good: bool) -> None:
    assert are_labels(labels) == good


# --- the two forms of it ---


def test_policy_and_webhook_choose_pods_by_the_same_labels() -> None:
    selectors = [*DEFAULT_SELECTORS, Selector("profile-0", namespace={"team": "a"}, pod={"tier": "batch"})]
    _, *bindings = policy.manifests(TARGET, selectors)
    hooks = webhook.configuration(webhook.service_client("vk", "hook", b""), selectors, own_namespace="vk")["webhooks"]
    of_bindings = [
        tuple((each["spec"]["matchResources"].get(name) or {}).get("matchLabels") for name in _SELECTORS)
        for each in bindings
    ]
    of_hooks = [tuple(each[name].get("matchLabels") for name in _SELECTORS) for each in hooks]
    assert of_bindings == of_hooks
    assert len(set(map(str, of_hooks))) == len(selectors)


_SELECTORS = ("namespaceSelector", "objectSelector")


def test_names_in_the_policy_are_quoted() -> None:
    """A label's value or a taint's key cannot end a literal and go on as an expression."""
    found = policy.manifests(Target(label_value="x' || true", taint_key='k"y'))[0]["spec"]["mutations"]
    text = "".join(each["jsonPatch"]["expression"] for each in found)
    assert json.dumps("x' || true") in text
    assert json.dumps('k"y') in text
    assert not re.search(r'(?<!\\)"k"y"', text)


def test_the_policy_that_is_shipped_is_the_one_of_the_code() -> None:
    assert guides.POLICY.read_text() == guides.policy_manifest(), "run python -m tests.guides"
    assert list(yaml.safe_load_all(guides.POLICY.read_text())) == policy.manifests(TARGET)
