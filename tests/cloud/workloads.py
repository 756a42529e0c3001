"""Workloads whose requests are kept in tests/data/eci."""

from __future__ import annotations

from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.model.instance import Owner
from vk_provider.model.probe import Exec, HttpGet, Probe, TcpSocket
from vk_provider.model.workload import (
    Container,
    Dns,
    EmptyDir,
    File,
    Flex,
    FromPodIP,
    Mount,
    Nfs,
    Port,
    RegistryCredential,
    Volume,
    Workload,
)

SETTINGS = EciSettings(
    region="cn-hangzhou",
    cluster="test-cluster",
    node="virtual-kubelet",
    vswitch_ids=("vsw-a", "vsw-b"),
    security_group_id="sg-a",
    resource_group_id="rg-a",
)
BARE = EciSettings(region="eu-west-1", cluster="test-cluster", node="virtual-kubelet")


def owner(name: str = "pi-x7k2p", uid: str = "0f9c2a1e-0000-4000-8000-000000000001", namespace: str = "vk") -> Owner:
    return Owner(cluster="test-cluster", node="virtual-kubelet", namespace=namespace, name=name, uid=uid)


TOKEN = Volume(
    "kube-api-access-abcde",
    files=(File("token", b"eyJhbGciOi.test.token", 0o600), File("ca.crt", b"CERT\n"), File("namespace", b"vk")),
)

PI = Workload(
    owner=owner(),
    containers=(
        Container(
            "pi",
            "perl",
            command=("perl", "-Mbignum=bpi", "-wle", "print bpi(2000)"),
            cpu=16.0,
            memory_gib=32.0,
            image_pull_policy="Always",
            mounts=(Mount(TOKEN.name, "/var/run/secrets/kubernetes.io/serviceaccount", read_only=True),),
        ),
    ),
    volumes=(TOKEN,),
    cpu=16.0,
    memory_gib=32.0,
    restart_policy="Never",
)

EVERYTHING = Workload(
    owner=owner("web.example.com"),
    containers=(
        Container(
            "web",
            "nginx:1.25",
            args=("-g", "daemon off;"),
            env=(("GREETING", "hällo wörld & more"), ("POD_IP", FromPodIP()), ("EMPTY", "")),
            cpu=0.5,
            memory_gib=100 / 1024,
            mounts=(Mount("cache", "/cache"), Mount("cfg", "/etc/app.conf", sub_path="app.conf", read_only=True)),
            ports=(Port(80), Port(53, "UDP")),
            working_dir="/srv",
            image_pull_policy="IfNotPresent",
            stdin=True,
            stdin_once=True,
            tty=True,
        ),
        Container("side", "busybox", command=("sleep", "3600")),
    ),
    init_containers=(
        Container(
            "init",
            "busybox",
            command=("sh", "-c", "echo $IP"),
            env=(("IP", FromPodIP()),),
            mounts=(Mount("shm", "/dev/shm"),),
        ),
    ),
    volumes=(
        Volume("cache", empty_dir=EmptyDir()),
        Volume("shm", empty_dir=EmptyDir("Memory", 64)),
        Volume("cfg", files=(File("app.conf", b"\x00\xff", 0o444), File("sub/b", b"", 0o755))),
        Volume("none", files=()),
    ),
    cpu=0.5,
    memory_gib=100 / 1024,
    restart_policy="OnFailure",
    termination_grace_s=5,
    active_deadline_s=600,
    hostname="web",
    dns=Dns(("10.96.0.10",), ("vk.svc.cluster.local", "svc.cluster.local"), (("ndots", "5"), ("edns0", ""))),
    annotations={"k8s.aliyun.com/eci-spot-strategy": "SpotAsPriceGo"},
)

HEALTHY = Workload(
    owner=owner("healthy"),
    containers=(
        Container("proxy", "envoy", env=(("ECI_CONTAINER_TYPE", "normal"), ("A", "b")), sidecar=True),
        Container(
            "web",
            "nginx",
            liveness=Probe(HttpGet(8080, "/live", "HTTPS"), 5, 7, 2, 1, 4),
            readiness=Probe(Exec(("sh", "-c", "test -e /ready")), success_threshold=2),
            post_start=TcpSocket(9000, "10.0.0.1"),
            pre_stop=HttpGet(8080, "/bye", "HTTP", "10.0.0.2", (("X-A", "1"), ("X-B", ""))),
        ),
        Container("tcp", "nginx", liveness=Probe(TcpSocket(9000)), post_start=Exec(("a", "b")), pre_stop=TcpSocket(80)),
    ),
)
NOTHING_ASKED = Workload(owner=owner("bare"), containers=(Container("main", "busybox"),))

STORAGE = Workload(
    owner=owner("db-0"),
    containers=(
        Container(
            "db",
            "postgres:16",
            mounts=(Mount("data", "/data", sub_path="pg"), Mount("share", "/share", read_only=True)),
        ),
    ),
    volumes=(
        Volume("data", flex=Flex("alicloud/disk", "ext4", {"volumeId": "d-1"})),
        Volume("share", nfs=Nfs("nas.example.com", "/a", read_only=True)),
        Volume("bucket", flex=Flex("alicloud/oss", options={"akId": "id", "akSecret": "hush", "bucket": "bücket"})),
    ),
    registry_credentials=(
        RegistryCredential("docker.io", "u", "hush:hush"),
        RegistryCredential("registry.example.com:5000", "v", ""),
    ),
)

CASES = {
    "storage": (STORAGE, BARE),
    "pi": (PI, SETTINGS),
    "everything": (EVERYTHING, SETTINGS),
    "healthy": (HEALTHY, BARE),
    "nothing_asked": (NOTHING_ASKED, BARE),
}
