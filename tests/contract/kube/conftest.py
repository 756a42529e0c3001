"""Where the contract is tested: the stand-in, or the real API server that VK_E2E_KUBECONFIG names."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.kube.client import Client, eventually, pod
from tests.programs import NO_KUBECTL


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """An administrator's kubeconfig of the server under test; the stand-in runs without its workload controllers."""
    if real := os.environ.get("VK_E2E_KUBECONFIG"):
        yield Path(real)
        return
    with stand_in("--no-controllers", "--bookmark-interval", "1") as config:
        yield config


@contextmanager
def stand_in(*arguments: str) -> Iterator[Path]:
    """A running stand-in's administrator kubeconfig."""
    with tempfile.TemporaryDirectory() as folder:
        config, ready = Path(folder) / "kubeconfig", Path(folder) / "ready"
        command = [sys.executable, "-m", "fakes", "kube", "--kubeconfig", str(config), "--ready-file", str(ready)]
        command += arguments
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                deadline = time.monotonic() + 30
                while not ready.exists():
                    assert process.poll() is None, process.stdout.read() if process.stdout else ""
                    assert time.monotonic() < deadline, "the stand-in did not get ready"
                    time.sleep(0.05)
                assert json.loads(ready.read_text())["kubeconfig"] == str(config)
                yield config
            finally:
                process.terminate()
                process.communicate(timeout=10)


@pytest.fixture(scope="session")
def client(kubeconfig: Path) -> Client:
    return Client(kubeconfig)


@pytest.fixture
def space(client: Client) -> Iterator[str]:
    """A namespace of the test's own, furnished and later deleted."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    assert client.create("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    path = f"/api/v1/namespaces/{name}"
    # before 1.24 an account is of use only once it has a token
    eventually(lambda: client.create(f"{path}/pods?dryRun=All", pod()).status == 201)
    yield name
    client.delete(path)


@pytest.fixture
def core(space: str) -> str:
    return f"/api/v1/namespaces/{space}"


@pytest.fixture
def node(client: Client) -> Iterator[str]:
    """A Node object nobody stands behind."""
    name = f"n-{uuid.uuid4().hex[:8]}"
    assert client.create("/api/v1/nodes", {"metadata": {"name": name}}).status == 201
    yield name
    client.delete(f"/api/v1/nodes/{name}")


def _kubectls() -> list[str]:
    found = [shutil.which("kubectl"), *os.environ.get("KUBECTL", "").split(os.pathsep)]
    return [path for path in found if path]


@pytest.fixture(params=_kubectls() or [pytest.param("", marks=pytest.mark.skip(reason=NO_KUBECTL))])
def kubectl_path(request: pytest.FixtureRequest) -> str:
    return str(request.param)
