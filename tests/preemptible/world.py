"""The stand-in cloud and cluster, with its scheduler and Job controller, and the real provider, in virtual time.

All of it is one process on one clock that jumps: an hour takes a second. The driver speaks to the cloud with real
requests, the provider to the API server with real paths and patches; only the wires are left out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.cloud import lifecycle, scenario
from fakes.cloud.clock import Clock, Timers
from fakes.cloud.faults import Faults
from fakes.cloud.group import Group
from fakes.cloud.limits import RateLimits
from fakes.cloud.runtime_simulated import SimulatedRuntime
from fakes.cloud.series import Constant
from fakes.cloud.server import Server
from fakes.cloud.service import Service
from fakes.cloud.signature import Credential, Verifier
from fakes.kube.api import Api
from fakes.kube.controllers import run_controllers
from fakes.kube.garbage import Collector
from fakes.kube.namespaces import furnish
from fakes.kube.seed import NAMESPACES
from tests.control.world import Fate
from tests.corpus.incloud import InProcessClient, StandIn
from tests.guides import ROOT
from tests.preemptible.inkube import InKube
from tests.preemptible.process import Process
from tests.yamldocuments import documents
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.options import EciOptions
from vk_provider.cloud.eci.settings import EciSettings, eci_settings
from vk_provider.idle.history import DAY_S, MINUTE_S, History
from vk_provider.model.quantity import GIB
from vk_provider.preemptible.checkpoint import KEY
from vk_provider.preemptible_options import PreemptibleOptions

Json = dict[str, Any]

BIRTH = datetime(2026, 3, 2, 0, 0, 0, tzinfo=UTC)  # a Monday
ZONE = "cn-hangzhou-b"
RULES = """
[[rule]]
image = "minute*"
duration_s = 60
stop_s = 30
[[rule]]
image = "while*"
duration_s = 600
stop_s = 30
[[rule]]
image = "hour*"
duration_s = 3600
stop_s = 30
[[rule]]
image = "quick*"
duration_s = 1e9
stop_s = 1
[[rule]]
image = "*"
duration_s = 1e9
stop_s = 30
"""
DEEP = 10_000  # vCPU of a market that always has some
HISTORY = "vk-provider/vk-provider-idle-history"
TOLERATION = {"key": "virtual-kubelet.io/provider", "operator": "Exists"}


class Cloud(StandIn):
    """With a quota and other tenants; starting takes 28 s and a second to pull, releasing 5 s, as C.8 has it."""

    def __init__(self, clock: Clock, rules: str, *, quota: float) -> None:
        self.timers = Timers(clock)
        self.service = Service(
            self.timers,
            SimulatedRuntime(self.timers, scenario.load(rules)),
            settings=lifecycle.Settings(start_delay_s=28.0, release_s=5.0, service_events=True),
            quota_cpu=quota,
        )
        self.calls: list[tuple[str, Mapping[str, str]]] = []
        self.refusing: set[str] = set()  # calls that the account may not do for now
        verifier = Verifier([Credential("testid", "testsecret")])
        self._server = Server(self.service, verifier, limits=RateLimits(enabled=False), faults=Faults())

    def answer(self, action: str, parameters: Mapping[str, str]) -> tuple[int, Json]:
        if action in self.refusing:
            return 403, {"RequestId": "req", "Code": "NoPermission", "Message": "not for now"}
        if len(self.calls) > 50_000:
            self.calls.clear()
        return super().answer(action, parameters)


class World:
    """quota, others: vCPU; `others` is the load of seven days. rules: how containers go, as a scenario."""

    def __init__(
        self,
        *,
        quota: float = 200.0,
        others: float = 60.0,
        peak: float | None = None,
        rules: str = RULES,
        start_cpu: int = DEEP,
        poll_s: float = 2.0,
        nodes: tuple[str, ...] = ("vk",),
        with_objects: bool = True,
        **options: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self.names, self.poll_s = loop, nodes, poll_s
        self.options = replace(PreemptibleOptions(enabled=True, first_spot_cpu=start_cpu), **options)
        self.memory_bytes = 20 * 1024 * GIB
        self.cloud = Cloud(Clock(loop.time, start=BIRTH.timestamp()), rules, quota=quota)
        self.cloud.service.others = Constant(others)
        self.api = Api(clock=self.now)
        self.kube = InKube(self.api)
        self._numbers = itertools.count()
        self._furnish(with_objects)
        self._keep_history(others, others if peak is None else peak)

    def _furnish(self, with_objects: bool) -> None:
        for name in (*NAMESPACES, "vk-provider", "crane-system"):
            self.api.create("namespaces", {"metadata": {"name": name}})
            furnish(self.api, name, "(CA of the cluster)")
        if with_objects:
            for name in ("crds", "objects"):
                for item in documents(ROOT / "deploy" / "preemptible" / f"{name}.yaml"):
                    self.apply(item)

    def apply(self, item: Json) -> Json:
        group, _, version = item["apiVersion"].rpartition("/")
        row = self.api.catalog.by_kind(item["apiVersion"], item["kind"])
        assert row is not None, (group, version, item["kind"])
        target = row if row.custom is not None else row.key
        body = {key: value for key, value in item.items() if key != "status"}
        return self.api.create(target, body, item["metadata"].get("namespace"))

    def patch(self, kind: str, name: str, body: Json) -> None:
        """Of what is cluster-wide and custom, merged."""
        row = self.api.catalog.by_kind("ensurance.crane.io/v1alpha1", kind)
        assert row is not None
        self.api.patch(row, name, None, body, kind="merge")

    def predict(self, algorithm: Json, *, node: str = "vk") -> None:
        """How the load is to be forecast, as somebody wrote it before the provider came."""
        metric = {"resourceIdentifier": "cpu", "type": "ResourceQuery", "resourceQuery": "cpu", "algorithm": algorithm}
        self.apply(
            {
                "apiVersion": "prediction.crane.io/v1alpha1",
                "kind": "TimeSeriesPrediction",
                "metadata": {"name": f"noderesource-{node}", "namespace": "crane-system"},
                "spec": {
                    "targetRef": {"kind": "Node", "name": node},
                    "predictionWindowSeconds": 3600,
                    "predictionMetrics": [metric],
                },
            }
        )

    def _keep_history(self, usual: float, peak: float) -> None:
        """As a process would have left it: seven days at the peak, and the last hour as usual."""
        history, now_s = History(), int(BIRTH.timestamp())
        for when_s in range(now_s - 7 * DAY_S, now_s, MINUTE_S):
            history.record(when_s, peak if when_s < now_s - 3600 else usual)
        self.keep_history(history)

    def keep_history(self, history: History) -> None:
        namespace, _, name = HISTORY.partition("/")
        if self.api.store.get("configmaps", namespace, name) is not None:
            self.api.delete("configmaps", name, namespace)
        self.api.create("configmaps", {"metadata": {"name": name}, "data": {KEY: history.encode()}}, namespace)

    # --- what a process is given

    def now(self) -> datetime:
        return BIRTH + timedelta(seconds=self._loop.time())

    @property
    def time_s(self) -> float:
        return self._loop.time()

    def settings_of(self, node: str) -> EciSettings:
        options = EciOptions(region="cn-hangzhou", vswitch=("vsw-a",), security_group="sg-a")
        return eci_settings(options, Whose(cluster="c", node=node))

    def driver(self, node: str) -> EciCloud:
        settings = self.settings_of(node)
        return EciCloud(settings, InProcessClient(settings, self.cloud, now=self.now, jitter=lambda: 0.0))

    async def ask(self, *_: Any) -> Any:
        raise AssertionError("no pod here has a probe of ours")

    @asynccontextmanager
    async def running(self, fate: Fate | None = None, names: tuple[str, ...] = ()) -> AsyncIterator[Process]:
        """The cluster, the cloud and a provider of these nodes, or all, until the block ends."""
        background = [
            asyncio.create_task(self.cloud.timers.run()),
            asyncio.create_task(run_controllers(self.api, node_grace_s=1e9)),
            asyncio.create_task(Collector(self.api).run()),
        ]
        process = self.start(fate, names)
        try:
            yield process
        finally:
            if not process.task.done():
                await process.end()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    def start(self, fate: Fate | None = None, names: tuple[str, ...] = ()) -> Process:
        """names: of the nodes that it serves, all of them unless told."""
        return Process(self, names or self.names, fate or Fate())

    # --- what people do

    def job(self, name: str, *, cpu: int, memory: str = "", parallelism: int = 1, **more: Any) -> None:
        """A preemptible Job."""
        amounts = {"gocrane.io/cpu": str(cpu), "gocrane.io/memory": memory or f"{cpu * 4}Gi"}
        spec: Json = {
            "completions": parallelism,
            "parallelism": parallelism,
            "backoffLimit": more.pop("backoff_limit", 4),
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
        }
        if (ttl_s := more.pop("ttl_s", None)) is not None:
            spec["ttlSecondsAfterFinished"] = ttl_s
        if more.pop("without_policy", False):
            del spec["podFailurePolicy"]
        restart = more.pop("restart", "Never")
        if restart != "Never":
            spec.pop("podFailurePolicy", None)
        template = self._template({"limits": amounts, "requests": amounts}, restart, image=more.pop("image", "batch"))
        labels = {"preemptible_job": "true", **more.pop("labels", {})}
        template["metadata"] = {"labels": labels, "annotations": more.pop("annotations", {})}
        template["spec"]["priorityClassName"] = "gocrane-preemptible"
        assert not more
        self.api.create("jobs.batch", {"metadata": {"name": name}, "spec": {**spec, "template": template}}, "default")

    def regular(
        self, name: str, *, cpu: int, memory: str = "", image: str = "regular", ttl_s: int | None = None
    ) -> None:
        """A Job of System 1: requests alone."""
        template = self._template(
            {"requests": {"cpu": str(cpu), "memory": memory or f"{cpu * 2}Gi"}}, "Never", image=image
        )
        spec: Json = {"backoffLimit": 4, "template": template}
        if ttl_s is not None:
            spec["ttlSecondsAfterFinished"] = ttl_s
        self.api.create("jobs.batch", {"metadata": {"name": name}, "spec": spec}, "default")

    def _template(self, resources: Json, restart: str, *, image: str) -> Json:
        return {
            "spec": {
                "restartPolicy": restart,
                "automountServiceAccountToken": False,
                "tolerations": [TOLERATION],
                "containers": [{"name": "main", "image": image, "resources": resources}],
            }
        }

    # --- what can be seen

    async def until(self, condition: Callable[[], object], *, within_s: float = 600.0, every_s: float = 0.5) -> float:
        """When it came true."""
        end_s = self.time_s + within_s
        while not condition():
            assert self.time_s < end_s, f"it never came true: {self.story()}"
            await asyncio.sleep(every_s)
        return self.time_s

    def published(self, node: str = "vk") -> int:
        found = self.api.store.get("nodes", "", node)
        capacity = found.object["status"].get("allocatable", {}) if found else {}
        return int(capacity.get("gocrane.io/cpu", 0))

    def pods(self, prefix: str = "") -> list[Json]:
        found, _ = self.api.list("pods", "default")
        return [each for each in found if each["metadata"]["name"].startswith(prefix)]

    def phases(self, prefix: str = "") -> dict[str, int]:
        counts: dict[str, int] = {}
        for pod in self.pods(prefix):
            phase = pod["status"].get("phase", "Pending")
            counts[phase] = counts.get(phase, 0) + 1
        return counts

    def running_count(self, prefix: str) -> int:
        return self.phases(prefix).get("Running", 0)

    def job_status(self, name: str) -> Json:
        return self.api.get("jobs.batch", name, "default").get("status") or {}

    def events(self, reason: str = "") -> list[Json]:
        found, _ = self.api.list("events")
        return [each for each in found if not reason or each["reason"] == reason]

    def messages(self, prefix: str) -> list[str]:
        """Why pods are not scheduled."""
        return [
            condition["message"]
            for pod in self.pods(prefix)
            for condition in pod["status"].get("conditions") or ()
            if (condition["type"], condition["status"]) == ("PodScheduled", "False")
        ]

    def groups(self) -> list[Group]:
        return [each for each in self.cloud.service.store if each.status != "Gone"]

    def used(self) -> float:
        return self.cloud.service.used_cpu

    def story(self) -> str:
        return f"t={self.time_s:.1f} published={[self.published(name) for name in self.names]} pods={self.phases()}"
