"""The stage of `make e2e NODE=real`: this process runs within the namespaces of a real node."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Space
from tests.e2e.conftest import make_space


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """With the real node alone."""
    return Cluster(Path(os.environ["VK_E2E_KUBECONFIG"]), address=os.environ["VK_E2E_NODE_IP"])


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    with make_space(cluster) as space:
        yield space
