"""This host as a cloud, beyond the contract of every cloud: sandbox, commands, probes, policies, lost supervisors."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.cloud.host import cannot_be_local
from vk_provider.cloud.base import Channel, LogOptions
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.local import report, spec, state
from vk_provider.cloud.local.definition import DRIVER
from vk_provider.cloud.local.driver import LocalCloud
from vk_provider.cloud.local.options import LocalOptions
from vk_provider.errors import CloudUnavailable, InstanceGone, UnsupportedPod
from vk_provider.model.instance import InstanceStatus, Owner, StateKind
from vk_provider.model.probe import Exec, HttpGet, Probe, TcpSocket
from vk_provider.model.security import Security
from vk_provider.model.workload import Container, EmptyDir, File, Mount, Volume, Workload

pytestmark = pytest.mark.skipif(bool(cannot_be_local()), reason=cannot_be_local())


@pytest.fixture
async def make(tmp_path):
    """Makes clouds over one directory: a second is a provider that has restarted."""
    made = []

    def cloud():
        options = LocalOptions(state=str(tmp_path), address="127.0.0.1")
        settings = replace(DRIVER.settings(options, Whose(cluster="c", node="n")), backoff_s=0.5)
        made.append(LocalCloud(settings))
        return made[-1]

    yield cloud
    for each in await cloud().list():
        await made[-1].delete(each.id, force=True)


def shell(line, name="main", **more):
    return Container(name, "host", command=("sh", "-c", line), **more)


def pod(*containers, policy="Never", grace_s=1, **more):
    owner = Owner(cluster="c", node="n", namespace="ns", name="p", uid=str(uuid.uuid4()))
    return Workload(
        owner=owner, containers=containers, restart_policy=policy, termination_grace_s=grace_s, hostname="web", **more
    )


async def until(cloud, instance_id, holds, *, within_s=90):
    async with asyncio.timeout(within_s):
        while not holds(instance := (await cloud.describe([instance_id]))[instance_id]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return instance


async def ended(cloud, instance_id, **more):
    return await until(cloud, instance_id, lambda each: each.status.is_ended, **more)


async def log_of(cloud, instance_id, container="main", **options):
    async with aclosing(cloud.logs(instance_id, container, LogOptions(**options))) as chunks:
        return b"".join([chunk async for chunk in chunks]).decode()


def runs(instance):
    return all(each.state.kind is StateKind.RUNNING for each in instance.containers)


async def test_a_container_sees_its_files_its_name_and_nothing_of_ours(make, tmp_path):
    cloud = make()
    line = f"id -u; hostname; cat /cfg/a/b; ls {tmp_path} 2>/dev/null | wc -l; touch /etc/made /cfg/no; echo $A; ps ax"
    mounts = (Mount("cfg", "/cfg", read_only=True),)
    wanted = pod(
        shell(line, env=(("A", "it's $HOME"),), mounts=mounts), volumes=(Volume("cfg", files=(File("a/b", b"x\n"),)),)
    )
    made = await cloud.create(wanted)
    await ended(cloud, made.id)
    told = (await log_of(cloud, made.id)).splitlines()
    assert told[:4] == ["0", "web", "x", "0"]
    assert "Read-only" in told[4]
    assert told[5] == "it's $HOME"
    assert len(told) < 12, "processes of its own"
    assert await asyncio.to_thread(Path("/etc/made").exists) is False


async def test_commands_have_pipes_or_a_terminal(make):
    cloud = make()
    made = await cloud.create(pod(shell("sleep 60")))
    await until(cloud, made.id, runs)
    session = await cloud.exec(made.id, "main", ["sh", "-c", "cat; echo err >&2; exit 4"], stdin=True, tty=False)
    await session.write(b"in")
    await session.close_stdin()
    pieces = [piece async for piece in session.output()]
    assert sorted(pieces) == [(Channel.STDERR, b"err\n"), (Channel.STDOUT, b"in")]
    assert (await session.result()).exit_code == 4
    await session.close()
    session = await cloud.exec(made.id, "main", ["sh", "-c", "stty size; kill -9 $$"], stdin=False, tty=True)
    await session.resize(width=100, height=30)
    assert {channel async for channel, _ in session.output()} == {Channel.STDOUT}
    assert (await session.result()).exit_code == 137
    await session.close()
    with pytest.raises(CloudUnavailable):
        await cloud.exec(made.id, "none", ["true"], stdin=False, tty=False)
    with pytest.raises(InstanceGone):
        await cloud.exec("local-none", "main", ["true"], stdin=False, tty=False)


async def test_init_containers_come_first_and_one_that_fails_ends_all(make):
    cloud = make()
    work = {"mounts": (Mount("work", "/work"),)}
    shared = {"volumes": (Volume("work", empty_dir=EmptyDir()),)}
    good = pod(shell("cat /work/a", **work), init_containers=(shell("echo hi > /work/a", "init", **work),), **shared)
    bad = pod(shell("true"), init_containers=(shell("exit 7", "init"),))
    first, second = [await cloud.create(each) for each in (good, bad)]
    assert (await ended(cloud, first.id)).status is InstanceStatus.SUCCEEDED
    assert await log_of(cloud, first.id) == "hi\n"
    failed = await ended(cloud, second.id)
    assert failed.status is InstanceStatus.FAILED
    assert failed.init_containers[0].state.exit_code == 7
    assert failed.containers[0].state.kind is StateKind.WAITING


async def test_a_sidecar_ends_with_the_others(make):
    cloud = make()
    made = await cloud.create(pod(shell("sleep 60", "side", sidecar=True), shell("exit 0")))
    done = await ended(cloud, made.id)
    assert done.status is InstanceStatus.SUCCEEDED
    assert {each.name: each.state.exit_code for each in done.containers} == {"side": 137, "main": 0}


async def test_what_fails_begins_anew_and_keeps_its_last_end(make):
    cloud = make()
    line = "[ -e /work/again ] && sleep 60; touch /work/again; echo one; exit 5"
    wanted = pod(shell(line, mounts=(Mount("work", "/work"),)), policy="OnFailure")
    made = await cloud.create(wanted_with(wanted))
    waits = await until(cloud, made.id, lambda each: each.containers[0].state.reason == "CrashLoopBackOff")
    assert waits.containers[0].last_state.exit_code == 5
    again = await until(cloud, made.id, lambda each: each.containers[0].restart_count == 1 and runs(each))
    assert again.containers[0].last_state.exit_code == 5
    assert await log_of(cloud, made.id, previous=True) == "one\n"


def wanted_with(workload):
    return replace(workload, volumes=(Volume("work", empty_dir=EmptyDir()),))


async def test_probes_are_asked_here(make):
    cloud = make()
    probe = {"period_s": 1, "failure_threshold": 1}
    ready = Probe(Exec(("sh", "-c", "test -e /work/ready")), **probe)
    live = Probe(TcpSocket(1), initial_delay_s=1, **probe)  # where nobody listens
    one = shell("sleep 1; touch /work/ready; sleep 60", readiness=ready, mounts=(Mount("work", "/work"),))
    made = await cloud.create(wanted_with(pod(one, shell("sleep 60", "dies", liveness=live))))
    seen = await until(cloud, made.id, runs)
    assert not seen.containers[0].ready
    assert seen.containers[1].ready, "it has nobody who asks"
    await until(cloud, made.id, lambda each: each.containers[0].ready)
    killed = await until(cloud, made.id, lambda each: each.containers[1].state.kind is StateKind.TERMINATED)
    assert killed.containers[1].state.exit_code == 137
    assert {"Unhealthy", "Killing"} <= {each.reason for each in killed.events}


async def test_a_supervisor_that_is_lost_leaves_no_guess(make):
    cloud = make()
    made = await cloud.create(pod(shell("sleep 60")))
    await until(cloud, made.id, runs)
    [directory] = [each for each in cloud._settings.root.iterdir() if each.name == made.id]
    os.kill(state.read(directory / state.STATUS)["pid"], signal.SIGKILL)
    lost = await ended(cloud, made.id)
    assert lost.status is InstanceStatus.FAILED
    assert lost.containers[0].state.exit_code is None
    assert await cloud.delete(made.id) is True
    assert await cloud.is_gone(made.id, "main") is True


async def test_a_provider_that_comes_again_makes_no_second_one(make):
    first, second = make(), make()
    wanted = pod(shell("echo once; sleep 60"))
    made, again = await asyncio.gather(first.create(wanted), second.create(wanted))
    assert made.id == again.id
    await until(second, made.id, runs)
    async with asyncio.timeout(60):
        while not await log_of(second, made.id):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    assert await log_of(second, made.id) == "once\n"


@pytest.mark.parametrize("id_", ["..", ".", "", "/etc", "../instances", "a/b"])
async def test_what_is_no_id_of_ours_leads_nowhere(make, id_):
    cloud = make()
    assert await cloud.delete(id_) is False
    assert await cloud.describe([id_]) == {}
    with pytest.raises(InstanceGone):
        await log_of(cloud, id_)


@pytest.mark.parametrize(
    ("workload", "field"),
    [
        (pod(Container("a", "nginx")), "spec.containers[0].command"),
        (pod(shell("true", gpus=1)), "spec.containers[0].resources"),
        (pod(shell("true", tty=True)), "spec.containers[0].tty"),
        (pod(shell("true", security=Security(run_as_user=5))), "spec.containers[0].securityContext"),
        (pod(shell("true", security=Security(run_as_non_root=True))), "spec.containers[0].securityContext"),
        (
            pod(shell("true", security=Security(added_capabilities=("NET_ADMIN",)))),
            "spec.containers[0].securityContext.capabilities",
        ),
        (pod(shell("true", pre_stop=HttpGet(80))), "spec.containers[0].lifecycle.preStop"),
        (pod(shell("true"), share_process_namespace=True), "spec.shareProcessNamespace"),
        (pod(shell("true"), sysctls=(("a", "b"),)), "spec.securityContext.sysctls"),
    ],
)
async def test_what_it_cannot_do_is_refused_and_not_dropped(make, workload, field):
    assert [each.field for each in spec.refusals(workload)] == [field]
    with pytest.raises(UnsupportedPod):
        await make().create(workload)


def test_that_limits_are_none_is_said():
    (told,) = spec.notices(pod(shell("true", cpu=1.0)))
    assert told.reason == "LimitsNotApplied"
    assert spec.notices(pod(shell("true"))) == ()


def test_reports_name_the_scheme_of_ids():
    assert report.WORDS.id_scheme == DRIVER.capabilities.words.id_scheme == "process"
