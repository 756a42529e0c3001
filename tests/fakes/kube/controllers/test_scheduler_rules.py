"""Filters, requests, messages and preemption as tables: no clock, no API."""

import pytest

from fakes.kube.scheduler import message
from fakes.kube.scheduler.affinity import PodAffinity
from fakes.kube.scheduler.decide import Round, named_nodes, preempt
from fakes.kube.scheduler.filters import check, node_term_matches, required_nodes_match, tolerates
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import facts, requests
from fakes.kube.scheduler.spread import Spread


def a_node(name="n1", *, labels=None, taints=(), unschedulable=False, pods=(), **amounts):
    node = NodeState(name)
    sizes = {"cpu": "4", "memory": "8Gi", "pods": "110", **amounts}
    node.describe(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": list(taints), "unschedulable": unschedulable},
            "status": {"allocatable": sizes},
        }
    )
    for pod in pods:
        node.add(pod)
    return node


def a_pod(name="p", *, priority=0, labels=None, ports=(), start="2026-03-02T10:00:00Z", asks=None, **spec):
    container = {"name": "c", "resources": {"requests": asks or {}}, "ports": [{"hostPort": port} for port in ports]}
    return facts(
        {
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels or {}},
            "spec": {"containers": [container], "priority": priority, **spec},
            "status": {"startTime": start},
        }
    )


def verdict(pod, node, others=()):
    nodes = [node, *others]
    found = check(pod, node, PodAffinity(pod, nodes, lambda _name: {}), Spread(pod, nodes, required_nodes_match))
    return found.reasons if found else ()


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pod", "node", "expected"),
    [
        pytest.param(a_pod(), a_node(), (), id="anything goes on an empty node"),
        pytest.param(a_pod(), a_node(unschedulable=True), ("node(s) were unschedulable",), id="cordoned"),
        pytest.param(
            a_pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
            a_node(unschedulable=True),
            (),
            id="cordon tolerated",
        ),
        pytest.param(a_pod(), a_node(taints=[TAINT]), ("node(s) had untolerated taint {k: v}",), id="tainted"),
        pytest.param(a_pod(), a_node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), (), id="soft taint"),
        pytest.param(
            a_pod(nodeSelector={"disk": "ssd"}),
            a_node(),
            ("node(s) didn't match Pod's node affinity/selector",),
            id="selector",
        ),
        pytest.param(a_pod(asks={"cpu": "5"}), a_node(), ("Insufficient cpu",), id="cpu"),
        pytest.param(
            a_pod(asks={"cpu": "5", "memory": "9Gi"}), a_node(), ("Insufficient cpu", "Insufficient memory"), id="both"
        ),
        pytest.param(a_pod(asks={"cpu": "4"}), a_node(), (), id="exactly the node"),
        pytest.param(
            a_pod(asks={"cpu": "1"}),
            a_node(pods=[a_pod("q", asks={"cpu": "3500m"})]),
            ("Insufficient cpu",),
            id="others count",
        ),
        pytest.param(
            a_pod(asks={"gocrane.io/cpu": "2"}), a_node(), ("Insufficient gocrane.io/cpu",), id="extended, not offered"
        ),
        pytest.param(
            a_pod(asks={"gocrane.io/cpu": "2"}), a_node(**{"gocrane.io/cpu": "2"}), (), id="extended, offered"
        ),
        pytest.param(
            a_pod(asks={"ephemeral-storage": "1Gi"}), a_node(), ("Insufficient ephemeral-storage",), id="disk"
        ),
        pytest.param(
            a_pod(ports=[80]),
            a_node(pods=[a_pod("q", ports=[80])]),
            ("node(s) didn't have free ports for the requested pod ports",),
            id="host port taken",
        ),
        pytest.param(a_pod(ports=[80]), a_node(pods=[a_pod("q", ports=[81])]), (), id="other host port"),
    ],
)
def test_filters(pod, node, expected):
    assert verdict(pod, node) == expected


def test_a_full_node_says_so_before_it_counts_anything_else():
    node = a_node()
    node.allocatable = {**node.allocatable, "pods": 1}
    node.add(a_pod("q"))
    assert verdict(a_pod(asks={"cpu": "5"}), node) == ("Too many pods", "Insufficient cpu")


def term(operator, *values, key="zone"):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("one", "labels", "expected"),
    [
        (term("In", "a", "b"), {"zone": "b"}, True),
        (term("In", "a"), {}, False),
        (term("NotIn", "a"), {}, True),
        (term("NotIn", "a"), {"zone": "a"}, False),
        (term("Exists"), {"zone": ""}, True),
        (term("Exists"), {}, False),
        (term("DoesNotExist"), {}, True),
        (term("DoesNotExist"), {"zone": "a"}, False),
        (term("Gt", "5"), {"zone": "6"}, True),
        (term("Gt", "5"), {"zone": "5"}, False),
        (term("Gt", "5"), {"zone": "many"}, False),
        (term("Lt", "5"), {"zone": "4"}, True),
        (term("Lt", "5"), {}, False),
        ({}, {"zone": "a"}, False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, {}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}, {}, False),
    ],
)
def test_node_selector_terms(one, labels, expected):
    assert node_term_matches(one, a_node(labels=labels)) is expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "w"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({}, False),
    ],
)
def test_tolerations(toleration, expected):
    assert tolerates([toleration], TAINT) is expected


def ask(cpu, **more):
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu_millis"),
    [
        pytest.param({"containers": [ask("1"), ask("500m")]}, 1500, id="containers add up"),
        pytest.param({"containers": [ask("1")], "initContainers": [ask("3"), ask("2")]}, 3000, id="largest init"),
        pytest.param(
            {"containers": [ask("1")], "initContainers": [ask("1", restartPolicy="Always"), ask("3")]},
            4000,
            id="a side-car runs beside later inits",
        ),
        pytest.param(
            {"containers": [ask("1")], "initContainers": [ask("3"), ask("1", restartPolicy="Always")]},
            3000,
            id="but not beside earlier ones",
        ),
        pytest.param({"containers": [ask("1")], "overhead": {"cpu": "250m"}}, 1250, id="overhead"),
        pytest.param({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000, id="a limit is a request"),
        pytest.param({"containers": [ask("0.0001")]}, 1, id="rounded up"),
    ],
)
def test_pod_requests(spec, cpu_millis):
    assert requests(spec)["cpu"] == cpu_millis


def terms(*items, kind="podAntiAffinity"):
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(items)}}


HOST = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "db"}}}
AWAY, NEAR = terms(HOST), terms(HOST, kind="podAffinity")


@pytest.mark.parametrize(
    ("pod", "here", "expected"),
    [
        pytest.param(
            a_pod(affinity=AWAY), [a_pod("q", labels={"app": "db"})], "pod anti-affinity rules", id="keeps away"
        ),
        pytest.param(a_pod(affinity=AWAY), [a_pod("q", labels={"app": "web"})], "", id="from nobody else"),
        pytest.param(
            a_pod(labels={"app": "db"}),
            [a_pod("q", affinity=AWAY)],
            "existing pods anti-affinity rules",
            id="is kept away from",
        ),
        pytest.param(a_pod(affinity=NEAR), [a_pod("q", labels={"app": "db"})], "", id="finds its company"),
        pytest.param(a_pod(affinity=NEAR), [], "pod affinity rules", id="misses its company"),
        pytest.param(a_pod(affinity=NEAR, labels={"app": "db"}), [], "", id="is its own first company"),
    ],
)
def test_pod_affinity(pod, here, expected):
    reasons = verdict(pod, a_node(pods=here), [a_node("n2")])
    assert (expected in reasons[0]) if expected else reasons == ()


def test_spread_keeps_the_skew():
    rule = {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    pod = a_pod(labels={"app": "web"}, topologySpreadConstraints=[rule])
    full, free = a_node("n1", pods=[a_pod("q", labels={"app": "web"})]), a_node("n2")
    assert verdict(pod, full, [free]) == ("node(s) didn't match pod topology spread constraints",)
    assert verdict(pod, free, [full]) == ()


def test_fit_error_sorts_counts_as_strings():
    reasons = ["Insufficient cpu"] * 10 + ["Insufficient memory"] * 2 + ["node(s) were unschedulable"]
    assert message.fit_error(12, reasons, preemption="preemption: no.") == (
        "0/12 nodes are available: 1 node(s) were unschedulable, 10 Insufficient cpu, 2 Insufficient memory. "
        "preemption: no."
    )


def plan(pod, nodes):
    attempt = Round(pod, nodes, {}, lambda _name: {})
    return preempt(attempt, attempt.outcome(), lambda _pod: False)


def test_preemption_takes_the_fewest_and_least_important():
    nodes = [
        a_node("a", pods=[a_pod("a1", priority=5, asks={"cpu": "4"})]),
        a_node("b", pods=[a_pod("b1", priority=1, asks={"cpu": "2"}), a_pod("b2", priority=1, asks={"cpu": "2"})]),
        a_node("c", pods=[a_pod("c1", priority=50, asks={"cpu": "4"})]),
    ]
    found = plan(a_pod(priority=10, asks={"cpu": "2"}), nodes)
    assert found.node == "b"
    assert len(found.victims) == 1


def test_preemption_says_why_it_does_not_help():
    nodes = [
        a_node("a", pods=[a_pod("a1", priority=10, asks={"cpu": "4"})]),
        a_node("b", taints=[TAINT]),
        a_node("c", pods=[a_pod("c1", priority=1, asks={"cpu": "1"}), a_pod("c2", priority=10, asks={"cpu": "3"})]),
    ]
    assert plan(a_pod(priority=10, asks={"cpu": "2"}), nodes).text == (
        "preemption: 0/3 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_a_pod_pinned_by_name_hears_only_of_that_node():
    pinned = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [pinned]}}
    pod = a_pod(affinity={"nodeAffinity": required}, asks={"cpu": "9"})
    assert named_nodes(pod) == {"a"}
    outcome = Round(pod, [a_node("a"), a_node("b"), a_node("c")], {}, lambda _name: {}).outcome()
    assert message.fit_error(3, outcome.reasons()) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
