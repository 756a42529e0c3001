"""`status`, `explain`, `instances` and completion: what they print, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from tests import published
from vk_provider.arguments import VERBS
from vk_provider.commands import completion, explanation, instances, status
from vk_provider.commands.cluster import NoAnswer
from vk_provider.commands.terminal import Style, duration, table
from vk_provider.errors import CloudError, NotFound
from vk_provider.kube import paths
from vk_provider.model.instance import Instance, InstanceStatus, Owner
from vk_provider.snapshot.document import (
    Check,
    Condition,
    Explanation,
    Instances,
    Leadership,
    PodCounts,
    Snapshot,
    WaitingGroup,
)

from .world import EXPLAIN, NODE, NOW, SNAPSHOT, Api, a_node, a_pod, a_snapshot, a_summary, plain, refused, stamp

TERMINAL = Style(width=80)
HOSTILE = "x\x1b[31m\nsecond line <script>" + "y" * 300


# --- status -----------------------------------------------------------------------------------------------------------


async def test_status_of_all_nodes_and_a_document_that_reads_as_what_it_was() -> None:
    api = Api.healthy()
    found = await status.collect(api)
    assert [node for node, _ in found] == [NODE]
    [(_, shot)] = found
    assert shot == a_snapshot()
    assert msgspec.json.decode(msgspec.json.encode(shot), type=Snapshot) == shot
    published.document("status", msgspec.json.encode([shot]).decode())
    text = status.text(found)
    for word in (NODE, "ready", "up 3h", "alone", "cn-hangzhou answers", "1 (1 Running)", "0.4400 CNY/h"):
        assert word in text


async def test_a_node_whose_provider_does_not_answer_says_why() -> None:
    api = Api.healthy()
    api.answers[SNAPSHOT] = refused(503, "dial tcp: refused")
    text = status.text(await status.collect(api), TERMINAL)
    assert "no answer" in text
    assert "dial tcp: refused" in text
    assert "vk-provider doctor" in " ".join(text.split())


async def test_who_may_not_ask_is_told_which_right_it_takes() -> None:
    api = Api.healthy()
    api.answers[SNAPSHOT] = refused(403, "forbidden")
    [(_, why)] = await status.collect(api)
    assert "nodes/proxy" in str(why)


def test_status_in_80_columns_with_everything_wrong() -> None:
    shot = a_snapshot(
        is_ready=False,
        checks=(Check(name="syncloop", is_healthy=False, message=HOSTILE, age_s=75.0),),
        leadership=Leadership(is_leader=False, lease="vk-provider/leader", remaining_s=0.0),
        pod_counts=PodCounts(
            total=5000,
            by_phase={"Pending": 4000, "Running": 1000},
            waiting=tuple(
                WaitingGroup(reason=f"Reason{number}", count=9, message=HOSTILE, examples=("web/" + "n" * 253,))
                for number in range(20)
            ),
        ),
        instances=Instances(
            total=1, by_status={"Running": 1}, orphans=(a_summary(is_orphan=True),), orphans_total=7, orphans_deleted=2
        ),
    )
    text = status.text([(NODE, shot)], TERMINAL)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for word in ("not ready", "does not lead", "4000 Pending", "Reason0", "and 12 more reasons", "eci-api-0, …"):
        assert word in text


# --- explain ----------------------------------------------------------------------------------------------------------


def an_explanation(**more: object) -> dict:
    pod = a_summary(phase="Pending", instance="", reason="NoStock", message="sold out")
    return plain(Explanation(**{"at": stamp(NOW), "node": NODE, "pod": pod, **more}))


WAITS = {
    "action": "RequeueAfter",
    "decision": "waiting to try the create again",
    "problem": "OperationDenied.NoStock: sold out (request 1-2-3)",
    "create_failures": 4,
    "next_create_s": 42.0,
    "next_try_s": 42.0,
}


@pytest.mark.parametrize(
    ("known", "answer", "next_try"),
    [
        pytest.param(WAITS, "the pod waits: OperationDenied.NoStock", "in 42s", id="no stock"),
        pytest.param(
            {**WAITS, "is_refused": True, "problem": "spec.hostPID: an instance shares nothing"},
            "the pod is refused and will not run: spec.hostPID",
            "in 42s",
            id="refused",
        ),
        pytest.param({"next_try_s": 0.0, "is_in_queue": True}, "the pod waits: sold out", "now", id="in the queue"),
        pytest.param({}, "the pod waits: sold out", "when the pod", id="only a change will do"),
        pytest.param(
            {**WAITS, "waits_for_change": True}, "the pod waits", "or as soon as what it waits for", id="either"
        ),
    ],
)
async def test_explain(known: dict, answer: str, next_try: str) -> None:
    api = Api.healthy()
    api.answers[EXPLAIN] = an_explanation(**known)
    api.answers[paths.pod("web", "api-0")] = a_pod(phase="Pending")
    found = await explanation.explained(api, "web", "api-0")
    assert found.answer.startswith(answer)
    text = explanation.text(found, TERMINAL)
    assert next_try in text
    assert max(map(len, text.splitlines())) <= 80
    document = published.document("explain", explanation.as_json(found))
    assert document["explanation"]["pod"]["reason"] == "NoStock"


async def test_a_pod_that_no_node_has_is_explained_by_the_scheduler() -> None:
    api = Api.healthy()
    pod = a_pod(phase="Pending")
    pod["spec"]["nodeName"] = ""
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]
    api.answers[paths.pod("web", "api-0")] = pod
    found = await explanation.explained(api, "web", "api-0")
    assert "has not bound the pod" in found.answer
    assert "0/3 nodes are available" in found.answer


@pytest.mark.parametrize(
    ("identity", "answer"),
    [("c1/virtual-kubelet", "does not have the pod (yet)"), ("", "is no virtual node of this provider")],
)
async def test_a_pod_that_no_provider_has(identity: str, answer: str) -> None:
    api = Api.healthy()
    api.answers[EXPLAIN] = NotFound("no such", status=404)
    api.answers[paths.node(NODE)] = a_node(identity=identity)
    assert answer in (await explanation.explained(api, "web", "api-0")).answer


async def test_a_provider_that_does_not_answer_leaves_the_events() -> None:
    api = Api.healthy()
    api.answers[EXPLAIN] = refused(503, "refused")
    event = {"type": "Warning", "reason": "ProviderFailed", "message": HOSTILE, "lastTimestamp": stamp(NOW)}
    api.answers[paths.events("web")] = {
        "metadata": {},
        "items": [{"metadata": {"name": "e", "namespace": "web"}, **event}],
    }
    found = await explanation.explained(api, "web", "api-0")
    assert "does not answer" in found.trouble
    text = explanation.text(found, TERMINAL)
    assert "ProviderFailed" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


async def test_conditions_of_the_cloud_that_are_against_it_are_shown() -> None:
    api = Api.healthy()
    condition = Condition(type="ContainerInstanceCreated", status="False", reason="NoStock", message="zone i")
    api.answers[EXPLAIN] = an_explanation(cloud_conditions=[condition])
    text = explanation.text(await explanation.explained(api, "web", "api-0"))
    assert "ContainerInstanceCreated=False NoStock: zone i" in text


# --- instances --------------------------------------------------------------------------------------------------------


class Cloud:
    def __init__(self, *there: Instance) -> None:
        self.there = {each.id: each for each in there}
        self.deleted: list[str] = []
        self.trouble: CloudError | None = None

    async def list(self) -> Sequence[Instance]:
        return tuple(self.there.values())

    async def delete(self, instance_id: str, *, force: bool = False) -> bool:
        if self.trouble is not None:
            raise self.trouble
        self.deleted.append(instance_id)
        return True


def an_instance(name: str, uid: str = "", **more: object) -> Instance:
    fields = {"status": InstanceStatus.RUNNING, **more}
    return Instance(f"eci-{name}", Owner("c", NODE, "web", name, uid or f"uid-{name}"), **fields)


async def test_the_list_of_instances() -> None:
    found = await instances.collect(Api.healthy())
    text = instances.text(found, TERMINAL)
    assert "eci-api-0" in text
    assert "1 instances, about 0.4400 CNY/h" in text
    assert published.document("instances", instances.as_json(found))[0]["instance"] == "eci-api-0"


async def delete(cloud: Cloud, api: Api, *, agreed: bool = True) -> tuple[str, list]:
    asked: list = []

    def is_agreed(orphans: Sequence) -> bool:
        asked.append(list(orphans))
        return agreed

    text, _ = await instances.delete_orphans(api, cloud, is_agreed=is_agreed, style=TERMINAL)
    return text, asked


async def test_only_what_the_api_server_has_no_pod_for_is_deleted_and_only_when_agreed() -> None:
    cloud = Cloud(
        an_instance("api-0"),  # its pod is there
        an_instance("gone"),
        an_instance("ended", status=InstanceStatus.SUCCEEDED),
        an_instance("hint-only", proven=False),
    )
    cloud.there["eci-earlier"] = Instance(
        "eci-earlier", Owner("c", NODE, "web", "api-0", "uid-0"), InstanceStatus.RUNNING
    )
    text, asked = await delete(cloud, Api.healthy(), agreed=False)
    assert cloud.deleted == []
    assert "nothing was deleted" in text
    text, asked = await delete(cloud, Api.healthy())
    assert asked == [[("eci-gone", "web/gone"), ("eci-earlier", "web/api-0")]]
    assert cloud.deleted == ["eci-gone", "eci-earlier"]


async def test_where_pods_cannot_be_read_nothing_is_deleted() -> None:
    api, cloud = Api.healthy(), Cloud(an_instance("gone"))
    api.answers[paths.pod("web", "gone")] = refused(403, "forbidden")
    text, asked = await delete(cloud, api)
    assert "nothing was deleted" in text
    assert (asked, cloud.deleted) == ([], [])


async def test_what_the_cloud_refuses_is_said() -> None:
    cloud = Cloud(an_instance("gone"))
    cloud.trouble = CloudError("busy", request_id="R-1")
    text, _ = await delete(cloud, Api.healthy())
    assert "was not deleted: busy (request R-1)" in text


async def test_without_a_provider_the_list_says_why() -> None:
    api = Api.healthy()
    api.answers[SNAPSHOT] = NotFound("no node", status=404)
    with pytest.raises(NoAnswer, match="no provider of ours"):
        await instances.collect(api)


# --- completion and tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([""], [*VERBS]),
        (["st"], ["status"]),
        (["status", "--wa"], ["--watch"]),
        (["status", "-o", ""], ["text", "json"]),
        (["status", "-o", "j"], ["json"]),
        (["completion", "z"], ["zsh"]),
        (["doctor", "--eci-vsw"], ["--eci-vswitch"]),
        (["nonsense", ""], []),
    ],
)
def test_completion(words: list[str], found: list[str]) -> None:
    assert [each for each in completion.candidates(words) if not (words == [""] and each.startswith("-"))] == found


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_row_of_a_table_is_wider_than_the_terminal(width: int) -> None:
    rows = [("a" * 90, "b", HOSTILE), ("c", "d" * 50, "")]
    assert max(map(len, table(("ONE", "TWO", "THREE"), rows, Style(width=width)))) <= width


def test_what_somebody_copies_is_cut_last() -> None:
    ident, name = "eci-8m4k9cgdfalguvw2h79k", "n" * 90
    lines = table(("INSTANCE", "POD"), [(ident, name)], Style(width=60), whole=1)
    assert ident in lines[1]
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
