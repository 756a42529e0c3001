"""A control plane whose only node is a virtual one that takes any pod, for what comes with tests of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import build, network
from tests.e2e import provider as providers
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster
from tests.e2e.controlplane import ControlPlane
from tests.e2e.provider import Provider

NODE = "virtual-kubelet"


@contextmanager
def started(
    directory: Path, *, images: str, port: int = 0, flags: Sequence[str] = ()
) -> Iterator[tuple[Cluster, Cloud, Provider]]:
    """All of it in processes that end with the block. images, port, flags: of the fake cloud and of the provider.

    Raises CannotBuild.
    """
    plane = ControlPlane(build.programs(), directory / "plane", address=network.enter())
    cloud = Cloud(directory, images=images)
    try:
        plane.start()
        cloud.start()
        cluster = Cluster(plane.kubeconfig, address=plane.address)
        providers.install(cluster)
        provider = Provider(
            cluster, directory, endpoint=cloud.endpoint, node=NODE, port=port, flags=["--taint-key=", *flags]
        )
        try:
            provider.start()
            yield cluster, cloud, provider
        finally:
            provider.remove()
    finally:
        cloud.stop()
        plane.stop()
