"""Sidecars in a pod's status: one more container to the cloud, an init container to Kubernetes (P16, P45)."""

import pytest

from tests.translate.status_world import HOST, LATER, end, entry, instance, pod, run
from vk_provider.translate import status

NATIVE = {"name": "s", "restartPolicy": "Always"}
MARKED = {"name": "s", "env": [{"name": "ECI_CONTAINER_TYPE", "value": "sidecar"}]}


def mirrored(target, seen):
    return status.from_instance(target, seen, now=LATER, host_ip=HOST)


def test_a_native_sidecar_is_reported_among_the_init_containers():
    got = mirrored(pod(inits=[NATIVE]), instance("Running", run("s", restart_count=2), run("c")))
    assert [each["name"] for each in got["initContainerStatuses"]] == ["s"]
    assert [each["name"] for each in got["containerStatuses"]] == ["c"]
    sidecar = entry(got, "s")
    assert (sidecar["ready"], sidecar["started"], sidecar["restartCount"]) == (True, True, 2)


@pytest.mark.parametrize("where", [{"inits": [NATIVE]}, {"containers": ["c", MARKED]}], ids=["native", "marked"])
@pytest.mark.parametrize(
    ("ended_as", "code", "sidecar_code", "phase"),
    [
        ("Succeeded", 0, 143, "Succeeded"),
        ("Succeeded", 0, 0, "Succeeded"),
        ("Failed", 3, 143, "Failed"),
        ("Failed", 3, 0, "Failed"),
    ],
)
def test_how_a_sidecar_ended_decides_nothing(where, ended_as, code, sidecar_code, phase):
    got = mirrored(pod(**where), instance(ended_as, end("s", sidecar_code), end("c", code)))
    assert got["phase"] == phase
    assert entry(got, "s")["state"]["terminated"]["exitCode"] == sidecar_code
    assert entry(got, "c")["state"]["terminated"]["exitCode"] == code


@pytest.mark.parametrize("where", [{"inits": [NATIVE]}, {"containers": ["c", MARKED]}], ids=["native", "marked"])
@pytest.mark.parametrize(
    ("policy", "main", "left"),
    [
        ("Never", end("c", 0), True),
        ("Never", end("c", 1), True),
        ("OnFailure", end("c", 0), True),
        ("OnFailure", end("c", 1), False),
        ("Always", end("c", 0), False),
        ("Never", run("c"), False),
    ],
)
def test_who_is_left(where, policy, main, left):
    target = pod(**where, policy=policy)
    seen = instance("Running", run("s"), main)
    assert status.only_sidecars_left(target, seen) is left
    assert mirrored(target, seen)["phase"] == "Running"


def test_where_all_are_marked_all_count():
    target = pod(containers=[MARKED, {**MARKED, "name": "t"}])
    assert mirrored(target, instance("Failed", end("s", 0), end("t", 1)))["phase"] == "Failed"
