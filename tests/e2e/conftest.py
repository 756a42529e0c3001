"""The stage: one real cluster, one fake cloud and one provider for the run; namespaces and further nodes for each test.

These tests take minutes and programs that are not everywhere, so they run only when their folder is named: `make e2e`.
"""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes import perl
from tests.e2e import build, clients, installed, network, realnode
from tests.e2e import provider as providers
from tests.e2e.cloud import Cloud, images
from tests.e2e.cluster import Cluster, Space, Workers, flattened, within
from tests.e2e.controlplane import ControlPlane
from tests.e2e.manifests import pod_spec
from tests.e2e.provider import Provider
from tests.leaks import note

HERE = Path(__file__).parent
NODE = "virtual-kubelet"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.name == "real" and not realnode.is_inside():
        return True  # make e2e NODE=real
    named = (Path(str(word).partition("::")[0]).absolute() for word in config.args)
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all parts of the run write their files and logs."""
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def able_perl() -> perl.Perl | None:
    """Looked for first: it may have to be fetched, and where the run takes place there is nothing to fetch from."""
    return asyncio.run(perl.find(build.cache_folder()))


@pytest.fixture(scope="session")
def plane(directory: Path, able_perl: perl.Perl | None) -> Iterator[ControlPlane | None]:
    """The control plane that we may stop and start; None where the cluster is somebody's."""
    if os.environ.get("VK_E2E_KUBECONFIG"):
        yield None
        return
    programs = build.programs()
    plane = ControlPlane(programs, directory / "plane", address=network.enter())
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(plane: ControlPlane | None, directory: Path) -> Iterator[Cluster]:
    """With two worker nodes of 4 CPU and 8 Gi each, on which nothing runs, and deploy/ installed."""
    if plane is not None:
        cluster = Cluster(plane.kubeconfig, address=plane.address)
    else:
        config = flattened(Path(os.environ["VK_E2E_KUBECONFIG"]), directory / "kubeconfig")
        cluster = Cluster(config, address=os.environ.get("VK_E2E_NODE_IP", "127.0.0.1"))
    workers = Workers(cluster, [f"worker-{uuid.uuid4().hex[:6]}" for _ in range(2)], cpu="4", memory="8Gi")
    workers.start()
    providers.install(cluster)
    yield cluster
    workers.stop()


@pytest.fixture(scope="session")
def empty(directory: Path) -> Iterator[Cluster]:
    """A control plane on which nothing is installed, for what concerns the whole of a cluster."""
    if os.environ.get("VK_E2E_KUBECONFIG"):
        pytest.skip("VK_E2E_KUBECONFIG names a cluster, and these tests install and remove everything there is")
    plane = ControlPlane(build.programs(), directory / "empty", address=network.enter())
    try:
        plane.start()
        yield Cluster(plane.kubeconfig, address=plane.address)
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def deploy(directory: Path) -> Path:
    """deploy/ with its placeholders filled in."""
    return installed.filled_in(directory / "deploy")


@pytest.fixture(scope="session")
def cloud(cluster: Cluster, directory: Path, able_perl: perl.Perl | None) -> Iterator[Cloud]:
    cloud = Cloud(directory, images=images(able_perl.library if able_perl else ""))
    try:
        cloud.start()
        yield cloud
    finally:
        cloud.stop()


@pytest.fixture(scope="session")
def provider(cluster: Cluster, cloud: Cloud, directory: Path) -> Iterator[Provider]:
    """Runs from the first test to the last; at the end nothing may be left over, and nothing said that is amiss."""
    provider = Provider(cluster, directory, endpoint=cloud.endpoint, node=NODE)
    try:
        provider.start()
        yield provider
        within(60, lambda: not cloud.instances(vk_node=NODE), lambda: cloud.instances(vk_node=NODE))
        note(directory, "told", *cluster.get("/api/v1/events")["items"])
        assert provider.complaints() == []
        assert provider.missing_rights() == []
    finally:
        provider.remove()


@pytest.fixture(scope="session")
def node(provider: Provider) -> str:
    """The name of the virtual node that is always there."""
    return provider.node


@pytest.fixture
def make_provider(cluster: Cluster, cloud: Cloud, directory: Path) -> Iterator[Callable[..., Provider]]:
    """Further providers with nodes of their own, for tests that disturb theirs. Started by who makes them."""
    made: list[Provider] = []

    def make(*flags: str, account: str = providers.ACCOUNT) -> Provider:
        name = f"vk-{uuid.uuid4().hex[:6]}"
        made.append(Provider(cluster, directory, endpoint=cloud.endpoint, node=name, account=account, flags=flags))
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def own(make_provider: Callable[..., Provider]) -> Provider:
    """A provider for a test to stop, kill and start."""
    provider = make_provider()
    provider.start()
    return provider


@contextmanager
def make_space(cluster: Cluster) -> Iterator[Space]:
    """A namespace, told to go in the end; that its pods' instances went too is seen at the end of the run."""
    space = Space(cluster, f"t-{uuid.uuid4().hex[:8]}")
    space.make()
    try:
        yield space
    finally:
        cluster.delete(f"/api/v1/namespaces/{space.name}")


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """A namespace for one test."""
    with make_space(cluster) as space:
        yield space


@pytest.fixture(params=clients.found(), ids=clients.version)
def kubectl(request: pytest.FixtureRequest) -> str:
    """Each kubectl there is."""
    return str(request.param)


@pytest.fixture(scope="session")
def hourglass(cluster: Cluster, provider: Provider) -> Iterator[Space]:
    """A namespace with a CronJob of one run a minute, which keeps one."""
    version = "batch/v1" if cluster.serves("batch/v1", "CronJob") else "batch/v1beta1"
    template = {"spec": {"template": {"spec": pod_spec("echo tick", node=provider.node)}}}
    body = {
        "metadata": {"name": "tick"},
        "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 1, "jobTemplate": template},
    }
    with make_space(cluster) as space:
        cluster.create(f"/apis/{version}/namespaces/{space.name}/cronjobs", body)
        yield space
