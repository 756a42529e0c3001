"""The end-to-end suite of the Go library for virtual nodes, unmodified, against our node.

Four of its nine cases wait for events that are that library's alone (`OptionalSecretNotFound` and the like), where a
kubelet says nothing of an optional source that is missing, and `Failed` of one that must be there. What the pods do in
them is tested in `tests/e2e/test_node_suite.py`.
"""

import re
import subprocess
import sys

import pytest

from tests.e2e.cluster import Cluster, Space
from tests.e2e.conftest import make_space
from tests.e2e.neighbours import programs
from tests.e2e.provider import Provider

PASS = frozenset(
    {
        "TestGetPods",
        "TestGetStatsSummary",
        "TestGetMetricsResource",
        "TestPodLifecycleGracefulDelete",
        "TestPodLifecycleForceDelete",
    }
)
OTHER_EVENTS = frozenset(
    {
        "TestCreatePodWithOptionalInexistentSecrets",
        "TestCreatePodWithMandatoryInexistentSecrets",
        "TestCreatePodWithOptionalInexistentConfigMap",
        "TestCreatePodWithMandatoryInexistentConfigMap",
    }
)
PATIENCE_S = 60  # of a case that waits for an event of that library
_VERDICT = re.compile(r"--- (PASS|FAIL): TestVirtualNode/(\w+)")


@pytest.fixture(scope="module")
def verdicts(cluster: Cluster, provider: Provider) -> dict[str, str]:
    """PASS or FAIL by case."""
    with make_space(cluster) as space:
        _stand_for_the_provider(space, provider.node)
        flags = [f"-kubeconfig={cluster.kubeconfig}", f"-namespace={space.name}", f"-node-name={provider.node}"]
        flags.append(f"-watch-timeout={PATIENCE_S}s")
        command = [str(programs.LIBRARY_SUITE.program()), "-test.v", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    found = {name: verdict for verdict, name in _VERDICT.findall(done.stdout)}
    assert found, done.stdout + done.stderr
    sys.stdout.write(done.stdout)  # pytest shows it if a test fails
    return found


def _stand_for_the_provider(space: Space, node: str) -> None:
    """The suite supposes that the provider is a pod called as its node, and asks it at the pod's address."""
    spec = {"containers": [{"name": "provider", "image": "provider"}], "schedulerName": "nobody"}
    space.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec})
    status = {"phase": "Running", "podIP": space.cluster.address, "podIPs": [{"ip": space.cluster.address}]}
    space.cluster.merge(f"{space.path('Pod', node)}/status", {"status": status})


def test_the_suite_has_the_cases_that_are_known(verdicts: dict[str, str]) -> None:
    assert set(verdicts) == PASS | OTHER_EVENTS


@pytest.mark.parametrize("case", sorted(PASS))
def test_the_case_passes(verdicts: dict[str, str], case: str) -> None:
    assert verdicts[case] == "PASS"


@pytest.mark.parametrize("case", sorted(OTHER_EVENTS))
def test_the_case_waits_for_what_no_kubelet_says(verdicts: dict[str, str], case: str) -> None:
    assert verdicts[case] == "FAIL", "take it into PASS"
