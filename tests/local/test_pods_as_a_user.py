"""What a user does with kubectl, and sees."""

import asyncio
import re

import pytest

from tests.local.conftest import job, pod
from tests.thorough import THOROUGH, thorough

READ = """
cat /etc/settings/a.conf /shared/made
echo $COLOUR $NAME '$(GREETING)'
cat /var/run/secrets/kubernetes.io/serviceaccount/namespace
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")

SIX = ["Scheduled", "SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started"]


async def test_a_pods_life_seen_through_kubectl(world):
    """apply, watch, follow the log while the process writes, describe, delete: one life from end to end."""
    watching = await world.start_kubectl("-n", "vk", "get", "pods", "-w")
    await world.apply(pod("beside", schedulerName="nobody"))
    assert watching.stdout is not None
    while b"beside" not in await asyncio.wait_for(watching.stdout.readline(), 30):
        pass  # kubectl has begun to watch when it shows a pod that was there before, or came
    script = "echo out; echo err >&2; for i in 1 2 3 4; do echo line $i; sleep 0.7; done; exit 3"
    await world.apply(pod("life", script))
    await world.phase("life", "Running")
    followed = await world.kubectl("-n", "vk", "logs", "-f", "life")
    assert followed.splitlines()[2:] == [f"line {number}" for number in (1, 2, 3, 4)]
    seen = await world.phase("life", "Failed")
    state = seen["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (3, "Error")
    assert await world.kubectl("-n", "vk", "logs", "life") == followed

    async def told():
        """The cloud's events are asked for apart from its states, and may come after the end."""
        events = await world.events(seen["metadata"]["uid"])
        return events if len(events) > len(SIX) else None

    events = await world.until(told, within_s=90)
    assert [event["reason"] for event in events] == [*SIX, "InstanceCost"]
    assert {(event["source"]["component"], event["source"]["host"]) for event in events[1:6]} == {("kubelet", "eci")}
    assert re.fullmatch(r"ran \d+ s on 2\.0-4\.0Gi, about CNY 0\.\d+ \(estimated\)", events[-1]["message"])
    described = await world.kubectl("-n", "vk", "describe", "pod", "life")
    shown = re.findall(r"^  Normal +(\w+)", described, re.MULTILINE)
    assert shown == [*SIX, "InstanceCost"]

    await world.kubectl("-n", "vk", "delete", "pod", "life")
    await world.until_gone(seen["metadata"]["uid"])
    watching.terminate()
    table = (await watching.communicate())[0].decode()
    table = "\n".join(line for line in table.splitlines() if line.startswith("life "))
    for status in ("Pending", "ContainerCreating", "Running", "Error"):
        assert status in table


async def test_log_options(world):
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done; printf 'no newline at the end'"
    await world.apply(pod("talks", script))
    await world.phase("talks", "Succeeded")

    async def logs(*options):
        return await world.kubectl("-n", "vk", "logs", "talks", *options)

    everything = [*(f"line {number}" for number in (1, 2, 3, 4, 5)), "no newline at the end"]
    assert (await logs()).splitlines() == everything
    assert (await logs("--tail=2")).splitlines() == everything[-2:]
    assert await logs("--tail=0") == ""
    assert await logs("--limit-bytes=9") == "line 1\nli"
    stamped = (await logs("--timestamps")).splitlines()
    moments = [line.split(" ", 1)[0] for line in stamped]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", moment) for moment in moments)
    assert [line.split(" ", 1)[1] for line in stamped] == everything
    since = moments[3][:19]  # kubectl sends whole seconds
    expected = [text for moment, text in zip(moments, everything, strict=True) if moment[:19] >= since]
    assert (await logs(f"--since-time={since}Z")).splitlines() == expected
    assert (await logs("--since=1h")).splitlines() == everything
    refused = await world.kubectl("-n", "vk", "logs", "talks", "--previous", check=False)
    assert 'previous terminated container "c" in pod "talks" not found' in refused


async def test_a_log_longer_than_the_clouds_window_comes_whole_when_followed(world):
    """ECI gives at most 2,000 lines a call. The writer begins when the follower is there."""
    write = "while [ $i -lt 6000 ]; do i=$((i+1)); echo line $i; [ $((i%250)) = 0 ] && sleep 0.4; done"
    await world.apply(pod("long", f"echo ready; while [ ! -e /tmp/go ]; do sleep 0.1; done; i=0; {write}; true"))
    await world.phase("long", "Running")
    follower = await world.start_kubectl("-n", "vk", "logs", "-f", "long")
    assert follower.stdout is not None
    assert await asyncio.wait_for(follower.stdout.readline(), 30) == b"ready\n"
    await world.kubectl("-n", "vk", "exec", "long", "--", "touch", "/tmp/go")
    rest, _ = await asyncio.wait_for(follower.communicate(), 90)
    assert rest.decode().splitlines() == [f"line {number}" for number in range(1, 6001)]


async def test_restarts_previous_logs_and_back_off(world):
    await world.apply(pod("again", "echo run; exit 1", restartPolicy="Always"))

    async def restarted():
        found = (await world.pod("again"))["status"].get("containerStatuses", [{}])[0]
        return found if found.get("restartCount", 0) >= 1 and "waiting" in found["state"] else None

    status = await world.until(restarted, within_s=90)
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert await world.kubectl("-n", "vk", "logs", "again", "--previous") == "run\n"
    assert "CrashLoopBackOff" in await world.kubectl("-n", "vk", "get", "pod", "again")


async def test_files_environment_and_init_containers_reach_the_process(world):
    await world.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "vk"},
            "data": {"a.conf": "from a config map\n", "COLOUR": "blue"},
        },
        pod(
            "reads",
            volumes=[{"name": "conf", "configMap": {"name": "settings"}}, {"name": "shared", "emptyDir": {}}],
            initContainers=[
                {
                    "name": "first",
                    "image": "busybox",
                    "command": ["sh", "-c", "echo made by init > /shared/made"],
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                }
            ],
            containers=[
                {
                    "name": "c",
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "args": [READ],
                    "env": [
                        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
                        {"name": "GREETING", "value": "hello $(NAME)"},
                    ],
                    "volumeMounts": [
                        {"name": "conf", "mountPath": "/etc/settings"},
                        {"name": "shared", "mountPath": "/shared"},
                    ],
                }
            ],
        ),
    )
    await world.phase("reads", "Succeeded")
    text = await world.kubectl("-n", "vk", "logs", "reads", "-c", "c")
    assert text == "from a config map\nmade by init\nblue reads hello reads\nvk"


async def test_deletion_gives_the_process_its_grace(world):
    await world.apply(pod("tidy", "trap 'echo tidied; exit 7' TERM; echo up; while :; do sleep 0.1; done"))
    await world.phase("tidy", "Running")
    follower = await world.start_kubectl("-n", "vk", "logs", "-f", "tidy")
    assert follower.stdout is not None
    assert await asyncio.wait_for(follower.stdout.readline(), 30) == b"up\n"
    uid = (await world.pod("tidy"))["metadata"]["uid"]
    await world.kubectl("-n", "vk", "delete", "pod", "tidy", "--grace-period=20")
    assert (await follower.communicate())[0] == b"tidied\n"
    await world.until_gone(uid)
    killing = [event["message"] for event in await world.events(uid) if event["reason"] == "Killing"]
    assert killing == ["Stopping container c"], "a kubelet says so once (P49)"


async def test_a_forced_deletion_leaves_no_instance(world):
    await world.apply(pod("forced", "sleep 1000"))
    await world.phase("forced", "Running")
    uid = (await world.pod("forced"))["metadata"]["uid"]
    await world.kubectl("-n", "vk", "delete", "pod", "forced", "--force", "--grace-period=0")
    await world.until_gone(uid)


@thorough
async def test_three_hundred_jobs_at_once_all_complete(world):
    """In `make test` a hundred."""
    many = 300 if THOROUGH else 100
    await world.apply(*(job(f"j{number}", f"echo {number}") for number in range(many)))

    async def done():
        jobs = (await world.api.get("/apis/batch/v1/namespaces/vk/jobs"))["items"]
        return len(jobs) == many and all(each["status"].get("succeeded") == 1 for each in jobs)

    await world.until(done, within_s=90)
    groups = [group for group in (await world.cloud("bill"))["groups"] if group["name"].startswith("vk-j")]
    assert len(groups) == many
    assert not any(group["billing"] for group in groups)
    assert await world.kubectl("-n", "vk", "logs", f"job/j{many - 1}") == f"{many - 1}\n"
