"""One virtual node that takes any pod, at a kubelet's own port, for what others bring."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import onenode
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster
from tests.e2e.provider import Provider

PORT = 10250
# The library's suite has images that are none; each stands for a program that runs until it is told to end.
IMAGES = """
[[image]]
name = "busybox"
command = ["sh"]
pull_s = 0.1

[[image]]
name = "*"
command = ["sh", "-c", "while :; do sleep 0.2; done"]
pull_s = 0.1
"""


@pytest.fixture(scope="session")
def stage(directory: Path) -> Iterator[tuple[Cluster, Cloud, Provider]]:
    # Pods are reached through the API server's proxy of pods, which shows no certificate.
    with onenode.started(directory, images=IMAGES, port=PORT, flags=["--insecure-kubelet-api"]) as running:
        yield running


@pytest.fixture(scope="session")
def cluster(stage: tuple[Cluster, Cloud, Provider]) -> Cluster:
    return stage[0]


@pytest.fixture(scope="session")
def provider(stage: tuple[Cluster, Cloud, Provider]) -> Provider:
    return stage[2]
