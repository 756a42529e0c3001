"""The QoS objects: what is honoured, what is noted as unsupported, what is a fault, and whom they match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.bounds import MOST_QOS_RULES
from vk_provider.idle.forecast import Dsp, Percentile
from vk_provider.idle.histogram import Buckets
from vk_provider.idle.history import DAY_S
from vk_provider.idle.periodic import Harmonics, MaxValue
from vk_provider.idle.predictions import prediction, status
from vk_provider.idle.qos import (
    AvoidanceAction,
    PodRules,
    Rule,
    avoidance_action,
    node_qos,
    pod_qos,
)
from vk_provider.idle.rules import Load, RuleBook
from vk_provider.idle.selectors import PodFacts, priority_range


def named(name, **spec):
    return {"metadata": {"name": name}, "spec": spec}


def facts(namespace="default", labels=None, qos_class="BestEffort", priority=0):
    return PodFacts(namespace=namespace, labels=labels or {}, qos_class=qos_class, priority=priority)


# --- AvoidanceAction --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected", "unsupported"),
    [
        ({}, AvoidanceAction(name="a"), ()),
        ({"coolDownSeconds": 60, "eviction": {}}, AvoidanceAction(name="a", cool_down_s=60, evicts=True), ()),
        (
            {"eviction": {"terminationGracePeriodSeconds": 0}},
            AvoidanceAction(name="a", evicts=True, grace_s=0),
            (),
        ),
        ({"throttle": {"cpuThrottle": {"minCPURatio": 10}}}, AvoidanceAction(name="a"), ("spec.throttle",)),
    ],
)
def test_avoidance_action(spec, expected, unsupported):
    read = avoidance_action(named("a", **spec))
    assert (read.value, read.faults, read.unsupported) == (expected, (), unsupported)


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "60", True, 10**9])
def test_a_cool_down_that_is_none_is_a_fault_and_the_default_holds(seconds):
    read = avoidance_action(named("a", coolDownSeconds=seconds))
    assert read.value == AvoidanceAction(name="a")
    assert "spec.coolDownSeconds" in read.faults[0]


# --- NodeQOS ----------------------------------------------------------------------------------------------------------


def rule(name="r", metric="ext_cpu_total_distribute", value="110", **more):
    return {"name": name, "metricRule": {"name": metric, "value": value}, "actionName": "a", **more}


def test_node_qos():
    read = node_qos(
        named(
            "n",
            selector={"matchLabels": {"type": "virtual-kubelet"}},
            rules=[
                rule(avoidanceThreshold=2, restoreThreshold=3, strategy="Preview"),
                rule("s", "cpu_total_usage", "1500m"),
            ],
            elasticCpuLimit={"elasticNodeCpuLimit": {"percent": 60}},
        )
    )
    assert read.faults == read.unsupported == ()
    assert read.value.rules == (
        Rule(
            name="r",
            metric="ext_cpu_total_distribute",
            value=110,
            action="a",
            avoid_rounds=2,
            restore_rounds=3,
            is_preview=True,
        ),
        Rule(name="s", metric="cpu_total_usage", value=1.5, action="a"),
    )
    assert read.value.most_share == 0.6
    assert read.value.applies_to({"type": "virtual-kubelet"})
    assert not read.value.applies_to({})
    assert node_qos(named("n")).value.applies_to({})


@pytest.mark.parametrize(
    ("spec", "unsupported"),
    [
        ({"nodeQualityProbe": {"httpGet": {"path": "/"}}}, ["spec.nodeQualityProbe.httpGet"]),
        (
            {"netLimits": {"rxBpsMin": 1}, "memLimit": {"pageCacheLimitGlobal": True}},
            ["spec.memLimit", "spec.netLimits"],
        ),
        ({"rules": [rule(metric="load_1_min")]}, ["spec.rules[0].metricRule.name: load_1_min"]),
        (
            {"elasticCpuLimit": {"elasticCoreCpuLimit": [{"coreNum": "1"}]}},
            ["spec.elasticCpuLimit.elasticCoreCpuLimit"],
        ),
    ],
)
def test_what_a_virtual_node_does_not_have_is_noted(spec, unsupported):
    read = node_qos(named("n", **spec))
    assert list(read.unsupported) == unsupported
    assert read.faults == ()
    assert read.value.rules == ()


@pytest.mark.parametrize(
    "bad",
    [
        rule(value="0"),
        rule(value="x"),
        rule(avoidanceThreshold=0),
        rule(strategy="Sometimes"),
        {"metricRule": {"name": "cpu_total_usage", "value": "1"}},
        "no object",
    ],
)
def test_a_rule_with_a_fault_is_left_out_and_the_others_hold(bad):
    read = node_qos(named("n", rules=[bad, rule("good")]))
    assert [each.name for each in read.value.rules] == ["good"]
    assert read.faults


def test_bounds_of_rules_and_names_that_come_twice():
    read = node_qos(named("n", rules=[rule("same"), rule("same")]))
    assert len(read.value.rules) == 1
    assert "two rules are named same" in read.faults[0]
    many = node_qos(named("n", rules=[rule(f"r{number}") for number in range(10_000)]))
    assert len(many.value.rules) == MOST_QOS_RULES


# --- PodQOS -----------------------------------------------------------------------------------------------------------


ALL_BE = named(
    "all-be-pods",
    scopeSelector={"matchExpressions": [{"scopeName": "QOSClass", "operator": "In", "values": ["BestEffort"]}]},
    allowedActions=["reclaim-preemptible"],
    resourceQOS={"cpuQOS": {"cpuPriority": 7}},
)


def scoped(name, operator, *values, priority=0):
    scope = {"scopeName": name, "operator": operator, "values": list(values)}
    return named("s", scopeSelector={"matchExpressions": [scope]}, resourceQOS={"cpuQOS": {"cpuPriority": priority}})


@pytest.mark.parametrize(
    ("document", "pod", "expected"),
    [
        pytest.param(named("e"), facts(), False, id="an empty selector matches nothing"),
        pytest.param(named("e", labelSelector={}), facts(), False, id="nor does an empty label selector"),
        pytest.param(
            named("l", labelSelector={"matchLabels": {"a": "b"}}), facts(labels={"a": "b", "c": "d"}), True, id="labels"
        ),
        pytest.param(
            named("l", labelSelector={"matchLabels": {"a": "b"}}), facts(labels={"a": "c"}), False, id="other labels"
        ),
        pytest.param(ALL_BE, facts(), True, id="QoS class"),
        pytest.param(ALL_BE, facts(qos_class="Burstable"), False, id="another QoS class"),
        pytest.param(scoped("Namespace", "NotIn", "a", "b"), facts("c"), True, id="another namespace"),
        pytest.param(scoped("Namespace", "NotIn", "a", "b"), facts("b"), False, id="NotIn honours every value"),
        pytest.param(
            scoped("Priority", "NotIn", "0", "1000-3000"), facts(priority=0), False, id="a priority of several"
        ),
        pytest.param(scoped("Priority", "In", "-100--1", "5"), facts(priority=-50), True, id="a negative range"),
        pytest.param(scoped("Priority", "In", "-100--1", "5"), facts(priority=0), False, id="out of range"),
    ],
)
def test_matching(document, pod, expected):
    read = pod_qos(document)
    assert read.faults == ()
    assert read.value.matches(pod) is expected


@pytest.mark.parametrize(
    "spec",
    [
        {"labelSelector": {"matchLabels": {"a": 1}}},
        {"labelSelector": {"matchLabels": ["a"]}},
        {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
        {"scopeSelector": {"matchExpressions": [{"scopeName": "Colour", "operator": "In", "values": ["red"]}]}},
        {"scopeSelector": {"matchExpressions": [{"scopeName": "Priority", "operator": "In", "values": ["9-1"]}]}},
        {"scopeSelector": {"matchExpressions": [{"scopeName": "Namespace", "operator": "In", "values": []}]}},
    ],
)
def test_a_pod_qos_with_a_faulty_selector_is_not_used(spec):
    read = pod_qos(named("p", **spec))
    assert read.value is None
    assert read.faults


def test_of_several_the_one_with_most_labels_counts():
    plain = pod_qos(ALL_BE).value
    shop = pod_qos(
        named("b", labelSelector={"matchLabels": {"app": "shop"}}, resourceQOS={"cpuQOS": {"cpuPriority": 6}})
    ).value
    silent = pod_qos(
        named("a", labelSelector={"matchLabels": {"app": "shop", "x": "y"}}, allowedActions=["other"])
    ).value
    rules = PodRules([plain, shop, silent])
    assert rules.cpu_priority(facts()) == 7
    assert rules.cpu_priority(facts(labels={"app": "shop"})) == 6
    assert rules.cpu_priority(facts(labels={"app": "shop", "x": "y"})) == 6  # the silent one says nothing of it
    assert PodRules([]).cpu_priority(facts()) == 7
    assert rules.is_allowed("reclaim-preemptible", facts(labels={"app": "shop"}))
    assert not rules.is_allowed("other", facts())
    assert not PodRules([]).is_allowed("reclaim-preemptible", facts())


def test_settings_of_a_real_node_are_noted():
    read = pod_qos(
        named(
            "p",
            labelSelector={"matchLabels": {"a": "b"}},
            resourceQOS={
                "cpuQOS": {"cpuPriority": 3, "cpuBurst": {"burstQuota": "1"}, "cpuSet": {"cpuSet": "exclusive"}},
                "memoryQOS": {"memPriority": 1},
                "netIOQOS": {},
                "diskIOQOS": {"diskIOWeight": {"weight": 1}},
            },
        )
    )
    assert read.value.cpu_priority == 3
    assert set(read.unsupported) == {
        "spec.resourceQOS.memoryQOS",
        "spec.resourceQOS.diskIOQOS",
        "spec.resourceQOS.cpuQOS.cpuBurst",
        "spec.resourceQOS.cpuQOS.cpuSet",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", (1000, 1000)),
        ("1-2", (1, 2)),
        ("-2--1", (-2, -1)),
        ("2-1", None),
        ("", None),
        ("1-", None),
        ("9" * 50, None),
    ],
)
def test_priority_range(text, expected):
    assert priority_range(text) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "metadata",
                    "name",
                    "spec",
                    "rules",
                    "metricRule",
                    "value",
                    "actionName",
                    "labelSelector",
                    "matchLabels",
                    "matchExpressions",
                    "key",
                    "operator",
                    "values",
                    "scopeSelector",
                    "scopeName",
                    "resourceQOS",
                    "cpuQOS",
                    "eviction",
                    "predictionMetrics",
                    "algorithm",
                    "algorithmType",
                    "dsp",
                    "percentile",
                    "estimators",
                    "fft",
                    "histogram",
                    "maxValue",
                    "halfLife",
                    "resourceQuery",
                    "type",
                    "selector",
                    "cpuPriority",
                    "allowedActions",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_anything_is_read_without_an_error(anything):
    spec = {"metadata": {"name": "x"}, "spec": anything}
    for read in (avoidance_action, node_qos, pod_qos):
        assert len(read(spec).faults) <= 20
        read({"metadata": anything, "spec": anything})
    status(prediction(spec), {}, now="")


# --- rules ------------------------------------------------------------------------------------------------------------

NONE = {"ext_cpu_total_distribute": 133.0}
FINE = {"ext_cpu_total_distribute": 90.0}


def book(preview=False, **more):
    strategy = "Preview" if preview else "None"
    qos = node_qos(named("d", rules=[rule(avoidanceThreshold=2, restoreThreshold=2, strategy=strategy)])).value
    action = AvoidanceAction(name="a", evicts=True, grace_s=30, **more)
    rules = RuleBook()
    return rules, lambda now_s, metrics: rules.evaluate(now_s, [qos], {"a": action}, metrics)


def test_a_rule_fires_on_its_second_round_and_clears_after_its_cool_down():
    _, evaluate = book()
    assert evaluate(0, NONE).suspended is False
    second = evaluate(10, NONE)
    assert second.suspended
    assert [str(change) for change in second.changes] == ["d/r triggered action a"]
    assert second.reclaiming[0][1].grace_s == 30
    assert evaluate(20, NONE).changes == ()
    assert evaluate(30, FINE).reclaiming  # one round under it is not enough
    restored = evaluate(40, FINE)
    assert restored.reclaiming == ()
    assert [change.kind for change in restored.changes] == ["restored"]
    times = {now_s: evaluate(now_s, FINE).suspended for now_s in range(50, 400, 10)}
    assert min(now_s for now_s, suspended in times.items() if not suspended) == 340


def test_a_preview_only_reports():
    _, evaluate = book(preview=True)
    evaluate(0, NONE)
    verdict = evaluate(10, NONE)
    assert (verdict.suspended, verdict.reclaiming) == (False, ())
    assert "Preview: nothing is done" in str(verdict.changes[0])


def test_a_metric_that_is_not_known_changes_nothing():
    _, evaluate = book()
    evaluate(0, NONE)
    evaluate(10, NONE)
    for now_s in range(20, 900, 10):
        verdict = evaluate(now_s, {})
        assert verdict.suspended
        assert verdict.reclaiming
    _, evaluate = book()
    assert evaluate(0, {}).suspended is False


def test_a_condition_that_another_process_left_clears_after_the_cool_down():
    rules, evaluate = book()
    rules.inherit(1_000)
    assert evaluate(1_000, FINE).suspended
    assert evaluate(1_290, FINE).suspended
    assert not evaluate(1_300, FINE).suspended


def test_once_over_it_again_the_cool_down_begins_anew():
    _, evaluate = book()
    for now_s, metrics in (
        (0, NONE),
        (10, NONE),
        (20, FINE),
        (30, FINE),
        (200, NONE),
        (210, NONE),
        (220, FINE),
        (230, FINE),
    ):
        evaluate(now_s, metrics)
    assert evaluate(520, FINE).suspended
    assert not evaluate(530, FINE).suspended


def test_a_rule_without_its_action_only_suspends():
    qos = node_qos(named("d", rules=[rule()])).value
    verdict = RuleBook().evaluate(0, [qos], {}, NONE)
    assert verdict.suspended
    assert verdict.reclaiming == ()


def test_metrics_of_a_load():
    load = Load(cpu=50, all_cpu=200, memory=2, all_memory=8, requested_cpu=40, published_cpu=30)
    assert load.metrics() == {
        "cpu_total_usage": 50_000,
        "cpu_total_utilization": 25,
        "memory_total_usage": 2,
        "memory_total_utilization": 25,
        "ext_cpu_total_distribute": pytest.approx(133.3, abs=0.1),
    }
    assert Load().metrics() == {}
    assert Load(requested_cpu=4, published_cpu=0).metrics()["ext_cpu_total_distribute"] == float("inf")
    assert Load(requested_cpu=0, published_cpu=0).metrics()["ext_cpu_total_distribute"] == 0


# --- TimeSeriesPrediction ---------------------------------------------------------------------------------------------


def tsp(*metrics, **spec):
    spec.setdefault("targetRef", {"kind": "Node", "name": "vk"})
    return {
        "metadata": {"namespace": "crane-system", "name": "noderesource-vk"},
        "spec": {"predictionMetrics": list(metrics), **spec},
    }


def query(identifier="cpu", resource="cpu", **algorithm):
    return {
        "resourceIdentifier": identifier,
        "type": "ResourceQuery",
        "resourceQuery": resource,
        "algorithm": algorithm,
    }


def test_a_percentile_as_the_samples_write_it():
    read = prediction(
        tsp(
            query(
                algorithmType="percentile",
                percentile={
                    "sampleInterval": "1m",
                    "minSampleWeight": "1.0",
                    "percentile": "0.95",
                    "marginFraction": "0.15",
                    "targetUtilization": "0.5",
                    "historyLength": "3d",
                    "histogram": {"maxValue": "100", "epsilon": "0.0001", "halfLife": "12h", "bucketSize": "0.5"},
                },
            ),
            predictionWindowSeconds=600,
        )
    )
    assert read.faults == ()
    assert read.window_s == 600
    assert read.target == ("Node", "vk")
    assert read.metrics[0].algorithm == Percentile(
        share=0.95,
        margin=0.15,
        target_utilization=0.5,
        history_s=3 * DAY_S,
        least_weight=1.0,
        half_life_s=43_200,
        buckets=Buckets(most=100, first=0.5),
    )


def test_dsp_with_estimators():
    read = prediction(
        tsp(
            query(
                algorithmType="dsp",
                dsp={
                    "sampleInterval": "60s",
                    "historyLength": "15d",
                    "estimators": {
                        "maxValue": [{"marginFraction": "0.1"}],
                        "fft": [
                            {
                                "marginFraction": "0.2",
                                "lowAmplitudeThreshold": "1.0",
                                "highFrequencyThreshold": "0.05",
                                "minNumOfSpectrumItems": 10,
                                "maxNumOfSpectrumItems": 20,
                            }
                        ],
                    },
                },
            )
        )
    )
    assert read.metrics[0].algorithm == Dsp(
        estimators=(
            MaxValue(margin=0.1),
            Harmonics(margin=0.2, least_amplitude=1.0, highest_hz=0.05, least_items=10, most_items=20),
        )
    )


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (
            {"resourceIdentifier": "q", "type": "ExpressionQuery", "expressionQuery": {"expression": "x"}},
            "needs a source of metrics",
        ),
        (query("q", "disk"), "must be one of cpu, memory"),
        (query("q", percentile={"historyLength": "a week"}), "must be a duration"),
        (query("q", percentile={"percentile": "99"}), "must be a number from 0.01 to 1"),
        (query("q", percentile={"histogram": {"maxValue": "1e9", "bucketSize": "0.1"}}), "buckets"),
        (query("q", algorithmType="prophet"), "must be one of dsp, percentile"),
    ],
)
def test_what_cannot_be_forecast_says_so_in_the_ready_condition(metric, why):
    spec = prediction(tsp(query(), metric))
    assert spec.metrics[0].algorithm is not None
    assert spec.metrics[1].algorithm is None
    shown = status(spec, {"cpu": [(0, 1.5)], "q": [(0, 9.0)]}, now="2026-01-01T00:00:00Z")
    assert [each["ready"] for each in shown["predictionMetrics"]] == [True, False]
    assert shown["predictionMetrics"][0]["prediction"][0]["samples"] == [{"value": "1.50000", "timestamp": 0}]
    [condition] = shown["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "PredictPartial")
    assert why in condition["message"]


def test_ready_and_failed():
    spec = prediction(tsp(query()))
    assert status(spec, {"cpu": [(0, 1.0)]}, now="")["conditions"][0]["reason"] == "PredictSucceed"
    assert status(spec, {}, now="")["conditions"][0]["reason"] == "PredictFailed"
    assert status(prediction(tsp()), {}, now="")["conditions"][0]["reason"] == "PredictFailed"
