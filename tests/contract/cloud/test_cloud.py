"""What any Cloud must do (`vk_provider.cloud.base`), whatever stands behind it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from vk_provider.cloud.base import (
    Change,
    Cloud,
    LogOptions,
    SupportsExec,
    SupportsFileUpdate,
    SupportsPricing,
    SupportsRestart,
    SupportsUsage,
)
from vk_provider.errors import CloudDenied, InstanceGone, UnsupportedPod
from vk_provider.model.instance import Instance, InstanceStatus, MadeOf, Owner, StateKind, merge
from vk_provider.model.workload import Container, File, Volume, Workload


def workload(*, restart_policy: str = "Never", node: str = "node-a") -> Workload:
    owner = Owner(cluster="contract", node=node, namespace="ns", name="pod.a", uid=str(uuid.uuid4()))
    return Workload(
        owner=owner,
        containers=(Container("main", "busybox", command=("sh", "-c", "echo hello"), cpu=1.0, memory_gib=2.0),),
        cpu=1.0,
        memory_gib=2.0,
        restart_policy=restart_policy,
        termination_grace_s=1,
    )


async def until(condition):
    """What the condition gives once it is true; the deadline is an error."""
    async with asyncio.timeout(90):
        while not (result := await condition()):  # noqa: ASYNC110 - the cloud tells nobody by itself
            await asyncio.sleep(0.1)
    return result


async def ended(cloud: Cloud, instance_id: str) -> Instance:
    async def look() -> Instance | None:
        found = (await cloud.describe([instance_id])).get(instance_id)
        return found if found and found.status.is_ended else None

    return await until(look)


async def read(cloud: Cloud, instance_id: str, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in cloud.logs(instance_id, "main", options)])


async def test_one_pod_has_one_instance_however_often_it_is_created(cloud):
    wanted = workload()
    instances = await asyncio.gather(*(cloud.create(wanted) for _ in range(3)))
    assert len({one.id for one in instances}) == 1
    first = instances[0]
    assert (first.owner, first.cpu, first.memory_gib) == (wanted.owner, 1, 2)
    assert [one.id for one in await cloud.find(wanted.owner.uid)] == [first.id]


async def test_pods_of_one_name_have_instances_of_their_own(cloud):
    assert (await cloud.create(workload())).id != (await cloud.create(workload())).id


async def test_what_was_created_is_listed_whole(cloud):
    wanted = [workload() for _ in range(23)]
    created = [await cloud.create(one) for one in wanted]
    listed = {one.id: one for one in await cloud.list()}
    assert {one.id: one.owner for one in created} == {id_: one.owner for id_, one in listed.items()}
    assert set(await cloud.statuses()) == set(listed)
    assert set(await cloud.describe(list(listed))) == set(listed)


async def test_one_node_does_not_see_the_others_instances(cloud, make_cloud):
    created = await cloud.create(workload())
    other = make_cloud(node="node-b")
    assert await other.list() == ()
    assert await other.statuses() == {}
    assert await other.describe([created.id]) == {}
    assert await other.changes(60) == ()
    assert await other.events(60) == ()


async def test_a_run_to_the_end(cloud):
    created = await cloud.create(workload())
    instance = await ended(cloud, created.id)
    (container,) = instance.containers
    assert instance.status is InstanceStatus.SUCCEEDED
    assert (container.state.kind, container.state.exit_code) == (StateKind.TERMINATED, 0)
    assert instance.created_at
    assert instance.ended_at >= instance.created_at


async def test_changes_lead_to_what_a_full_listing_shows(cloud):
    instance = await cloud.create(workload())
    await ended(cloud, instance.id)
    for report in (*await cloud.changes(60), *await cloud.events(60)):
        assert report.id == instance.id
        instance = merge(instance, report)
    (listed,) = await cloud.list()
    assert instance.status is listed.status
    assert [(one.name, one.state) for one in instance.containers] == [
        (one.name, one.state) for one in listed.containers
    ]
    assert {event.id for event in instance.events} == {event.id for event in listed.events}
    assert len({event.id for event in listed.events}) == len(listed.events) > 0


async def test_delete_is_final_and_may_be_repeated(cloud):
    created = await cloud.create(workload(restart_policy="Always"))
    assert await cloud.is_gone(created.id, "main") is False
    assert await cloud.delete(created.id) is True

    async def is_gone() -> bool:
        return await cloud.is_gone(created.id, "main")

    await until(is_gone)
    assert await cloud.delete(created.id) is False
    assert created.id not in await cloud.statuses()
    assert await cloud.describe([created.id]) == {}
    assert await cloud.find(created.owner.uid) == ()


async def test_what_never_was_can_be_deleted_and_described(cloud):
    assert await cloud.delete("eci-never-was-there") is False
    assert await cloud.is_gone("eci-never-was-there", "main") is True
    assert await cloud.describe(["eci-never-was-there"]) == {}
    assert await cloud.find("no-such-uid") == ()


async def test_it_offers_what_it_does_not_lack(cloud, lacks):
    offered = {SupportsExec, SupportsFileUpdate, SupportsRestart, SupportsUsage, SupportsPricing} - lacks
    assert {each for each in (*offered, *lacks) if isinstance(cloud, each)} == offered


@pytest.mark.parametrize("follow", [False, True])
async def test_logs_of_an_ended_container(cloud, says, follow):
    created = await cloud.create(workload())
    await ended(cloud, created.id)
    whole = await read(cloud, created.id, LogOptions(follow=follow))
    assert whole == says
    assert await read(cloud, created.id, LogOptions(tail=0)) == b""
    stamped = await read(cloud, created.id, LogOptions(timestamps=True))
    assert len(stamped) == len(whole) + len("2024-01-02T03:04:05.000000000Z ")


async def test_following_from_before_the_start_to_the_end(cloud, says):
    created = await cloud.create(workload())
    assert await read(cloud, created.id, LogOptions(follow=True)) == says


async def test_logs_of_what_never_was(cloud):
    with pytest.raises(InstanceGone):
        await read(cloud, "eci-never-was-there", LogOptions())


async def test_a_container_that_is_not_in_the_instance_does_not_make_it_gone(cloud):
    created = await cloud.create(workload())
    await ended(cloud, created.id)
    assert await cloud.is_gone(created.id, "no-such-container") is False


async def test_too_large_a_pod(cloud):
    with pytest.raises(UnsupportedPod, match=r"spec\.containers"):
        await cloud.create(replace(workload(), cpu=10_000.0))
    assert await cloud.list() == ()


async def test_check_tells_right_from_wrong_keys(kind, cloud, make_cloud):
    await cloud.check()
    if kind == "local":
        return  # there are no keys
    with pytest.raises(CloudDenied, match="ECI_SECRET_KEY"):
        await make_cloud(secret="wrong").check()


async def test_the_files_of_a_running_instance_can_be_changed_and_said_again(cloud, lacks):
    if SupportsFileUpdate in lacks:
        assert not isinstance(cloud, SupportsFileUpdate), "what it has is held to the contract"
        return

    def volumes(text: bytes) -> tuple[Volume, ...]:
        return (Volume("cfg", files=(File("a", text), File("b", b""))), Volume("none", files=()))

    created = await cloud.create(replace(workload(restart_policy="Always"), volumes=volumes(b"1")))

    async def runs() -> bool:
        return (await cloud.describe([created.id]))[created.id].status is InstanceStatus.RUNNING

    await until(runs)
    assert isinstance(cloud, SupportsFileUpdate)
    for _ in range(2):
        await cloud.update_files(created.id, volumes(b"2"))
    await until(runs)
    with pytest.raises(InstanceGone):
        await cloud.update_files("eci-0000000000000000none", volumes(b"3"))


async def test_a_running_instance_is_changed_and_its_tags_say_so_with_it(cloud, lacks):
    if SupportsFileUpdate in lacks:
        assert not isinstance(cloud, SupportsFileUpdate), "what it has is held to the contract"
        return

    def made(text: str, made_of: MadeOf) -> Workload:
        container = replace(wanted.containers[0], env=(("A", text),))
        return replace(wanted, containers=(container,), made_of=made_of)

    async def look() -> Instance:
        return (await cloud.describe([created.id]))[created.id]

    async def runs() -> bool:
        return (await look()).status is InstanceStatus.RUNNING

    wanted = workload(restart_policy="Always")
    before, after = (made(text, MadeOf("1aaaaaa", f"1bbbbbb{text}")) for text in ("1", "2"))
    created = await cloud.create(before)
    assert created.made_of == before.made_of
    await until(runs)
    assert (await look()).made_of == before.made_of
    assert isinstance(cloud, SupportsFileUpdate)
    await cloud.update(created.id, after, Change(frozenset({"main"})))
    assert (await look()).made_of == after.made_of, "in one call: nobody may see the one without the other"
    assert (await look()).owner == wanted.owner
    await until(runs)
    await cloud.update(created.id, after, Change(frozenset({"main"})))
    other = replace(after, owner=workload().owner)
    with pytest.raises(InstanceGone):
        await cloud.update(created.id, other, Change(frozenset({"main"})))
