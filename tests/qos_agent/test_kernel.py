"""What Linux makes of it, on control groups of this machine: shares of one processor, between processes of our own.

Two busy loops are pinned to one processor and share what the machine leaves them, however much that is: only the ratio
counts, over as much processor time as it takes to tell it.
"""

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from vk_provider.qos_agent.cgroup_files import CgroupFiles
from vk_provider.qos_agent.cgroup_layout import BEST_EFFORT, BURSTABLE, Layout
from vk_provider.qos_agent.weights import PodGroup, Role, Write, plan, restoration

LAYOUT = Layout(1, "kubepods")
BUSY = "while :; do :; done"
ENOUGH_S, WITHIN_S = 0.4, 300


def own_group() -> Path | None:
    """Our own group of the cpu controller, old style, if we may make others in it and it knows `cpu.idle`."""
    for line in Path("/proc/self/cgroup").read_text().splitlines() if Path("/proc/self/cgroup").exists() else ():
        _, controllers, path = line.split(":", 2)
        folder = Path("/sys/fs/cgroup/cpu", path.lstrip("/"))
        if "cpu" in controllers.split(",") and os.geteuid() == 0 and os.access(folder, os.W_OK):
            return folder
    return None


GROUP = own_group()
pytestmark = pytest.mark.skipif(
    GROUP is None or not list(GROUP.parent.glob("*/cpu.idle")) + list(GROUP.glob("cpu.idle")),
    reason="needs root, and control groups of the old style with cpu.idle (Linux 5.15)",
)


class Node:
    """The folders of a kubelet, with processes in them, all on one processor."""

    def __init__(self, root: Path) -> None:
        self.root, self.pods, self.processes, self.memory = root, {}, {}, {}
        for folder, weight in (("kubepods", 1024), ("kubepods/besteffort", 2), ("kubepods/burstable", 102)):
            (root / folder).mkdir()
            (root / folder / "cpu.shares").write_text(str(weight))
        self.files = CgroupFiles(root, LAYOUT)
        self.cpu = min(os.sched_getaffinity(0))

    def pod(self, uid, role=Role.REGULAR, qos_class=BEST_EFFORT, weight=2):
        self.pods[uid] = PodGroup(
            uid=uid,
            qos_class=qos_class,
            role=role,
            kubelet_weight=weight,
            is_preemptible=role is not Role.REGULAR,
        )
        self.folder(uid).mkdir()
        self.write(uid, "cpu.shares", weight)
        return uid

    def folder(self, uid):
        return self.root / LAYOUT.pod(uid, self.pods[uid].qos_class)

    def write(self, uid, file, value):
        (self.folder(uid) / file).write_text(str(value))

    def read(self, uid, file):
        return (self.folder(uid) / file).read_text().strip()

    def start(self, uid, container="main"):
        group = self.folder(uid) / container
        group.mkdir(exist_ok=True)

        def enter():
            (group / "cgroup.procs").write_text("0")
            os.sched_setaffinity(0, {self.cpu})

        self.processes[uid] = subprocess.Popen(["sh", "-c", BUSY], preexec_fn=enter)

    def used_s(self, uid):
        return int(Path(f"/proc/{self.processes[uid].pid}/schedstat").read_text().split()[0]) / 1e9

    def share(self, regular, preemptible):
        """Of what the two get together, the regular one's."""
        before, deadline = (self.used_s(regular), self.used_s(preemptible)), time.monotonic() + WITHIN_S
        while True:
            time.sleep(0.1)
            one, other = self.used_s(regular) - before[0], self.used_s(preemptible) - before[1]
            if one + other >= ENOUGH_S:
                return one / (one + other)
            assert time.monotonic() < deadline, "the machine leaves us no processor"

    def agent(self):
        """One reconcile: the plan, and what it says done."""
        pods = list(self.pods.values())
        made = plan(LAYOUT, pods, self.files.observe(pods), self.memory)
        self.memory = made.memory
        assert self.files.apply(made.writes, pods) == []
        return made

    def end(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
            process.wait()
        for folder, _, _ in os.walk(self.root, topdown=False):
            Path(folder).rmdir()


@pytest.fixture
def node():
    root = GROUP / f"vk-test-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    node = Node(root)
    try:
        yield node
    finally:
        node.end()


@pytest.fixture
def pair(node):
    """A regular BestEffort pod, and a preemptible one beside it."""
    for uid, role in (("regular", Role.REGULAR), ("preemptible", Role.YIELDS)):
        node.pod(uid, role)
        node.start(uid)
    return node


def test_idle_alone_makes_a_best_effort_neighbour_worse_off_and_the_agent_gives_it_nearly_all(pair):
    pair.write("preemptible", "cpu.idle", 1)
    assert pair.share("regular", "preemptible") < 0.48
    pair.agent()
    assert pair.share("regular", "preemptible") >= 0.97


def test_from_the_start_of_the_regular_pod_and_everything_back_while_it_sleeps(node):
    node.pod("preemptible", Role.YIELDS)
    node.start("preemptible")
    node.agent()
    node.pod("regular")  # as its kubelet makes the group, before any container
    node.agent()
    node.start("regular")
    time.sleep(0.05)
    assert node.share("regular", "preemptible") >= 0.97
    node.processes["regular"].send_signal(signal.SIGSTOP)
    assert node.share("regular", "preemptible") <= 0.03


def test_raising_takes_nothing_from_another_folder(node):
    for uid, qos_class, weight in (("burstable", BURSTABLE, 102), ("besteffort", BEST_EFFORT, 2)):
        node.pod(uid, qos_class=qos_class, weight=weight)
        node.start(uid)
    node.pod("preemptible", Role.YIELDS)
    node.agent()
    assert node.read("besteffort", "cpu.shares") == "1024"
    assert node.share("burstable", "besteffort") >= 0.9  # 98 by the folders' weights


def test_a_weight_cannot_be_written_while_a_group_is_idle_and_is_another_one_afterwards(node):
    node.pod("preemptible", Role.YIELDS)
    node.agent()
    failures = node.files.apply([Write("preemptible", "weight", "2")], node.pods.values())
    assert len(failures) == 1
    assert "Invalid argument" in failures[0]
    node.write("preemptible", "cpu.idle", 0)
    assert node.read("preemptible", "cpu.shares") == "1024"


def test_it_outlasts_the_containers(pair):
    pair.agent()
    first = pair.processes["preemptible"]
    first.kill()
    first.wait()
    pair.start("preemptible", "main-1")
    assert pair.share("regular", "preemptible") >= 0.97
    assert pair.agent().writes == ()


def test_restored_everything_is_as_the_kubelet_made_it_and_no_folder_was_ever_written(pair):
    folders = ("kubepods", "kubepods/besteffort", "kubepods/burstable")
    before = [(pair.root / each / name).read_text() for each in folders for name in ("cpu.shares", "cpu.idle")]
    pair.agent()
    pods = list(pair.pods.values())
    made = restoration(LAYOUT, pods, pair.files.observe(pods), pair.memory)
    assert pair.files.apply(made.writes, pods) == []
    assert [pair.read(uid, "cpu.shares") for uid in pair.pods] == ["2", "2"]
    assert [pair.read(uid, "cpu.idle") for uid in pair.pods] == ["0", "0"]
    after = [(pair.root / each / name).read_text() for each in folders for name in ("cpu.shares", "cpu.idle")]
    assert after == before


def test_a_quota_is_set_and_lifted(pair):
    pods = list(pair.pods.values())
    assert pair.files.apply([Write("preemptible", "quota", LAYOUT.quota_text(20_000))], pods) == []
    assert pair.files.observe(pods)["preemptible"].quota_us == 20_000
    pair.agent()
    assert pair.files.observe(pods)["preemptible"].quota_us is None


def test_the_kubelets_folder_is_found(pair, tmp_path):
    (tmp_path / "cpu").symlink_to(pair.root)
    found = CgroupFiles.found(tmp_path)
    assert found is not None
    assert found.layout == LAYOUT
    assert CgroupFiles.found(tmp_path / "nothing") is None
