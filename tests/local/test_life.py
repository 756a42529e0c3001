"""Probes, hooks and sidecars, as a user sees them with processes behind the pods."""

import pytest

from tests.local.conftest import job, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVE = """
import http.server, pathlib, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/ready" and self.headers.get("X-Who", "any") in ("any", "probe")
        self.send_response(200 if known and not pathlib.Path("/tmp/sick").exists() else 503)
        self.end_headers()
    def log_message(self, *words): pass
time.sleep(float(sys.argv[1]))
print("serving", flush=True)
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"""


def server(name="c", *, slow_s=0.0, **more):
    return {
        "name": name,
        "image": "python",
        "command": ["python3", "-c", SERVE, str(slow_s)],
        "ports": [{"name": "web", "containerPort": 8000}],
        **more,
    }


def shell(name, script, **more):
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **more}


async def entry(world, name, container="c"):
    status = (await world.pod(name)).get("status", {})
    found = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((each for each in found if each["name"] == container), {})


def condition(found, kind):
    return next(each for each in found["status"]["conditions"] if each["type"] == kind)


async def reasons(world, name):
    uid = (await world.pod(name))["metadata"]["uid"]
    return [(event["reason"], event["message"]) for event in await world.events(uid)]


async def until_entry(world, name, holds, *, container="c", within_s=60, what=""):
    async def held():
        found = await entry(world, name, container)
        return found if found and holds(found) else None

    return await world.until(held, within_s=within_s, what=what or f"{container} of {name}")


async def test_a_rollout_waits_for_the_readiness_probe(world):
    world.needs_networks()
    probe = {"httpGet": {"path": "/ready", "port": "web"}, "periodSeconds": 1}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [server(slow_s=4, readinessProbe=probe)]}}
    await world.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "vk"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        }
    )

    async def running_and_unready():
        pods = await world.pods(labelSelector="app=web")
        states = [each["status"].get("containerStatuses", [{}])[0] for each in pods]
        return len(states) == 2 and all("running" in one.get("state", {}) and not one["ready"] for one in states)

    await world.until(running_and_unready)
    assert "successfully rolled out" in await world.kubectl("-n", "vk", "rollout", "status", "deployment/web")
    name = (await world.pods(labelSelector="app=web"))[0]["metadata"]["name"]
    await world.kubectl("-n", "vk", "exec", name, "--", "touch", "/tmp/sick")
    await until_entry(world, name, lambda each: not each["ready"])
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503") in await reasons(world, name)
    await world.kubectl("-n", "vk", "delete", "deployment", "web")


async def test_a_failed_liveness_probe_restarts_the_container(world):
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 2}
    script = "rm -f /tmp/sick; trap 'exit 9' TERM; (sleep 2; touch /tmp/sick) & while :; do sleep 0.1; done"
    spec = {"containers": [shell("c", script, livenessProbe=probe)], "restartPolicy": "Always"}
    await world.apply(pod("sick", **spec))
    found = await until_entry(world, "sick", lambda each: each["restartCount"] >= 1)
    assert found["lastState"]["terminated"]["exitCode"] == 9

    async def told():
        return {"Unhealthy", "Killing"} <= {reason for reason, _ in await reasons(world, "sick")}

    await world.until(told, what="the probe's failure and the stop it brought are told")


async def test_the_hook_runs_before_the_signal(world):
    hooks = {
        "preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1; sleep 1; echo done > /proc/1/fd/1"]}}
    }
    script = "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    await world.apply(pod("hooked", containers=[shell("c", script, lifecycle=hooks)]))
    await world.phase("hooked", "Running")
    follower = await world.start_kubectl("-n", "vk", "logs", "-f", "hooked")
    assert await follower.stdout.readline() == b"up\n"
    await world.kubectl("-n", "vk", "delete", "pod", "hooked")
    assert (await follower.communicate())[0] == b"hook\ndone\nterm\n"


async def test_a_sleep_before_the_stop_is_slept(world):
    script = "trap 'date +%s; exit 0' TERM; date +%s; while :; do sleep 0.1; done"
    container = shell("c", script, lifecycle={"preStop": {"sleep": {"seconds": 4}}})
    await world.apply(pod("drowsy", containers=[container]))
    await world.phase("drowsy", "Running")
    follower = await world.start_kubectl("-n", "vk", "logs", "-f", "drowsy")
    await follower.stdout.readline()
    before = int((await world.kubectl("-n", "vk", "exec", "drowsy", "--", "date", "+%s")).strip())
    await world.kubectl("-n", "vk", "delete", "pod", "drowsy")
    assert int((await follower.communicate())[0]) - before >= 4


async def test_a_job_with_a_sidecar_completes(world):
    made = job("sided", "sleep 2; echo worked")
    sidecar = shell("log", "trap 'exit 0' TERM; echo beside; while :; do sleep 0.1; done", restartPolicy="Always")
    made["spec"]["template"]["spec"]["initContainers"] = [shell("first", "exit 0"), sidecar]
    await world.apply(made)
    await world.kubectl("-n", "vk", "wait", "--for=condition=Complete", "job/sided", "--timeout=180s")
    (ended,) = await world.pods(labelSelector="job-name=sided")
    assert ended["status"]["phase"] == "Succeeded"
    states = {each["name"]: each["state"] for each in ended["status"]["initContainerStatuses"]}
    assert states["first"]["terminated"]["exitCode"] == 0
    assert "terminated" in states["log"]
    assert [each["name"] for each in ended["status"]["containerStatuses"]] == ["c"]
    name = ended["metadata"]["name"]
    assert await world.kubectl("-n", "vk", "logs", name, "-c", "log") == "beside\n"


async def test_a_slow_starter_is_left_alone_until_it_has_started(world):
    """Its liveness probe alone would have restarted it twice by then; its readiness probe alone made it ready."""
    world.needs_networks()
    probes = {
        "startupProbe": {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2},
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
    }
    await world.apply(pod("slow", containers=[server(slow_s=6, **probes)], restartPolicy="Always"))
    running = await until_entry(world, "slow", lambda each: "running" in each["state"])
    assert (running["started"], running["ready"]) == (False, False)
    started = await until_entry(world, "slow", lambda each: each["started"])
    assert (started["ready"], started["restartCount"]) == (True, 0)
    await world.kubectl("-n", "vk", "exec", "slow", "--", "touch", "/tmp/sick")
    again = await until_entry(world, "slow", lambda each: each["restartCount"] >= 1, within_s=120)  # grace, back-off
    assert "Liveness probe failed: HTTP probe failed with statuscode: 503" in [
        text for _, text in await reasons(world, "slow")
    ]
    assert again["lastState"]["terminated"]["exitCode"] in (137, 143)


async def test_a_container_that_never_starts_is_restarted(world):
    world.needs_networks()
    probe = {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "failureThreshold": 2}
    spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 1}
    await world.apply(pod("stuck", containers=[shell("c", "exec sleep 1000", startupProbe=probe)], **spec))
    await until_entry(world, "stuck", lambda each: each["restartCount"] >= 1 and not each["ready"])
    killing = {text for reason, text in await reasons(world, "stuck") if reason == "Killing"}
    assert killing == {"Container c failed startup probe, will be restarted"}


async def test_what_the_cloud_cannot_ask_the_provider_does(world):
    world.needs_networks()
    get = {"path": "/ready", "port": 8000, "httpHeaders": [{"name": "X-Who", "value": "probe"}]}
    probe = {"httpGet": get, "periodSeconds": 1, "failureThreshold": 1}
    await world.apply(pod("asked", containers=[server(slow_s=2, readinessProbe=probe)]))
    await until_entry(world, "asked", lambda each: each["ready"])
    ready = condition(await world.pod("asked"), "Ready")
    await world.crash()
    await world.restart()

    async def made_sick():
        output = await world.kubectl("-n", "vk", "exec", "asked", "--", "touch", "/tmp/sick", check=False)
        return "error dialing backend" not in output  # the node's new port takes a moment to be known

    assert condition(await world.pod("asked"), "Ready") == ready
    await world.until(made_sick)
    await until_entry(world, "asked", lambda each: not each["ready"])
