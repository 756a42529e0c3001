"""The rollout's arithmetic, and which pod goes first."""

import pytest

from fakes.kube.controllers import pods, rollout


def deployment(replicas, **rolling):
    strategy = {"type": "RollingUpdate", **({"rollingUpdate": rolling} if rolling else {})}
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "strategy": strategy}}


def a_set(name, replicas, *, available=0, before=None):
    notes = {rollout.MAXIMUM: str(before)} if before else {}
    meta = {"name": name, "annotations": notes, "creationTimestamp": f"2026-03-02T10:00:0{name[-1]}Z"}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"availableReplicas": available}}


@pytest.mark.parametrize(
    ("replicas", "rolling", "expected"),
    [
        (4, {}, (1, 1)),
        (3, {}, (1, 0)),
        (10, {}, (3, 2)),
        (10, {"maxSurge": "0%", "maxUnavailable": "5%"}, (0, 1)),
        (10, {"maxSurge": 2, "maxUnavailable": 0}, (2, 0)),
        (10, {"maxSurge": 0, "maxUnavailable": "30%"}, (0, 3)),
        (1, {"maxSurge": "100%", "maxUnavailable": "100%"}, (1, 1)),
    ],
)
def test_fenceposts(replicas, rolling, expected):
    assert rollout.fenceposts(deployment(replicas, **rolling)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(10, 0, 3), (10, 3, 3), (8, 3, 5), (0, 9, 10), (5, 8, 8)],
)
def test_new_set_grows_into_the_room_left(old, new, expected):
    sets = [a_set("old1", old), a_set("new2", new)]
    assert rollout.new_set_replicas(deployment(10), sets, new) == expected


def test_cleanup_leaves_the_minimum():
    old, new = a_set("old1", 10, available=10), a_set("new2", 3, available=0)
    assert rollout.cleanup_count(deployment(10), [old], new) == 2


def test_scaling_amid_a_rollout_is_shared():
    sets = [a_set("old1", 8, before=13), a_set("new2", 5, before=13)]
    sizes = rollout.proportions(deployment(20), sets)
    assert sum(sizes.values()) == rollout.max_replicas(deployment(20)) == 25
    assert sizes == {"old1": 15, "new2": 10}


def test_the_hash_is_stable_and_moves_on_after_a_collision():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    assert rollout.template_hash(template, 0) == rollout.template_hash(dict(reversed(template.items())), 0)
    assert rollout.template_hash(template, 0) != rollout.template_hash(template, 1)
    labelled = {**template, "metadata": {"labels": {"a": "b", rollout.HASH_LABEL: "x"}}}
    assert rollout.bare_template(labelled) == rollout.bare_template(template)


def a_pod(*, node="n", phase="Running", ready=True, cost=None, restarts=0, born="10:00:00", since="10:00:00"):
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": f"2026-03-02T{since}Z"}
    notes = {pods.DELETION_COST: cost} if cost else {}
    return {
        "metadata": {"annotations": notes, "creationTimestamp": f"2026-03-02T{born}Z"},
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": [condition], "containerStatuses": [{"restartCount": restarts}]},
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(a_pod(node=""), a_pod(), id="unplaced before placed"),
        pytest.param(a_pod(phase="Pending"), a_pod(phase="Unknown"), id="pending before unknown"),
        pytest.param(a_pod(ready=False), a_pod(), id="unready before ready"),
        pytest.param(a_pod(cost="-5"), a_pod(), id="cheap before dear"),
        pytest.param(a_pod(since="10:05:00"), a_pod(), id="ready for less time first"),
        pytest.param(a_pod(restarts=3), a_pod(), id="more restarts first"),
        pytest.param(a_pod(born="10:05:00"), a_pod(), id="younger first"),
    ],
)
def test_removal_order(first, second):
    assert sorted([second, first], key=pods.removal_order) == [first, second]


def test_a_crowded_node_gives_first():
    assert pods.removal_order(a_pod(), crowd=3) < pods.removal_order(a_pod(), crowd=1)
