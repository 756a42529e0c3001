"""Probes of one pod or namespace hold up nobody else's, whatever the pods say of theirs. In virtual time."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.control.test_pods import in_no_time
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind
from vk_provider.pacing.callers import Caller, Purpose, caller
from vk_provider.probes.prober import Prober
from vk_provider.probes.results import ProbeResult

STARTED = "2026-01-02T03:00:00Z"
HOSTILE = {"httpGet": {"port": 9}, "timeoutSeconds": 3600, "periodSeconds": 1}
HANGING_EXEC = {"exec": {"command": ["sleep", "inf"]}, "timeoutSeconds": 3600, "periodSeconds": 1}
QUICK_BUT_MANY = {"tcpSocket": {"port": 9}, "timeoutSeconds": 5, "periodSeconds": 1}
HONEST = {"httpGet": {"port": 80}, "timeoutSeconds": 6, "periodSeconds": 10}


def loop_time():
    return asyncio.get_running_loop().time()


class Crowd:
    """Pods with startup probes that have come to run, and what is asked of them. Containers named hostile-* hang."""

    def __init__(self):
        self.asked: list[tuple[float, str]] = []  # when, instance
        self.callers: set[Caller] = set()
        self.under_way = self.most = 0
        self.pods: dict[str, tuple[dict, Instance]] = {}
        self.prober = Prober(
            self._ask,
            changed=lambda uid: None,
            tell=lambda *words, **more: None,
            jitter=lambda: 0.5,
            clock=lambda: datetime.fromisoformat(STARTED).astimezone(UTC),
        )

    async def _ask(self, place, probe):
        self.asked.append((loop_time(), place.instance_id))
        self.callers.add(caller())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if place.container.startswith("hostile"):
                await asyncio.sleep(probe.timeout_s)
                return ProbeResult(False, "no answer", unreached=True)
            await asyncio.sleep(0.05)
            return ProbeResult(True)
        finally:
            self.under_way -= 1

    def add(self, name, probe, *, namespace, containers=("main",)):
        stated = [{"name": each, "image": "perl", "startupProbe": probe} for each in containers]
        pod = {
            "metadata": {"name": name, "namespace": namespace, "uid": name},
            "spec": {"restartPolicy": "Always", "containers": stated},
            "status": {"phase": "Running"},
        }
        running = ContainerState(StateKind.RUNNING, started_at=STARTED)
        reports = tuple(ContainerReport(name=each, state=running) for each in containers)
        instance = Instance(name, Owner(uid=name), InstanceStatus.RUNNING, ip="10.0.0.9", containers=reports)
        self.pods[name] = pod, instance
        self.prober.observe(pod, instance)

    def has_started(self, name):
        return all(report.started for report in self.prober.observe(*self.pods[name]).containers)

    async def until_started(self, name):
        began = loop_time()
        async with asyncio.timeout(120):
            while not self.has_started(name):  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.05)
        return loop_time() - began


@pytest.mark.parametrize("probe", [HOSTILE, HANGING_EXEC, QUICK_BUT_MANY])
@in_no_time
async def test_a_thousand_hostile_pods_of_one_namespace_delay_nobody_in_another(probe):
    """S5"""
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        for number in range(1000):
            containers = [f"hostile-{each}" for each in range(4)]
            crowd.add(f"bad-{number}", probe, namespace="bad", containers=containers)
        await asyncio.sleep(30)
        for number in range(10):
            crowd.add(f"good-{number}", HONEST, namespace="good")
            assert await crowd.until_started(f"good-{number}") <= 0.2
        assert crowd.most <= 256
        running.cancel()


@in_no_time
async def test_many_hostile_namespaces_delay_others_by_their_number_and_not_by_their_timeouts():
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        for number in range(1000):
            crowd.add(f"bad-{number}", HOSTILE, namespace=f"bad-{number}", containers=["hostile-0", "hostile-1"])
        await asyncio.sleep(30)
        crowd.add("good", HONEST, namespace="good")
        assert await crowd.until_started("good") <= 1 + 1000 / 128 + 0.2
        running.cancel()


@in_no_time
async def test_two_pods_whose_probes_hang_do_not_delay_a_third_in_their_own_namespace():
    """S5"""
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        for number in range(2):
            containers = [f"hostile-{each}" for each in range(18)]
            crowd.add(f"bad-{number}", HOSTILE, namespace="same", containers=containers)
        crowd.add("good", HONEST, namespace="same")
        assert await crowd.until_started("good") <= 0.2
        assert len([one for one in crowd.asked if one[1].startswith("bad")]) <= 8
        running.cancel()


@in_no_time
async def test_a_slow_answer_is_awaited_as_long_as_its_pod_says():
    """Beside a namespace that has as many slow ones as it can get."""
    crowd = Crowd()
    crowd.add(
        "slow", {**HOSTILE, "timeoutSeconds": 40, "failureThreshold": 1}, namespace="good", containers=["hostile"]
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        for number in range(1000):
            crowd.add(f"bad-{number}", HOSTILE, namespace="bad", containers=["hostile-0"])
        crowd.add("good", HONEST, namespace="good")
        assert await crowd.until_started("good") <= 0.2  # so that silence is known to be the pod's own
        await asyncio.sleep(39)
        assert crowd.prober.failing("slow") is None
        await asyncio.sleep(2)
        assert crowd.prober.failing("slow") is not None
        running.cancel()


@in_no_time
async def test_a_pod_that_is_gone_holds_nothing():
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        crowd.add("bad", HOSTILE, namespace="bad", containers=[f"hostile-{each}" for each in range(18)])
        await asyncio.sleep(5)
        assert crowd.under_way == 4
        crowd.prober.remove("bad")
        await asyncio.sleep(0.1)
        assert crowd.under_way == 0
        assert len(crowd.asked) == 4
        assert len(crowd.prober._slots) == 0
        running.cancel()


@in_no_time
async def test_what_a_probe_asks_of_the_cloud_is_asked_as_a_probe_of_its_pod():
    """S11"""
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(crowd.prober.run())
        crowd.add("web", HONEST, namespace="good")
        await crowd.until_started("web")
        running.cancel()
    assert crowd.callers == {Caller(Purpose.PROBE, "good", "web")}
