"""One node without a kernel: a kubelet whose use a test sets, an API server that holds one Node, and an agent."""

import asyncio
from collections import Counter

from vk_provider.errors import KubeError, KubeUnavailable
from vk_provider.kube.store import Store
from vk_provider.metrics import Registry
from vk_provider.model.pod import uid_of
from vk_provider.qos_agent.agent import Agent, Surroundings
from vk_provider.qos_agent.agent_metrics import AgentMetrics
from vk_provider.qos_agent.options import AgentOptions
from vk_provider.qos_agent.pod_view import PodView
from vk_provider.qos_agent.readings import PodReading, Reading, Sample
from vk_provider.qos_agent.state_files import StateFiles
from vk_provider.qos_agent.yielding import Yielding

GIB = 1024**3
NOW = 1_700_000_000.0


def store():
    return Store(key=uid_of, version=lambda item: item["metadata"]["resourceVersion"])


class Kubelet:
    def __init__(self, world):
        self.world, self.trouble, self.cpu_s, self.pod_s = world, None, 0.0, Counter()

    async def read(self):
        if self.trouble is not None:
            raise self.trouble
        world = self.world
        pods = {
            name: PodReading(Sample(world.now_s, self.pod_s[name]), Sample(world.now_s, memory))
            for name, (_, memory) in world.used.items()
        }
        return Reading(Sample(world.now_s, self.cpu_s), Sample(world.now_s, world.memory), pods)


class Api:
    """Strategic merge of a Node's status, and evictions."""

    def __init__(self, world):
        self.world, self.writes, self.evicted, self.refuses = world, [], [], {}

    async def patch(self, path, body, **_):
        self.writes.append((path, body))
        if "timeseriespredictions" in path:
            found = next(self.world.predictions.values())
            self.world.predictions.apply(self.world._versioned({**found, **body}))
            return {}
        node = next(self.world.nodes.values())
        status = dict(node["status"])
        for key, value in body["status"].items():
            if key == "conditions":
                kinds = {each["type"]: each for each in [*status.get("conditions", ()), *value]}
                status[key] = list(kinds.values())
            else:
                status[key] = {**status[key], **value}
        return self.world.put_node({**node, "status": status})

    async def post(self, path, body, **_):
        self.writes.append((path, body))
        name = body["metadata"]["name"]
        if status := self.refuses.get(name):
            raise KubeError("refused", status=status)
        self.evicted.append((name, body["deleteOptions"]))
        pod = next(pod for pod in self.world.pods.values() if pod["metadata"]["name"] == name)
        self.world.put_pod({**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
        return {}


class Recorder:
    def __init__(self):
        self.events = []

    def put(self, event):
        self.events.append((event["type"], event["reason"], event["message"]))


class World:
    """Eight cores and 16 GiB. used: pod's name → cores and bytes; cpu and memory: of the node, theirs included."""

    def __init__(self, tmp_path, *, node=None, **options):
        self.now_s, self.cpu, self.memory, self.used, self.version = NOW, 2.0, 4.0 * GIB, {}, 0
        self.nodes, self.pods = store(), store()
        self.predictions = store()
        self.pod_rules, self.node_rules, self.actions = store(), store(), store()
        self.kubelet, self.api, self.recorder, self.alive = Kubelet(self), Api(self), Recorder(), True
        self.directory = tmp_path
        sides = {"cpu": "8", "memory": "16Gi"}
        self.put_node(
            node or {"metadata": {"name": "n", "uid": "n"}, "status": {"capacity": sides, "allocatable": sides}}
        )
        self.options = AgentOptions(node_name="n", cgroup_root="", **options)
        self.begin()

    def begin(self):
        """A new process, which finds what the one before has left."""
        registry, state = Registry(), StateFiles(str(self.directory))
        self.view = PodView(self.pods, self.pod_rules, self.node_rules, self.actions, changed=lambda: None)
        self.agent = Agent(
            self.options,
            Surroundings(
                client=self.api,
                kubelet=self.kubelet,
                recorder=self.recorder,
                nodes=self.nodes,
                predictions=self.predictions,
                view=self.view,
                yielding=Yielding(self.view, root=None, state=state, registry=registry),
                state=state,
                metrics=AgentMetrics(registry),
                is_alive=lambda: self.alive,
            ),
            wall=lambda: self.now_s,
        )
        return self

    def _versioned(self, item, **metadata):
        self.version += 1
        return {**item, "metadata": {**item["metadata"], **metadata, "resourceVersion": str(self.version)}}

    def put_node(self, node):
        made = self._versioned(node)
        self.nodes.apply(made)
        return made

    def put_pod(self, pod):
        self.pods.apply(self._versioned(pod))

    def job(
        self, name, *, cpu=1, memory="1Gi", uses=(0.0, 0.0), started="2026-01-01T00:00:00Z", labels=None, priority=0
    ):
        limits = {"gocrane.io/cpu": str(cpu), "gocrane.io/memory": memory}
        metadata = {"namespace": "default", "name": name, "uid": f"u-{name}", "labels": labels or {}}
        spec = {"containers": [{"name": "main", "resources": {"limits": limits}}], "priority": priority}
        status = {"phase": "Running", "qosClass": "BestEffort", "startTime": started}
        self.used["default", name] = uses
        self.put_pod({"metadata": metadata, "spec": spec, "status": status})

    def end_pod(self, name):
        self.pods.remove(f"u-{name}")
        self.used.pop(("default", name), None)

    def rules(self, *documents):
        stores = {"PodQOS": self.pod_rules, "NodeQOS": self.node_rules, "AvoidanceAction": self.actions}
        for each in documents:
            stores[each["kind"]].apply(self._versioned(each, uid=f"{each['kind']}-{each['metadata']['name']}"))

    def rounds(self, count=1):
        """What the Node publishes after each."""
        return [self._round() for _ in range(count)]

    def _round(self):
        self.now_s += 5
        self.kubelet.cpu_s += 5 * self.cpu
        for name, (cpu, _) in self.used.items():
            self.kubelet.pod_s[name] += 5 * cpu
        asyncio.run(self.agent.round())
        return self.published

    @property
    def published(self):
        status = next(self.nodes.values())["status"]
        cpu = status["allocatable"].get("gocrane.io/cpu")
        assert cpu == status["capacity"].get("gocrane.io/cpu")
        return None if cpu is None else int(cpu)

    @property
    def reasons(self):
        return [reason for _, reason, _ in self.recorder.events]


UNREADABLE = KubeUnavailable("the kubelet does not answer")
