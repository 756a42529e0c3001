"""The profile's ConfigMap as it comes, changes, breaks and goes; what pods are given meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.control.living_cloud import Life
from tests.control.test_pods import in_no_time
from tests.control.world import World
from vk_provider.cloud.eci.profile import parse
from vk_provider.control.profile_watcher import FRESH_S, MOST_NAMESPACES, PATIENCE_S, ProfileWatcher
from vk_provider.errors import KubeUnavailable, NotFound, PodNotReady

Json = dict[str, Any]
SWITCH, GROUP, SPECS = (f"k8s.aliyun.com/{name}" for name in ("eci-vswitch", "eci-security-group", "eci-use-specs"))
POD = {"metadata": {"name": "p", "namespace": "team", "labels": {"app": "a"}}, "spec": {"containers": []}}


class Server:
    """What a ProfileWatch sees of an API server: one ConfigMap, and namespaces. down: it answers nothing."""

    server = "memory"

    def __init__(self) -> None:
        self.data: Mapping[str, str] | None = None
        self.namespaces: dict[str, dict[str, str]] = {}
        self.down = False
        self.asked: list[str] = []
        self._version = 1
        self._lines: asyncio.Queue[Json] = asyncio.Queue()

    def put(self, **data: str) -> None:
        self._version += 1
        self._lines.put_nowait({"type": "ADDED" if self.data is None else "MODIFIED", "object": self._item(data)})
        self.data = data

    def remove(self) -> None:
        self._version += 1
        self._lines.put_nowait({"type": "DELETED", "object": self._item({})})
        self.data = None

    def _item(self, data: Mapping[str, str]) -> Json:
        return {"metadata": {"name": "eci-profile", "resourceVersion": str(self._version)}, "data": dict(data)}

    async def get(self, path: str, *, params: Any = None, timeout_s: float = 30.0) -> Json:
        self.asked.append(path)
        if self.down:
            raise KubeUnavailable("no answer")
        kind, _, name = path.rpartition("/")
        if kind.endswith("/namespaces"):
            if name not in self.namespaces:
                raise NotFound(f"{path} not found", status=404)
            return {"metadata": {"name": name, "labels": self.namespaces[name]}}
        items = [] if self.data is None else [self._item(self.data)]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    @asynccontextmanager
    async def stream(self, path: str, *, params: Any = None, timeout_s: float) -> AsyncIterator[AsyncIterator[Json]]:
        yield self._watched()

    async def _watched(self) -> AsyncIterator[Json]:
        while True:
            yield await self._lines.get()


class Scene:
    """told: events on our Node, as `reason: message`."""

    def __init__(self) -> None:
        self.server = Server()
        self.told: list[str] = []
        client: Any = self.server
        self.watch = ProfileWatcher(
            client,
            "kube-system",
            "eci-profile",
            parse=parse,
            tell=lambda _, reason, text: self.told.append(f"{reason}: {text}"),
        )

    async def settled(self) -> None:
        await asyncio.sleep(0.1)

    async def given(self, pod: Json = POD) -> Mapping[str, str]:
        return dict((await self.watch.admit(pod))["metadata"].get("annotations") or {})


@asynccontextmanager
async def watching(**data: str) -> AsyncIterator[Scene]:
    scene = Scene()
    if data:
        scene.server.put(**data)
        scene.server._lines.get_nowait()  # it stands in the list already
    task = asyncio.create_task(scene.watch.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.wait([task])


def chosen(*, namespace: Mapping[str, str] | None = None, **annotations: str) -> str:
    one: Json = {"name": "one", "effect": {"annotations": {f"k8s.aliyun.com/{k}": v for k, v in annotations.items()}}}
    if namespace is not None:
        one["namespaceSelector"] = {"matchLabels": dict(namespace)}
    return json.dumps([one])


@in_no_time
async def test_without_a_profile_a_pod_stays_as_it_is():
    async with watching() as scene:
        assert await scene.watch.admit(POD) is POD
        assert scene.told == []


@in_no_time
async def test_what_changes_counts_for_the_next_pod_and_what_goes_counts_no_more():
    async with watching(vSwitchIds="vsw-a", securityGroupId="sg-a") as scene:
        assert await scene.given() == {SWITCH: "vsw-a", GROUP: "sg-a"}
        scene.server.put(vSwitchIds="vsw-b,vsw-c", securityGroupId="sg-a")
        await scene.settled()
        assert await scene.given() == {SWITCH: "vsw-b,vsw-c", GROUP: "sg-a"}
        own = {**POD, "metadata": {**POD["metadata"], "annotations": {SWITCH: "vsw-mine"}}}
        assert await scene.given(own) == {SWITCH: "vsw-mine", GROUP: "sg-a"}
        scene.server.remove()
        await scene.settled()
        assert await scene.watch.admit(POD) is POD
        assert scene.told == []


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param({"selectors": "{"}, "selectors: not JSON", id="no JSON"),
        pytest.param({"vSwitchIds": "vsw-b", "selectors": '[{"name": "x"}]'}, "selectors[0].effect", id="half right"),
        pytest.param({"vSwitchIds": "no switch"}, "vSwitchIds", id="no switch's id"),
        pytest.param({"selectors": chosen(**{"eci-unheard-of": "1"})}, "unknown here", id="an unknown annotation"),
    ],
)
def test_a_faulty_profile_is_told_and_the_last_good_one_goes_on(data, named):
    @in_no_time
    async def story():
        async with watching(vSwitchIds="vsw-a") as scene:
            assert await scene.given() == {SWITCH: "vsw-a"}
            scene.server.put(**data)
            await scene.settled()
            assert await scene.given() == {SWITCH: "vsw-a"}, "nothing of it is taken"
            (told,) = scene.told
            assert told.startswith("ProfileRejected: ConfigMap kube-system/eci-profile: ")
            assert named in told
            assert told.endswith("the last good one goes on")
            scene.server.put(vSwitchIds="vsw-c")
            await scene.settled()
            assert await scene.given() == {SWITCH: "vsw-c"}, "mended"

    story()


@in_no_time
async def test_a_profile_that_is_faulty_from_the_start_adds_nothing_and_stops_nobody():
    async with watching(selectors="{") as scene:
        assert await scene.watch.admit(POD) is POD
        assert len(scene.told) == 1


@in_no_time
async def test_keys_without_effect_are_told_once():
    async with watching(vSwitchIds="vsw-a", vpcId="vpc-a", enablePrivateZone="true") as scene:
        await scene.given()
        assert scene.told == ["ProfileUnheeded: ConfigMap kube-system/eci-profile: no effect here: enablePrivateZone"]


@in_no_time
async def test_namespaces_are_asked_for_their_labels_only_where_a_selector_wants_them_and_not_for_every_pod():
    async with watching(selectors=chosen(**{"eci-use-specs": "2-4Gi"}, namespace={"team": "blue"})) as scene:
        scene.server.namespaces["team"] = {"team": "blue"}
        assert [await scene.given() for _ in range(50)] == [{SPECS: "2-4Gi"}] * 50
        looked = [path for path in scene.server.asked if path.endswith("/namespaces/team")]
        assert len(looked) == 1
        scene.server.namespaces["team"] = {"team": "red"}
        assert await scene.given() == {SPECS: "2-4Gi"}, "known, and fresh enough"
        await asyncio.sleep(FRESH_S + 1)
        assert await scene.given() == {}
        gone = {**POD, "metadata": {**POD["metadata"], "namespace": "gone"}}
        assert await scene.given(gone) == {}
        for number in range(MOST_NAMESPACES + 10):
            await scene.given({**POD, "metadata": {**POD["metadata"], "namespace": f"n{number}"}})
        assert len(scene.watch._namespaces) == MOST_NAMESPACES


@in_no_time
async def test_a_pod_waits_while_its_namespace_cannot_be_looked_at():
    async with watching(selectors=chosen(**{"eci-use-specs": "2-4Gi"}, namespace={"team": "blue"})) as scene:
        await scene.settled()
        scene.server.down = True
        with pytest.raises(PodNotReady, match="cannot read namespace team"):
            await scene.given()
        scene.server.down = False
        scene.server.namespaces["team"] = {"team": "blue"}
        assert await scene.given() == {SPECS: "2-4Gi"}


@in_no_time
async def test_a_profile_that_cannot_be_read_holds_pods_up_only_once():
    scene = Scene()
    scene.server.down = True
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(scene.watch.run())
    assert await scene.watch.admit(POD) is POD
    assert loop.time() == pytest.approx(PATIENCE_S, abs=0.1)
    assert await scene.watch.admit(POD) is POD
    assert loop.time() == pytest.approx(PATIENCE_S, abs=0.1)
    scene.server.down = False
    scene.server.put(vSwitchIds="vsw-a")
    await asyncio.sleep(120)
    assert await scene.given() == {SWITCH: "vsw-a"}
    task.cancel()
    await asyncio.wait([task])


class FixedAdmission:
    """A profile that adds these annotations, once a fetch has been made."""

    def __init__(self, **annotations: str) -> None:
        self.annotations = {f"k8s.aliyun.com/{name.replace('_', '-')}": text for name, text in annotations.items()}
        self.fetched = 0

    def view(self, pod: Json) -> Json | None:
        given = pod["metadata"].get("annotations") or {}
        meta = {**pod["metadata"], "annotations": {**self.annotations, **given}}
        return {**pod, "metadata": meta} if self.fetched else None

    async def fetch(self, pod: Json) -> None:
        self.fetched += 1

    async def admit(self, pod: Json) -> Json:
        labels = {"team": "blue", **(pod["metadata"].get("labels") or {})}
        return {**pod, "metadata": {**pod["metadata"], "labels": labels}}


@in_no_time
async def test_files_that_change_still_show_the_labels_that_the_profile_gave() -> None:
    world = World()
    world.admission = FixedAdmission()
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volume = {"name": "l", "downwardAPI": {"items": [item]}}
    mounted = {"name": "main", "image": "perl", "volumeMounts": [{"name": "l", "mountPath": "/l"}]}
    path = "/api/v1/namespaces/web/pods/web"
    async with world.running():
        world.kube.add_pod("web", policy="Always", spec={"volumes": [volume], "containers": [mounted]})
        await world.until(lambda: world.phase("web") == "Running")
        world.kube.edit(path, lambda pod: pod["metadata"].update(labels={"x": "y"}))
        await world.until(lambda: world.cloud.updates != [], within_s=60)
        assert world.cloud.shown["eci-1"] == {"l/labels": 'team="blue"\nx="y"'}


async def tried(*, on_pod: Mapping[str, str], by_profile: Mapping[str, str], minutes: float, **settings: str) -> World:
    """What becomes of a pod for which there is never capacity: the cloud takes a create and reports it later."""
    world = World(job=Life(unplaced=1000))
    world.settings = replace(world.settings, **settings)
    world.admission = FixedAdmission(**by_profile)
    async with world.running():
        given = {f"k8s.aliyun.com/{name.replace('_', '-')}": text for name, text in on_pod.items()}
        world.kube.add_pod("job", annotations=given)
        await asyncio.sleep(minutes * 60)
    world.admission.fetched = 0
    async with world.running():  # another life decides by the same view
        await asyncio.sleep(minutes * 60)
    return world


@in_no_time
@pytest.mark.parametrize("place", ["on_pod", "by_profile"])
@pytest.mark.parametrize(
    ("wish", "creates", "phase"),
    [
        ({"eci_fail_strategy": "fail-fast"}, [0], "Pending"),
        ({"pod_fail_on_create_err": "true"}, [0], "Failed"),
        ({"eci_fail_strategy": "fail-fast", "eci_use_specs": "2-4Gi,4-8Gi"}, [0, 1], "Pending"),
        ({"eci_fail_strategy": "fail-fast", "eci_use_specs": "2-4Gi,2.0-4Gi,2-4Gi"}, [0], "Pending"),
        ({"eci_fail_strategy": "fail-fast", "eci_spot_strategy": "SpotAsPriceGo"}, [0], "Pending"),
        (
            {"eci_fail_strategy": "fail-fast", "eci_spot_strategy": "SpotAsPriceGo", "eci_spot_fallback": "true"},
            [0, 1],
            "Pending",
        ),
    ],
)
async def test_a_wish_counts_the_same_from_the_profile_as_from_the_pod(
    place: str, wish: Mapping[str, str], creates: list[int], phase: str
) -> None:
    given: dict[str, Any] = {"on_pod": {}, "by_profile": {}, place: wish}
    world = await tried(minutes=10, **given)
    assert [each.attempt for each in world.cloud.created] == creates
    assert world.phase("job") == phase


@in_no_time
async def test_spot_from_settings_with_the_pods_fallback_is_two_ways_for_everybody() -> None:
    wish = {"eci_spot_fallback": "true", "eci_fail_strategy": "fail-fast"}
    world = await tried(on_pod=wish, by_profile={}, minutes=10, spot_strategy="SpotAsPriceGo")
    assert [each.attempt for each in world.cloud.created] == [0, 1]


@in_no_time
async def test_a_namespace_that_cannot_be_read_keeps_the_pod_waiting_with_a_reason() -> None:
    class Closed(FixedAdmission):
        async def fetch(self, pod: Json) -> None:
            self.fetched += world.time_s > 30
            if not self.fetched:
                raise PodNotReady(
                    "cannot read", event_reason="FailedCreatePodSandBox", waiting_reason="ContainerCreating"
                )

    world = World(job=Life(runs_s=5))
    world.admission = Closed()
    async with world.running():
        world.kube.add_pod("job")
        await asyncio.sleep(20)
        assert world.kube.events("FailedCreatePodSandBox")
        assert world.cloud.created == []
        await world.until(lambda: world.phase("job") == "Succeeded", within_s=120)


@in_no_time
async def test_a_pod_is_refused_once_for_all_that_is_wrong_even_while_something_is_missing() -> None:
    world = World()
    main = {
        "name": "main",
        "image": "perl",
        "command": ["x"] * 21,
        "envFrom": [{"configMapRef": {"name": "nowhere"}}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    for name, spec in (("all", {"hostNetwork": True}), ("later", {})):
        async with world.running():
            world.kube.add_pod(name, spec={"containers": [main], **spec})
            await world.until(lambda name=name: world.phase(name) == "Failed", within_s=60)  # type: ignore[misc]
        told = world.kube.pod(name)["status"]["message"]
        assert "spec.containers[0].command: 21 items" in told
        assert "spec.containers[0].resources.limits[nvidia.com/gpu]" in told
        assert ("spec.hostNetwork" in told) == (name == "all")
    assert world.cloud.created == []
