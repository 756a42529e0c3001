"""What a profile says, and what becomes of pods by it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vk_provider.cloud.eci.profile import Profile, applied, parse
from vk_provider.translate.profile import BadProfile

SPOT, VSWITCH = "k8s.aliyun.com/eci-spot-strategy", "k8s.aliyun.com/eci-vswitch"


def profile(*selectors: dict[str, Any], **data: str) -> Profile:
    return parse({**data, "selectors": json.dumps(selectors)})


def meta(found: Profile, *, labels: Any = None, annotations: Any = None, namespace: Any = None) -> dict[str, Any]:
    pod = {"metadata": {"name": "p", "labels": labels, "annotations": annotations}, "spec": {}}
    told: dict[str, Any] = applied(found, pod, namespace or {})["metadata"]
    return told


CHEAP = {"annotations": {SPOT: "SpotAsPriceGo"}, "labels": {"cheap": "yes"}}


@pytest.mark.parametrize(
    ("selector", "labels", "namespace", "fits"),
    [
        pytest.param({}, {}, {}, True, id="no selector: every pod"),
        pytest.param({"objectSelector": {"matchLabels": {"a": "1"}}}, {"a": "1"}, {}, True, id="its labels"),
        pytest.param({"objectSelector": {"matchLabels": {"a": "1"}}}, {"a": "2"}, {}, False, id="other labels"),
        pytest.param({"namespaceSelector": {"matchLabels": {"n": "1"}}}, {}, {"n": "1"}, True, id="its namespace"),
        pytest.param({"namespaceSelector": {"matchLabels": {"n": "1"}}}, {"n": "1"}, {}, False, id="other namespace"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"n": "1"}}, "objectSelector": {"matchLabels": {"a": "1"}}},
            {"a": "1"},
            {},
            False,
            id="both must fit",
        ),
    ],
)
def test_whom_a_selector_chooses(selector, labels, namespace, fits):
    told = meta(profile({"name": "s", **selector, "effect": CHEAP}), labels=labels, namespace=namespace)
    assert told["annotations"].get(SPOT) == ("SpotAsPriceGo" if fits else None)
    assert told["labels"].get("cheap") == ("yes" if fits else None)


def test_nothing_is_overwritten_and_the_first_selector_counts():
    found = profile(
        {"effect": {"annotations": {SPOT: "SpotAsPriceGo"}}},
        {"effect": {"annotations": {SPOT: "NoSpot"}}},
        vSwitchIds="vsw-a,vsw-b",
        securityGroupId="sg-a",
    )
    assert meta(found)["annotations"] == {
        SPOT: "SpotAsPriceGo",
        VSWITCH: "vsw-a,vsw-b",
        "k8s.aliyun.com/eci-security-group": "sg-a",
    }
    own = {SPOT: "NoSpot", VSWITCH: "vsw-own"}
    assert {key: meta(found, annotations=own)["annotations"][key] for key in own} == own


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param({"vSwitchIds": "a,b"}, "vSwitchIds", id="vSwitches"),
        pytest.param({"securityGroupId": "none"}, "securityGroupId", id="security group"),
        pytest.param({"selectors": "{"}, "not JSON", id="no JSON"),
        pytest.param({"selectors": "{}"}, "not a JSON list", id="no list"),
        pytest.param({"selectors": "[1]"}, "selectors[0]", id="no object"),
        pytest.param({"selectors": '[{"effect": {"labels": {"a": 1}}}]'}, "selectors[0].effect.labels", id="no texts"),
        pytest.param({"selectors": '[{"name": "a"}]'}, "selectors[0].effect", id="no effect"),
        pytest.param(
            {"selectors": json.dumps([{"effect": {"annotations": {SPOT: "cheap"}}}])},
            f"annotations[{SPOT}]",
            id="a wrong value",
        ),
        pytest.param(
            {"selectors": '[{"objectSelector": {"matchExpressions": []}, "effect": {"labels": {"a": "1"}}}]'},
            "objectSelector",
            id="what is not known may not be passed over",
        ),
    ],
)
def test_what_is_wrong_is_named(data, named):
    with pytest.raises(BadProfile) as caught:
        parse(data)
    assert named in str(caught.value)


def test_what_has_no_effect_here_is_named():
    assert parse({"vpcId": "vpc-a", "enableClusterIp": "true", "slsMachineGroup": "x"}).unheeded == [
        "enableClusterIp",
        "slsMachineGroup",
    ]
