"""Every command of README.md and deploy/README.md is run by some test: by its own words, or as said here."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests import guide_commands
from tests.e2e.test_guide_commands import NARROWER  # run as they stand

ROOT = guide_commands.ROOT
# What a sentence speaks of; the tests of these words are many.
SPOKEN_OF = {
    *("kubectl get", "kubectl logs", "kubectl exec", "kubectl describe", "kubectl apply", "kubectl run -i"),
    *("kubectl apply -k", "kubectl debug --copy-to", "kubectl certificate approve", "kubectl get csr"),
    *("kubectl describe pod", "kubectl get pod -o yaml --show-managed-fields"),
}
# What is run in other words: the file that does, and what it is known by.
ELSEWHERE = {
    "make demo": ("tests/local/test_demo.py", "demo"),
    "make up": ("tests/local/conftest.py", "up"),
    "make test": (".ci/run", "make test"),
    "make long": (".ci/run", "make long"),
    "make e2e": (".ci/run", "make e2e"),
    "make oracle": ("tests/oracle/__main__.py", "def main"),
    "make chaos": ("tests/chaos/test_chaos.py", "def test_"),
    "make soak": ("tests/soak/test_provider.py", "def test_"),
    "make fuzz": ("tests/fuzz/run.py", "def main"),
    "make bench": ("tests/bench/test_shape.py", "def test_"),
    "make audit": ("Makefile", "pip-audit --strict"),
    ". .venv/bin/activate": ("CONTRIBUTING.md", ". .venv/bin/activate"),
    "vk-provider show": ("tests/test_show.py", "def test_"),
    "vk-provider show job.yaml": ("tests/test_show.py", "def test_"),
    "vk-provider show FILE": ("tests/test_show.py", "def test_"),
    "vk-provider show --request FILE": ("tests/test_show.py", "--request"),
    "vk-provider run --help-all": ("tests/test_cli.py", "--help-all"),
    "python3.11 deploy/image/build.py provider --output vk-provider.tar": (
        "tests/e2e/images.py",
        "deploy/image/build.py",
    ),
    "python3.11 deploy/image/build.py fake-cloud --output vk-fake-cloud.tar": ("tests/e2e/images.py", "fake-cloud"),
    "ctr -n k8s.io images import vk-provider.tar": ("tests/e2e/real/test_deployment.py", '"images", "import"'),
    "kubectl -n vk-provider logs -l app=vk-provider --tail=-1 | grep NAMESPACE/POD": (
        *("tests/e2e/real/test_deployment.py", '"logs", "-l", "app=vk-provider", "--tail=-1"'),
    ),
    "kubectl auth can-i --list": ("tests/e2e/test_install.py", '"auth", "can-i", "--list"'),
    "kubectl apply -k deploy/overlays/webhook": ("tests/e2e/test_install.py", "OVERLAYS"),
    "kubectl eci status": ("tests/local/test_seeing.py", 'vk(world, "eci", "status", program="kubectl")'),
    "vk-provider status": ("tests/local/test_seeing.py", 'vk(world, "status")'),
    "vk-provider explain NAMESPACE/POD": ("tests/local/test_seeing.py", 'vk(world, "explain", "vk/refused")'),
    "vk-provider doctor": ("tests/local/test_seeing.py", 'vk(world, "doctor")'),
    "vk-provider instances": ("tests/local/test_seeing.py", 'vk(world, "instances")'),
    "vk-provider completion": ("tests/commands/test_faces.py", "completion"),
    "kubectl -n vk-provider exec deploy/vk-provider -- vk-provider doctor": (
        *("tests/e2e/real/test_deployment.py", "running.type(DOCTOR)"),
    ),
    "kubectl -n vk-provider port-forward deploy/vk-provider 10262": (
        *("tests/e2e/real/test_deployment.py", "Popen(FORWARD.split()"),
    ),
    "make demo-preemptible": ("tests/preemptible/test_demo.py", "def test_"),
}


@cache
def texts() -> dict[str, Path]:
    """Every text that stands in a test by itself, and where."""
    return {
        node.value: path
        for path in (ROOT / "tests").rglob("*.py")
        if path.name not in ("test_commands.py", "guide_commands.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    }


@pytest.mark.parametrize("command", guide_commands.in_guides())
def test_a_command_is_run_by_a_test(command: str) -> None:
    if command in ELSEWHERE:
        file, known_by = ELSEWHERE[command]
        assert known_by in (ROOT / file).read_text()
    else:
        assert command in SPOKEN_OF or command in texts() or command in NARROWER, (
            "no test runs it, or tests/test_commands.py has to say which"
        )


def test_nothing_is_said_of_commands_that_no_guide_has() -> None:
    assert {*ELSEWHERE, *SPOKEN_OF} - guide_commands.in_guides().keys() == set()
