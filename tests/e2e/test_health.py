"""Probes and hooks, as the controllers of a real cluster and its users see them."""

from tests.e2e.cluster import Space, within
from tests.e2e.manifests import FOR_EVER, Json, pod
from tests.e2e.test_workloads import addresses

CHECK = {"periodSeconds": 1, "failureThreshold": 2}


def entry(space: Space, name: str) -> Json:
    found = space.get("Pod", name).get("status", {}).get("containerStatuses") or [{}]
    return dict(found[0])


def file_probe(path: str, **more: int) -> Json:
    return {"exec": {"command": ["test", "-e", path]}, **CHECK, **more}


def test_traffic_follows_the_probes(space: Space, node: str) -> None:
    """The provider asks the startup probe, the cloud the readiness probe; the cluster sees one pod."""
    service = {
        "kind": "Service",
        "metadata": {"name": "probed"},
        "spec": {"selector": {"app": "probed"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    probes = {
        "startupProbe": file_probe("/tmp/started", failureThreshold=120),
        "readinessProbe": file_probe("/tmp/ready"),
    }
    script = f"touch /tmp/ready; {FOR_EVER}"
    space.create(service, pod("probed", script, node=node, container=probes, restartPolicy="Always"))
    within(40, lambda: "running" in entry(space, "probed").get("state", {}))
    within(20, lambda: len(addresses(space, "probed")[1]) == 1)
    assert (entry(space, "probed")["started"], entry(space, "probed")["ready"]) == (False, False)
    space.kubectl("exec", "probed", "--", "touch", "/tmp/started")
    within(30, lambda: len(addresses(space, "probed")[0]) == 1)
    space.kubectl("exec", "probed", "--", "rm", "/tmp/ready")
    within(30, lambda: len(addresses(space, "probed")[1]) == 1)
    assert entry(space, "probed")["restartCount"] == 0


def test_a_sick_container_is_restarted(space: Space, node: str) -> None:
    sick = {"livenessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, **CHECK}}
    script = f"rm -f /tmp/sick; trap 'exit 3' TERM; {FOR_EVER}"
    space.create(pod("sick", script, node=node, container=sick, restartPolicy="Always"))
    space.when_ready("sick")
    space.kubectl("exec", "sick", "--", "touch", "/tmp/sick")
    within(40, lambda: entry(space, "sick").get("restartCount", 0) >= 1)
    within(20, lambda: entry(space, "sick").get("lastState", {}).get("terminated", {}).get("exitCode") == 3)
    for told in ("Liveness probe failed: ", "Container main failed liveness probe, will be restarted"):
        within(30, lambda told=told: told in space.kubectl("describe", "pod", "sick"))
