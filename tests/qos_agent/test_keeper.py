"""Signs of life and who lacks them: judged by our own clock; zeroed once, downwards only, and never against a newer
Node."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vk_provider.errors import Conflict, KubeUnavailable, NotFound
from vk_provider.qos_agent.agent_lease import SILENT_S, AgentLease, Silence
from vk_provider.qos_agent.keeper import ALL_BE_PODS, RECLAIM, first_objects, zero


def lease(node, version):
    return {"metadata": {"name": f"qos-agent-{node}", "resourceVersion": str(version)}}


def test_who_changes_nothing_for_so_long_is_silent_and_speaks_again():
    silence = Silence()
    assert silence.observe(0.0, [lease("a", 1), lease("b", 1)]) == []
    assert silence.observe(20.0, [lease("a", 2), lease("b", 1)]) == []
    assert silence.observe(26.0, [lease("a", 2), lease("b", 1)]) == ["b"]
    assert silence.observe(27.0, [lease("a", 2), lease("b", 2)]) == []
    assert silence.observe(60.0, [lease("b", 2), {"metadata": {"name": "qos-agent", "resourceVersion": "9"}}]) == ["b"]


def test_a_keeper_that_was_just_elected_takes_nobody_for_silent_whatever_the_times_say():
    assert Silence().observe(1e9, [lease("a", 1)]) == []


@given(st.lists(st.tuples(st.floats(0.1, 30), st.booleans()), max_size=20))
def test_nobody_is_silent_who_changed_within_the_time(steps):
    silence, now_s, version, changed_s = Silence(), 0.0, 0, 0.0
    silence.observe(now_s, [lease("a", version)])
    for passed_s, changes in steps:
        now_s += passed_s
        if changes:
            version, changed_s = version + 1, now_s
        assert silence.observe(now_s, [lease("a", version)]) == (["a"] if now_s - changed_s >= SILENT_S else [])


class Api:
    """Objects by path; a patch of a Node's status says which version it was made for."""

    def __init__(self, **objects):
        self.objects, self.writes, self.fails = dict(objects), [], []

    def _may(self):
        if self.fails:
            raise self.fails.pop()

    async def get(self, path, **_):
        self._may()
        if path.endswith("podqoss"):
            return {"items": [each for key, each in self.objects.items() if key.startswith(f"{path}/")]}
        if path not in self.objects:
            raise NotFound("gone", status=404)
        return self.objects[path]

    async def post(self, path, body, **_):
        self._may()
        key = f"{path}/{body['metadata']['name']}"
        if key in self.objects:
            raise Conflict("there", status=409)
        self.writes.append(("post", key))
        self.objects[key] = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return self.objects[key]

    async def put(self, path, body, **_):
        self._may()
        if path not in self.objects:
            raise NotFound("gone", status=404)
        self.writes.append(("put", path))
        self.objects[path] = body
        return body

    async def patch(self, path, body, **_):
        node = self.objects[path.removesuffix("/status")]
        if body["metadata"]["resourceVersion"] != node["metadata"]["resourceVersion"]:
            raise Conflict("newer", status=409)
        self.writes.append(("patch", path, body["status"]))
        return node


def node(cpu):
    sides = {
        "cpu": "8",
        "memory": "16Gi",
        **({} if cpu is None else {"gocrane.io/cpu": cpu, "gocrane.io/memory": "2Gi"}),
    }
    return {"metadata": {"name": "n", "resourceVersion": "7"}, "status": {"capacity": sides, "allocatable": sides}}


@pytest.mark.parametrize(("cpu", "writes"), [("3", 1), (None, 0)])
def test_zeroed_is_what_is_published_and_no_node_gets_a_key_it_had_not(cpu, writes):
    api = Api()
    api.objects["/api/v1/nodes/n"] = node(cpu)
    asyncio.run(zero(api, "n"))
    asyncio.run(zero(api, "gone"))
    nothing = {"gocrane.io/cpu": "0", "gocrane.io/memory": "0"}
    assert [each[2] for each in api.writes] == [{"capacity": nothing, "allocatable": nothing}] * writes


def test_the_lease_is_made_renewed_and_made_again():
    api, times = Api(), iter(range(1, 9))
    beating = AgentLease(
        api,
        namespace="kube-system",
        node="n",
        owner_uid=lambda: "u",
        wall=lambda: datetime.fromtimestamp(next(times), UTC),
    )
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/qos-agent-n"
    asyncio.run(beating.beat())
    made = api.objects[path]
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert made["spec"]["holderIdentity"] == "n"
    asyncio.run(beating.beat())
    assert api.objects[path]["spec"]["renewTime"] == "1970-01-01T00:00:02.000000Z"
    del api.objects[path]
    for _ in range(2):
        asyncio.run(beating.beat())
    assert path in api.objects
    api.fails = [KubeUnavailable("no answer")]
    with pytest.raises(KubeUnavailable):
        asyncio.run(beating.beat())
    asyncio.run(beating.beat())
    assert [kind for kind, _ in api.writes].count("post") == 2


def test_a_cluster_without_any_pod_qos_gets_the_first_objects_and_another_none():
    api, base = Api(), "/apis/ensurance.crane.io/v1alpha1"
    asyncio.run(first_objects(api))
    assert api.objects.keys() == {f"{base}/podqoss/all-be-pods", f"{base}/avoidanceactions/reclaim-preemptible"}
    asyncio.run(first_objects(api))
    assert len(api.writes) == 2
    other = Api()
    other.objects[f"{base}/podqoss/mine"] = {"metadata": {"name": "mine"}}
    asyncio.run(first_objects(other))
    assert other.writes == []


def test_the_first_objects_are_those_of_deploy():
    from tests.test_deploy import DEPLOY
    from tests.yamldocuments import documents

    shipped = {
        (each["kind"], each["metadata"]["name"]): each for each in documents(DEPLOY / "preemptible/objects.yaml")
    }
    for ours in (RECLAIM, ALL_BE_PODS):
        assert shipped[ours["kind"], ours["metadata"]["name"]] == ours
