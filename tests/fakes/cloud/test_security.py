"""Containers run as who they are told to be, with what they may do, and are heard when they say why they end."""

import asyncio
import json
import os
import re

import pytest

from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_network import MAY
from tests.fakes.cloud.test_process import config_files, create, finish, needs_sandbox, shell, state

IMAGES = """
[[image]]
name = "sh"
pull_s = 0

[[image]]
name = "own-user"
user = "101:102"
pull_s = 0
"""
SECURITY = "Container__1__SecurityContext__"
IS_ROOT = os.geteuid() == 0


@pytest.fixture
async def acs(start, tmp_path):
    cloud = await start(runtime="process", images=IMAGES, state_dir=tmp_path / "state")
    client = Acs(cloud.endpoint)
    client.linked = cloud.network is not None
    return client


@needs_sandbox
@pytest.mark.parametrize(
    ("image", "parameters", "expected"),
    [
        pytest.param("sh", {}, "0 0", id="root"),
        pytest.param("own-user", {}, "101 102", id="the image's"),
        pytest.param("own-user", {f"{SECURITY}RunAsUser": "0"}, "0 0", id="root after all"),
        pytest.param("sh", {f"{SECURITY}RunAsUser": "1000"}, "1000 0", id="a user without a group"),
        pytest.param(
            "sh",
            {f"{SECURITY}RunAsUser": "1000", "Container__1__SecurityContextRunAsGroup": "3000"},
            "1000 3000",
            id="user and group",
        ),
        pytest.param("own-user", {"Container__1__SecurityContextRunAsGroup": "3000"}, "101 3000", id="group alone"),
    ],
)
async def test_users_and_groups(acs, image, parameters, expected):
    _, log = await finish(acs, image=image, **shell("echo $(id -u) $(id -g); echo ok > /dev/stdout"), **parameters)
    assert log == f"{expected}\nok\n"


@needs_sandbox
@pytest.mark.skipif(not IS_ROOT, reason="files of another owner need root to be made")
async def test_files_are_read_with_the_user_s_own_rights(acs):
    files = config_files("/cfg", open="seen\n", closed="hidden\n")
    files["Volume__1__ConfigFileVolume__ConfigFileToPath__2__Mode"] = "0400"
    scratch = {"Volume__2__Name": "s", "Volume__2__Type": "EmptyDirVolume"}
    mount = {"Container__1__VolumeMount__2__Name": "s", "Container__1__VolumeMount__2__MountPath": "/s"}
    script = "cat /cfg/open; cat /cfg/closed 2>/dev/null || echo denied; echo mine > /s/x && cat /s/x"
    user = {f"{SECURITY}RunAsUser": "1000"}
    assert (await finish(acs, **shell(script), **files, **scratch, **mount, **user))[1] == "seen\ndenied\nmine\n"
    assert (await finish(acs, **shell(script), **files, **scratch, **mount))[1] == "seen\nhidden\nmine\n"


@needs_sandbox
@pytest.mark.skipif(not IS_ROOT, reason="rights of root are root's to give")
@pytest.mark.parametrize("added", [False, True])
async def test_capabilities(acs, added):
    more = {f"{SECURITY}Capability__Add__1": "NET_ADMIN"} if added else {}
    _, log = await finish(acs, **shell("grep CapEff /proc/self/status"), **more)
    effective = int(re.search(r"CapEff:\s*(\w+)", log)[1], 16)
    assert bool(effective >> 12 & 1) == added
    assert not effective >> 21 & 1  # SYS_ADMIN


OR_LOG = {"Container__1__TerminationMessagePolicy": "FallbackToLogsOnError"}
LONG_LINE = ".".join(str(number) for number in range(1, 9001)) + "\n"


@pytest.mark.parametrize(
    ("script", "more", "message"),
    [
        pytest.param("echo why > /dev/termination-log; exit 3", {}, "why\n", id="where it is looked for"),
        pytest.param(
            "echo other > /tmp/last; exit 3",
            {"Container__1__TerminationMessagePath": "/tmp/last"},
            "other\n",
            id="a path of its own",
        ),
        pytest.param("echo fine > /dev/termination-log", {}, "fine\n", id="also at a good end"),
        pytest.param("echo only to the log; exit 1", {}, "", id="nothing said"),
        pytest.param("yes | head -c 9000 > /dev/termination-log", {}, "y\n" * 2048, id="4 KiB at most"),
        pytest.param("echo no; printf DONE; exit 1", OR_LOG, "no\nDONE", id="its log speaks for it"),
        pytest.param("echo long; yes | head -c 900; exit 1", OR_LOG, "y\n" * 80, id="80 lines of it"),
        pytest.param("seq -s . 9000; exit 1", OR_LOG, LONG_LINE[-2048:], id="2 KiB of them"),
        pytest.param("echo OK > /dev/termination-log; echo no; exit 1", OR_LOG, "OK\n", id="said after all"),
        pytest.param("echo DONE", OR_LOG, "", id="no failure"),
    ],
)
async def test_last_words(acs, script, more, message):
    group, _ = await finish(acs, **shell(script), **more)
    assert state(group)["Message"] == message


async def test_each_run_has_its_own_last_words(acs):
    script = "echo run >> /dev/termination-log; exit 1"
    group_id = await create(acs, policy="OnFailure", **shell(script))

    async def restarted():
        return (await acs.group(group_id))["Containers"][0]["RestartCount"] >= 1

    await eventually(restarted, within=90)
    assert (await acs.group(group_id))["Containers"][0]["PreviousState"]["Message"] == "run\n"


async def test_root_where_there_must_be_none(acs):
    group_id = await create(acs, **shell("true"), Container__1__SecurityContextRunAsNonRoot="true")
    group = await acs.until_container(group_id, Reason="CreateContainerConfigError")
    assert (state(group)["State"], group["Status"]) == ("Waiting", "Pending")
    assert "runAsNonRoot" in state(group)["Message"]
    assert [event["Reason"] for event in group["Events"]][-1] == "Failed"
    user = {f"{SECURITY}RunAsUser": "1000", "Container__1__SecurityContextRunAsNonRoot": "true"}
    assert (await finish(acs, name="other", **shell("true"), **user))[0]["Status"] == "Succeeded"


@needs_sandbox
async def test_kernel_settings_of_the_network(acs):
    settings = {
        "HostSecurityContext__Sysctl__1__Name": "net.core.somaxconn",
        "HostSecurityContext__Sysctl__1__Value": "777",
        "SecurityContext__Sysctl__1__Name": "net.ipv4.ip_unprivileged_port_start",
        "SecurityContext__Sysctl__1__Value": "50",
    }
    script = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start"
    _, log = await finish(acs, **shell(script), **settings)
    assert acs.linked == MAY
    assert (log == "777\n50\n") == acs.linked  # on this machine's own network nothing is changed


@needs_sandbox
async def test_a_command_in_a_container_is_its_user(acs):
    user = {f"{SECURITY}RunAsUser": "1000", "Container__1__SecurityContextRunAsGroup": "2000"}
    group_id = await create(acs, **shell("echo up; exec sleep 1000"), **user)
    await acs.until_log(group_id, "up")
    async with asyncio.timeout(60):
        answer = await acs.action(
            "ExecContainerCommand",
            ContainerGroupId=group_id,
            ContainerName="main",
            Command=json.dumps(["sh", "-c", "echo $(id -u) $(id -g)"]),
            Sync=True,
            Stdin=False,
        )
    assert answer["SyncResponse"] == "1000 2000\n"
