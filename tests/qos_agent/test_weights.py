"""Who gets which weight: a table, and for all pods in any order, with the process ended at any write and a kubelet that
resizes in between: regular pods have nearly everything beside idle ones, and their own weights once there are none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from vk_provider.qos_agent.cgroup_layout import BEST_EFFORT, BURSTABLE, GUARANTEED, Layout, quota_us
from vk_provider.qos_agent.weights import Before, Observed, PodGroup, Role, Write, decode, encode, plan, restoration

V1, V2 = Layout(1, "kubepods"), Layout(2, "kubepods.slice")
UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


@pytest.mark.parametrize(
    ("layout", "qos_class", "path"),
    [
        (V1, BEST_EFFORT, f"kubepods/besteffort/pod{UID}"),
        (V1, BURSTABLE, f"kubepods/burstable/pod{UID}"),
        (V1, GUARANTEED, f"kubepods/pod{UID}"),
        (Layout(1, "kubelet/kubepods"), BURSTABLE, f"kubelet/kubepods/burstable/pod{UID}"),
        (
            V2,
            BEST_EFFORT,
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice",
        ),
        (V2, GUARANTEED, "kubepods.slice/kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice"),
        (
            Layout(2, "kubelet.slice/kubelet-kubepods.slice"),
            BEST_EFFORT,
            (
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
                "kubelet-kubepods-besteffort-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice"
            ),
        ),
    ],
)
def test_where_a_pods_group_is(layout, qos_class, path):
    assert layout.pod(UID, qos_class) == path


@pytest.mark.parametrize(
    ("layout", "millis", "weight"),
    [(V1, 0, 2), (V1, 1, 2), (V1, 100, 102), (V1, 1000, 1024), (V2, 0, 1), (V2, 100, 4), (V2, 1000, 39)],
)
def test_what_a_kubelet_gives(layout, millis, weight):
    assert layout.kubelet_weight(millis) == weight


@pytest.mark.parametrize(
    ("layout", "text", "quota"),
    [
        (V1, "-1\n", None),
        (V1, "50000\n", 50_000),
        (V2, "max 100000\n", None),
        (V2, "5000 10000\n", 50_000),
        (V2, "", None),
    ],
)
def test_quotas_are_read(layout, text, quota):
    assert layout.quota_of(text) == quota
    assert layout.quota_of(layout.quota_text(quota)) == quota


def group(uid, role=Role.REGULAR, qos_class=BEST_EFFORT, weight=2, **fields):
    return PodGroup(
        uid=uid,
        qos_class=qos_class,
        role=role,
        kubelet_weight=weight,
        is_preemptible=role is not Role.REGULAR,
        **fields,
    )


def seen(weight, *, is_idle=False, quota=None):
    return Observed(weight=weight, is_idle=is_idle, quota_us=quota)


@pytest.mark.parametrize(
    ("pods", "observed", "writes"),
    [
        pytest.param([group("a")], {"a": seen(2)}, [], id="nothing preemptible, nothing touched"),
        pytest.param(
            [group("a"), group("p", Role.YIELDS)],
            {"a": seen(2), "p": seen(2)},
            [Write("a", "weight", "1024"), Write("p", "idle", "1")],
            id="the neighbour is raised before the other becomes idle",
        ),
        pytest.param(
            [group("a"), group("p", Role.YIELDS)],
            {"a": seen(2)},
            [Write("a", "weight", "1024")],
            id="raised already while the preemptible pod has no group yet",
        ),
        pytest.param(
            [group("a", qos_class=BURSTABLE, weight=102), group("p", Role.YIELDS)],
            {"a": seen(102), "p": seen(2)},
            [Write("p", "idle", "1")],
            id="another folder is left alone",
        ),
        pytest.param(
            [group("a"), group("p", Role.YIELDS)],
            {"a": seen(2), "p": seen(2, is_idle=None)},
            [Write("a", "weight", "1024")],
            id="a kernel without cpu.idle: the weights alone do it",
        ),
        pytest.param(
            [group("a"), group("p", Role.SHARES, shares_weight=4096)],
            {"a": seen(2), "p": seen(2)},
            [Write("p", "weight", "4096")],
            id="a preemptible pod of a higher CPU priority weighs what it requests",
        ),
        pytest.param(
            [group("p", Role.YIELDS, quota_us=50_000)],
            {"p": seen(3, is_idle=True)},
            [Write("p", "quota", "50000")],
            id="throttled",
        ),
        pytest.param(
            [group("p", Role.YIELDS)], {"p": seen(3, is_idle=True, quota=5)}, [Write("p", "quota", "-1")], id="no more"
        ),
        pytest.param([group("a")], {"a": seen(1024)}, [Write("a", "weight", "2")], id="what a lost memory raised"),
        pytest.param(
            [group("p", Role.SHARES, shares_weight=2)],
            {"p": seen(3, is_idle=True)},
            [Write("p", "idle", "0"), Write("p", "weight", "2")],
            id="awake again: a group weighs 1024 then, not what it did",
        ),
    ],
)
def test_writes(pods, observed, writes):
    assert list(plan(V1, pods, observed, {}).writes) == writes


def test_burstable_pods_are_raised_in_proportion():
    pods = [
        group("none", qos_class=BURSTABLE, weight=2),
        group("some", qos_class=BURSTABLE, weight=102),
        group("huge", qos_class=BURSTABLE, weight=65_536),
        group("p", Role.YIELDS, qos_class=BURSTABLE, weight=102),
    ]
    own = {"none": 2, "some": 102, "huge": 65_536, "p": 102}
    made = plan(V1, pods, {uid: seen(weight) for uid, weight in own.items()}, {})
    given = {write.uid: int(write.value) for write in made.writes if write.file == "weight"}
    assert given == {"none": 300, "some": 408, "huge": 262_144}


def test_a_resize_by_the_kubelet_becomes_the_pods_own_weight():
    pods = [group("a", qos_class=BURSTABLE, weight=102), group("p", Role.YIELDS, qos_class=BURSTABLE)]
    first = plan(V1, pods, {"a": seen(102), "p": seen(2)}, {})
    resized = plan(V1, pods, {"a": seen(204), "p": seen(3, is_idle=True)}, first.memory)
    assert resized.memory["a"].own == 204
    after = plan(V1, pods[:1], {"a": seen(int(resized.writes[0].value))}, resized.memory)
    assert list(after.writes) == [Write("a", "weight", "204")]


def test_the_memory_is_kept_as_json():
    memory = {"a": Before(2, (1024, 2)), "p": Before(2, was_idle=True)}
    assert decode({uid: list(each) for uid, each in encode(memory).items()}) == memory
    assert decode({"a": ["x"], "b": 3, "c": [1]}) == {}
    assert decode(None) == {}


# --- for all ----------------------------------------------------------------------------------------------------------


class Kernel:
    """Control groups as Linux has them."""

    def __init__(self, layout):
        self.layout, self.idle, self.weight, self.quota = layout, {}, {}, {}

    def make(self, uid, weight):
        self.idle[uid], self.weight[uid], self.quota[uid] = False, weight, None

    def write(self, write):
        if write.file == "idle":
            was, self.idle[write.uid] = self.idle[write.uid], write.value == "1"
            if was and not self.idle[write.uid]:
                self.weight[write.uid] = self.layout.regular_weight
        elif write.file == "weight":
            assert not self.idle[write.uid], "EINVAL"
            self.weight[write.uid] = int(write.value)
        else:
            self.quota[write.uid] = self.layout.quota_of(write.value)

    def observed(self):
        return {
            uid: Observed(weight=0 if idle else self.weight[uid], is_idle=idle, quota_us=self.quota[uid])
            for uid, idle in self.idle.items()
        }

    def load(self, uid):
        """What a group counts among its siblings."""
        unit = 10.24 if self.layout.version == 2 else 1
        return 3 if self.idle[uid] else self.weight[uid] * unit


CLASSES = st.sampled_from([BEST_EFFORT, BURSTABLE])
PODS = st.lists(
    st.tuples(CLASSES, st.sampled_from(list(Role)), st.integers(0, 20_000), st.one_of(st.none(), st.integers(1, 64))),
    min_size=1,
    max_size=8,
)
STORY = st.lists(
    st.one_of(
        st.tuples(st.just("role"), st.integers(0, 7), st.sampled_from(list(Role))),
        st.tuples(st.just("resize"), st.integers(0, 7), st.integers(1, 20_000)),
        st.tuples(st.just("gone"), st.integers(0, 7), st.none()),
        st.tuples(st.just("crash"), st.integers(0, 12), st.booleans()),
        st.tuples(st.just("settle"), st.none(), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=examples(400), deadline=None)
@given(layout=st.sampled_from([V1, V2]), pods=PODS, story=STORY)
def test_regular_pods_win_beside_idle_ones_and_get_their_own_weights_back(layout, pods, story):
    kernel, memory, known = Kernel(layout), {}, {}
    for place, (qos_class, role, millis, cores) in enumerate(pods):
        millis = 0 if qos_class == BEST_EFFORT else millis
        uid, weight = f"u{place}", layout.kubelet_weight(millis)
        quota = None if cores is None or role is Role.REGULAR else quota_us(cores)
        known[uid] = group(uid, role, qos_class, weight, shares_weight=layout.kubelet_weight(2000), quota_us=quota)
        kernel.make(uid, weight)
    own = {uid: pod.kubelet_weight for uid, pod in known.items()}

    def round_(limit=None):
        nonlocal memory
        made = plan(layout, known.values(), kernel.observed(), memory)
        memory = decode({uid: list(each) for uid, each in encode(made.memory).items()})
        for write in made.writes[:limit]:
            kernel.write(write)
        return made

    def settle():
        for _ in range(3):
            if not round_().writes:
                return
        raise AssertionError("it never comes to rest")

    for what, place, value in story:
        uid = f"u{place}"
        if what == "settle":
            settle()
        elif what == "crash":
            round_(place)
        elif uid in known and what == "role" and (known[uid].is_preemptible == (value is not Role.REGULAR)):
            known[uid] = group(
                uid, value, known[uid].qos_class, known[uid].kubelet_weight, shares_weight=known[uid].shares_weight
            )
        elif uid in known and what == "resize" and known[uid].qos_class == BURSTABLE and not kernel.idle[uid]:
            settle()  # a kubelet's write between two of ours is told apart only when ours are all done
            if not kernel.idle[uid] and layout.kubelet_weight(value) not in (own[uid], kernel.weight[uid]):
                own[uid] = kernel.weight[uid] = layout.kubelet_weight(value)
                known[uid] = group(
                    uid, known[uid].role, BURSTABLE, own[uid], shares_weight=2, quota_us=known[uid].quota_us
                )
        elif uid in known and what == "gone":
            del known[uid], kernel.idle[uid], kernel.weight[uid], kernel.quota[uid]
    settle()
    for qos_class in (BEST_EFFORT, BURSTABLE):
        folder = [pod for pod in known.values() if pod.qos_class == qos_class]
        yielding = [pod for pod in folder if pod.role is Role.YIELDS]
        assert all(kernel.idle[pod.uid] == (pod.role is Role.YIELDS) for pod in folder)
        for pod in folder:
            assert not pod.is_preemptible or kernel.quota[pod.uid] == pod.quota_us
            if pod.role is Role.REGULAR and yielding:
                assert kernel.load(pod.uid) / (kernel.load(pod.uid) + 3) >= 0.97
            elif pod.role is Role.REGULAR:
                assert kernel.weight[pod.uid] == own[pod.uid]
    for _ in range(3):
        made = restoration(layout, known.values(), kernel.observed(), memory)
        memory = made.memory
        for write in made.writes:
            kernel.write(write)
    assert memory == {}
    assert {uid: kernel.weight[uid] for uid in known} == {uid: own[uid] for uid in known}
    assert not any(kernel.idle.values())
    assert not any(kernel.quota[uid] for uid, pod in known.items() if pod.is_preemptible)
