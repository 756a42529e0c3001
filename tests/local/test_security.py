"""Pods as today's charts write them: hardened in every way, with hosts of their own, and last words."""

import pytest

from tests.local.conftest import pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """
id -u; id -g; hostname; getent hosts legacy | tr -s ' '; cat /key/id
touch /here 2>/dev/null && echo writable
echo kept > /scratch/x && cat /scratch/x
"""


async def test_a_hardened_pod_runs_as_told_and_hears_once_what_is_missing(world):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "vk"}}
    await world.apply({**secret, "stringData": {"id": "read\n"}})
    hardened = pod(
        "hardened",
        SCRIPT,
        hostname="db-0",
        subdomain="db",
        setHostnameAsFQDN=True,
        hostAliases=[{"ip": "10.9.8.7", "hostnames": ["legacy"]}],
        securityContext={
            "runAsUser": 1001,
            "runAsGroup": 1002,
            "runAsNonRoot": True,
            "fsGroup": 1003,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        volumes=[
            {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
            {"name": "scratch", "emptyDir": {}},
        ],
    )
    hardened["spec"]["containers"][0] |= {
        "volumeMounts": [{"name": "key", "mountPath": "/key"}, {"name": "scratch", "mountPath": "/scratch"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
    }
    await world.apply(hardened)
    seen = await world.phase("hardened", "Succeeded")
    log = await world.kubectl("-n", "vk", "logs", "hardened")
    assert log == "1001\n1002\ndb-0.db.vk.svc.cluster.local\n10.9.8.7 legacy\nread\nkept\n"
    told = [each for each in await world.events(seen["metadata"]["uid"]) if each["reason"] == "SecurityNotApplied"]
    assert [each["count"] for each in told] == [1]
    for field in ("fsGroup", "seccompProfile", "allowPrivilegeEscalation", "capabilities.drop"):
        assert field in told[0]["message"]


@pytest.mark.parametrize(
    ("name", "script", "policy", "message"),
    [
        ("file", "echo why > /dev/termination-log; echo log; exit 3", "FallbackToLogsOnError", "why\n"),
        ("log", "echo first; echo last; exit 3", "FallbackToLogsOnError", "first\nlast\n"),
        ("mute", "echo log; exit 3", "File", None),
    ],
)
async def test_last_words(world, name, script, policy, message):
    made = pod(f"words-{name}", script)
    made["spec"]["containers"][0]["terminationMessagePolicy"] = policy
    await world.apply(made)
    seen = await world.phase(f"words-{name}", "Failed")
    end = seen["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (end["exitCode"], end.get("message")) == (3, message)


async def test_root_against_its_own_word_waits_with_the_reason(world):
    rooted = pod("rooted", "true", securityContext={"runAsNonRoot": True, "runAsUser": 0})
    await world.apply(rooted)

    async def waits():
        entries = (await world.pod("rooted")).get("status", {}).get("containerStatuses") or [{}]
        wait = entries[0].get("state", {}).get("waiting", {})
        return wait if wait.get("reason") == "CreateContainerConfigError" else None

    assert "breaks non-root policy" in (await world.until(waits))["message"]
