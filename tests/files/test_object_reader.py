"""What a pod refers to: read by name, once for many, never remembered when absent."""

import asyncio
import functools

import pytest

from tests.control.pure_time import play
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import KubeError, KubeUnavailable, NotFound, PodNotReady, UnsupportedPod
from vk_provider.files.object_reader import CACHE_SIZE, FRESH_S, ObjectReader


def in_no_time(story):
    @functools.wraps(story)
    def run(*args, **more):
        return play(story(*args, **more))

    return run


class Kube:
    """Answers after `takes_s`; `fail` is raised by every GET while set."""

    def __init__(self):
        self.objects = {}
        self.gets = []
        self.posts = []
        self.takes_s = 0.1
        self.fail = None

    async def get(self, path, *, params=None, timeout_s=30.0):
        self.gets.append((path, dict(params or {})))
        await asyncio.sleep(self.takes_s)
        if self.fail is not None:
            raise self.fail
        if path.endswith("/services"):
            return {"items": self.objects.get(path, [])}
        if path not in self.objects:
            raise NotFound(f"{path} not found", status=404)
        return self.objects[path]

    async def post(self, path, body, *, params=None, timeout_s=30.0):
        self.posts.append((path, body))
        return {"status": {"token": f"token-{len(self.posts)}"}}

    def count(self, part):
        return sum(part in path for path, _ in self.gets)


KEY = ("web", "key")
PATH = "/api/v1/namespaces/web/secrets/key"


def pod(name="p", *, secrets=("key",), token=False, links=False, **spec):
    env = [{"secretRef": {"name": each}} for each in secrets]
    mounts = [{"name": "t", "mountPath": "/t"}] if token else []
    sources = [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3607, "audience": "vault"}}]
    return {
        "metadata": {"namespace": "web", "name": name, "uid": f"uid-{name}"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "envFrom": env, "volumeMounts": mounts}],
            "volumes": [{"name": "t", "projected": {"sources": sources}}] if token else [],
            "serviceAccountName": "robot",
            "enableServiceLinks": links,
            **spec,
        },
    }


def world():
    kube = Kube()
    kube.objects[PATH] = {"data": {"A": "Yg=="}}
    return kube, ObjectReader(kube, capabilities=CAPABILITIES)


@in_no_time
async def test_only_what_the_pod_names_is_read():
    kube, reader = world()
    objects = await reader.read(pod(links=True))
    assert objects.secrets == {KEY: {"data": {"A": "Yg=="}}}
    assert sorted(kube.gets) == [
        ("/api/v1/namespaces/default/services", {"resourceVersion": "0"}),
        (PATH, {}),
        ("/api/v1/namespaces/web/services", {"resourceVersion": "0"}),
    ]


@in_no_time
async def test_a_thousand_pods_that_start_together_read_it_once():
    kube, reader = world()
    found = await asyncio.gather(*(reader.read(pod(f"p{number}")) for number in range(1000)))
    assert all(each.secrets[KEY] for each in found)
    assert len(kube.gets) == 2, "the Secret and the Services"


@in_no_time
async def test_it_is_read_again_when_it_is_a_second_old():
    assert FRESH_S <= 1
    kube, reader = world()
    await reader.read(pod())
    await asyncio.sleep(FRESH_S / 2)
    await reader.read(pod())
    assert kube.count("secrets") == 1
    kube.objects[PATH] = {"data": {"A": "Yw=="}}
    await asyncio.sleep(1)
    assert (await reader.read(pod())).secrets[KEY] == {"data": {"A": "Yw=="}}
    assert kube.count("secrets") == 2


@in_no_time
async def test_what_is_absent_is_asked_for_each_time():
    kube, reader = world()
    del kube.objects[PATH]
    assert (await reader.read(pod())).secrets == {KEY: None}
    kube.objects[PATH] = {"data": {}}
    assert (await reader.read(pod())).secrets == {KEY: {"data": {}}}


@in_no_time
async def test_who_asked_first_and_left_takes_the_answer_from_nobody():
    _, reader = world()
    first = asyncio.create_task(reader.read(pod("first")))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(reader.read(pod(f"p{number}"))) for number in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    assert all(each.secrets[KEY] for each in await asyncio.gather(*others))
    with pytest.raises(asyncio.CancelledError):
        await first


@in_no_time
async def test_a_failure_is_not_remembered(caplog):
    kube, reader = world()
    kube.fail = KubeUnavailable("no answer")
    for _ in range(3):
        with pytest.raises(PodNotReady, match="no answer"):
            await reader.read(pod())
    kube.fail = None
    assert (await reader.read(pod())).secrets[KEY]
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [KubeUnavailable("down", status=503), KubeError("forbidden", status=403), KubeUnavailable("429", status=429)],
)
@in_no_time
async def test_an_api_server_that_cannot_or_will_not_say_leaves_the_pod_waiting(error):
    """S12: neither an outage nor a missing permission may fail a pod."""
    kube, reader = world()
    kube.fail = error
    with pytest.raises(PodNotReady) as caught:
        await reader.read(pod())
    assert (caught.value.event_reason, caught.value.waiting_reason) == ("FailedMount", "ContainerCreating")


@in_no_time
async def test_a_pod_that_is_refused_costs_no_request():
    kube, reader = world()
    with pytest.raises(UnsupportedPod, match="hostNetwork"):
        await reader.read(pod(hostNetwork=True))
    assert kube.gets == []


@in_no_time
async def test_a_token_is_asked_for_each_pod_anew_and_bound_to_it():
    kube, reader = world()
    found = [await reader.read(pod(name, secrets=(), token=True)) for name in ("a", "b")]
    assert [list(each.tokens.values()) for each in found] == [["token-1"], ["token-2"]]
    assert kube.posts[0] == (
        "/api/v1/namespaces/web/serviceaccounts/robot/token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": 3607,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "uid-a"},
                "audiences": ["vault"],
            },
        },
    )


@in_no_time
async def test_memory_is_bounded_however_many_objects_there_are():
    kube, reader = world()
    for number in range(CACHE_SIZE + 100):
        kube.objects[f"/api/v1/namespaces/web/secrets/s{number}"] = {"data": {}}
        await reader.read(pod(secrets=(f"s{number}",)))
    assert len(reader._cache) <= CACHE_SIZE


@in_no_time
async def test_secrets_are_not_held_for_longer_than_they_are_fresh():
    """A reader that is idle keeps no Secret in memory for hours."""
    _, reader = world()
    await reader.read(pod())
    await asyncio.sleep(3600)
    await reader.read(pod(secrets=()))
    assert PATH not in reader._cache


CLAIM = "/api/v1/namespaces/web/persistentvolumeclaims/data"
VOLUME = "/api/v1/persistentvolumes/pv-1"
LOGIN = "/api/v1/namespaces/kube-system/secrets/oss"


def claimer():
    source = {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}
    made = pod(secrets=(), volumes=[source])
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "d", "mountPath": "/d"}]
    return made


@in_no_time
async def test_a_claim_is_followed_to_its_volume_and_the_secret_that_one_names():
    kube, reader = world()
    kube.objects[CLAIM] = {"spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}
    login = {"nodePublishSecretRef": {"namespace": "kube-system", "name": "oss"}}
    kube.objects[VOLUME] = {"metadata": {"name": "pv-1"}, "spec": {"csi": login}}
    kube.objects[LOGIN] = {"data": {}}
    found = await reader.read(claimer())
    assert found.claims == {("web", "data"): kube.objects[CLAIM]}
    assert found.persistent_volumes == {"pv-1": kube.objects[VOLUME]}
    assert found.secrets == {("kube-system", "oss"): {"data": {}}}
    assert [path for path, _ in kube.gets if "services" not in path] == [CLAIM, VOLUME, LOGIN]


@in_no_time
async def test_behind_a_claim_that_is_not_bound_nothing_is_looked_for():
    kube, reader = world()
    kube.objects[CLAIM] = {"spec": {"volumeName": "pv-1"}, "status": {"phase": "Pending"}}
    assert (await reader.read(claimer())).persistent_volumes == {}
    assert kube.count("persistentvolumes") == 0


@in_no_time
async def test_a_volume_that_cannot_be_read_leaves_the_pod_waiting():
    kube, reader = world()
    kube.objects[CLAIM] = {"spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}
    await reader.read(claimer())
    kube.fail = KubeError("forbidden", status=403)
    with pytest.raises(PodNotReady, match="forbidden"):
        await reader.read(claimer())


@in_no_time
async def test_objects_that_are_too_much_together_are_refused_at_their_field():
    kube = Kube()
    for number in range(20):
        data = {"k": "x" * 1_000_000}
        kube.objects[f"/api/v1/namespaces/web/secrets/s{number}"] = {"metadata": {}, "data": data}
    given = pod(secrets=[f"s{number}" for number in range(20)])
    with pytest.raises(UnsupportedPod) as raised:
        await ObjectReader(kube, capabilities=CAPABILITIES).read(given)
    (refusal,) = raised.value.refusals
    assert refusal.field == "spec.containers[0].env"
    assert "8 MiB" in refusal.reason


@in_no_time
async def test_of_services_only_what_variables_are_made_of_is_kept():
    kube = Kube()
    ports = [{"port": number} for number in range(5_000)]
    meta = {"name": "s", "namespace": "web", "annotations": {"a": "x" * 200_000}}
    kube.objects["/api/v1/namespaces/web/services"] = [
        {"metadata": meta, "spec": {"clusterIP": "1.1.1.1", "ports": ports}}
    ]
    (service,) = (await ObjectReader(kube, capabilities=CAPABILITIES).read(pod(secrets=(), links=True))).services
    assert service["metadata"] == {"name": "s", "namespace": "web"}
    assert len(service["spec"]["ports"]) == 100


@pytest.mark.parametrize("malformed", [None, [], "s", {}, {"metadata": None}, {"metadata": {"name": "n"}}])
@in_no_time
async def test_a_malformed_service_keeps_no_pod_from_the_others(malformed):
    kube, reader = world()
    honest = {"metadata": {"namespace": "web", "name": "s"}, "spec": {"clusterIP": "10.0.0.1"}}
    kube.objects["/api/v1/namespaces/web/services"] = [malformed, honest]
    objects = await reader.read(pod(links=True))
    assert [each["metadata"]["name"] for each in objects.services] == ["s"]


@in_no_time
async def test_the_node_is_read_only_for_a_pod_that_asks_for_labels_which_it_need_not_have():
    """A thousand pods that choose it by its own labels cost nothing; what else it is labelled with, the node says."""
    kube = Kube()
    kube.objects["/api/v1/nodes/vk"] = NODE
    reader = ObjectReader(kube, capabilities=CAPABILITIES, node_name="vk", labels={"type": "virtual-kubelet"})
    assert (await reader.read(pod(secrets=(), nodeSelector={"type": "virtual-kubelet"}))).node is None
    assert kube.count("nodes") == 0
    asking = [pod(f"p{number}", secrets=(), nodeSelector={"team": "red"}) for number in range(100)]
    found = await asyncio.gather(*map(reader.read, asking))
    assert all(each.node == NODE for each in found)
    assert kube.count("nodes") == 1
    kube.fail = KubeUnavailable("busy")
    with pytest.raises(PodNotReady):
        await ObjectReader(kube, node_name="vk").read(pod(secrets=(), nodeSelector={"team": "red"}))


NODE = {"metadata": {"name": "vk", "labels": {"type": "virtual-kubelet", "team": "red"}}}
