"""A real worker node on this machine, with a control plane of its own: kubelet, containerd, runc, and pods that run.

  realnode.py up    --bin DIR --dir STATE [--project CHECKOUT]     seconds; the first time minutes, as it builds
  realnode.py sh    --dir STATE [-- COMMAND …]                     a command inside, with KUBECONFIG and PATH set
  realnode.py down  --dir STATE                                    leaves nothing but DIR

As root. Everything runs in namespaces of its own (processes, mounts, network, control groups), so that ending its first
process ends all of it: mounts, network, containers. Control groups stay below the caller's own, of which nothing else
is changed. DIR needs kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kubectl and etcd, which may be
links; the rest (containerd, its shim, ctr, runc, CNI plugins, busybox, pause) is made there by `build`.
CHECKOUT: this project's, whose tests.e2e starts the control plane; run this with its virtual environment's Python.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
NODE, ADDRESS, POD_SUBNET = "real", "198.18.0.1", "198.18.64.0/24"
CONTAINERD = "v2.4.2"
PACKAGES = {
    "runc": "usr/sbin/runc",
    "busybox-static": "bin/busybox",
    "containernetworking-plugins": "usr/lib/cni/bridge",
}
CNI = "bridge", "host-local", "loopback", "portmap"
KUBERNETES = "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl", "etcd"
# What the kubelet would set for the whole machine: it is shown that it is so already.
SYSCTLS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}


# --- programs


def build(programs: Path) -> None:
    """Fetch and build what is missing. Installs nothing on the machine."""
    if missing := [name for name in KUBERNETES if not (programs / name).exists()]:
        sys.exit(f"{programs} has no {', '.join(missing)}")
    if not all((programs / Path(path).name).exists() for path in PACKAGES.values()):
        _unpack(programs)
    go = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -p=1 -mod=mod"}
    module = programs / "module"
    module.mkdir(exist_ok=True)
    if not (programs / "pause").exists():
        _run("go", "build", "-ldflags", "-s -w", "-o", programs / "pause", HERE / "pause.go", env=go, cwd=module)
    commands = [name for name in ("containerd", "containerd-shim-runc-v2", "ctr") if not (programs / name).exists()]
    if commands:
        source = "github.com/containerd/containerd/v2"
        (module / "go.mod").write_text("module realnode\n")
        _run("go", "get", "-tool", *(f"{source}/cmd/{name}@{CONTAINERD}" for name in commands), env=go, cwd=module)
        flags = ["-tags", "no_btrfs no_devmapper no_zfs", "-ldflags", f"-s -w -X {source}/version.Version={CONTAINERD}"]
        for name in commands:
            _run("go", "build", *flags, "-o", programs / name, f"{source}/cmd/{name}", env=go, cwd=module)


def _unpack(programs: Path) -> None:
    root = programs / "debian"
    root.mkdir(exist_ok=True)
    _run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES, cwd=root)
    for package in root.glob("*.deb"):
        _run("dpkg", "-x", package, root)
    for path in (*PACKAGES.values(), *(f"usr/lib/cni/{name}" for name in CNI)):
        shutil.copy(root / path, programs)
    shutil.rmtree(root)


def _run(*command: object, **options: object) -> None:
    subprocess.run([str(each) for each in command], check=True, **options)


# --- outside


def up(programs: Path, state: Path, project: Path) -> None:
    if (state / "outer").exists():
        sys.exit(f"{state} is in use; take it down first")
    build(programs)
    state.mkdir(parents=True, exist_ok=True)
    groups = _groups(state)
    (state / "groups").write_text("\n".join(str(group) for group in groups.values()))
    (state / "hierarchies").write_text("\n".join(groups))
    for group in groups.values():
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one, which nothing can enter then
            if (group / name).exists():
                (group / name).write_text((group.parent / name).read_text())

    def enter_groups() -> None:
        for group in groups.values():
            (group / "cgroup.procs").write_text("0")

    inside = [sys.executable, __file__, "_inside", "--bin", programs, "--dir", state, "--project", project]
    namespaces = ["--mount", "--net", "--pid", "--cgroup", "--ipc", "--uts", "--mount-proc", "--kill-child"]
    with (state / "node.log").open("ab") as log:
        outer = subprocess.Popen(
            ["unshare", *namespaces, *(str(each) for each in inside)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=enter_groups,
        )
    (state / "outer").write_text(json.dumps([outer.pid, _born(outer.pid)]))
    deadline = time.monotonic() + 400
    while not (state / "ready").exists():
        if outer.poll() is not None or time.monotonic() > deadline:
            tail = (state / "node.log").read_text(errors="replace")[-3000:]
            sys.exit(f"{tail}\nnot ready; see {state}/*.log and take it down")
        time.sleep(0.2)
    print(f"node {NODE} is ready: realnode.py sh --dir {state} -- kubectl get nodes")


def down(state: Path) -> None:
    if not (state / "groups").exists():
        sys.exit(f"{state} is not ours")
    if (outer := _outer(state)) is not None:
        os.kill(outer, signal.SIGKILL)  # and with it the first process inside, and with that all others
        while _born(outer) is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(outer, os.WNOHANG)
            time.sleep(0.05)
    for group in (state / "groups").read_text().split():
        _remove_group(Path(group))
    shutil.rmtree(state)


def sh(state: Path, command: list[str]) -> int:
    outer = _outer(state)
    if outer is None:
        sys.exit(f"nothing runs in {state}")
    first = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
    env = {**os.environ, "KUBECONFIG": str(state / "admin.kubeconfig")}
    env["PATH"] = f"{(state / 'bin').resolve()}:{env['PATH']}"
    enter = ["nsenter", "--target", first, "--mount", "--net", "--pid", "--cgroup", "--ipc", "--uts"]
    return subprocess.run([*enter, f"--wd={Path.cwd()}", *(command or ["bash"])], env=env, check=False).returncode


def _groups(state: Path) -> dict[str, Path]:
    """The control group for all of it, below our own in each old-style hierarchy: hierarchy -> its path."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, own = line.split(":", 2)
        if number != "0":  # the new hierarchy has no controllers where old-style ones are mounted
            name = f"realnode-{zlib.crc32(bytes(state)):08x}"
            groups[controllers] = _mounted(controllers) / own.lstrip("/") / name
    return groups or sys.exit("no control groups of the old style here, and the new style is not done yet")


def _mounted(controllers: str) -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and set(controllers.split(",")) <= set(options.split(",")):
            return Path(where)
    sys.exit(f"no mount of the control groups {controllers}")


def _remove_group(group: Path) -> None:
    deadline = time.monotonic() + 10  # the last processes may still be on their way out
    for folder, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def _outer(state: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        pid, born = json.loads((state / "outer").read_text())
        return pid if _born(pid) == born else None
    return None


def _born(pid: int) -> str | None:
    """When a process began, as no other of that number did; None once it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    return None


# --- inside


def inside(programs: Path, state: Path, project: Path) -> None:
    """The first process of the namespaces: sets up, starts everything, and waits for orphans ever after."""
    _mounts(state)
    _network()
    Path("/proc/sys/kernel/hostname").write_text(NODE)
    if not (state / "bin").exists():
        (state / "bin").symlink_to(programs)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"

    sys.path.insert(0, str(project))
    from tests.contract.kube.client import Client
    from tests.e2e.processes import Process

    plane = _control_plane(programs, state)
    plane.start()
    files = _configure(programs, state, plane)
    containerd = Process("containerd", [str(programs / "containerd"), "--config", files["containerd"]], directory=state)
    containerd.start()
    _import_images(programs, state)
    kubelet = ["--config", files["kubelet"], "--kubeconfig", files["kubeconfig"], "--node-ip", ADDRESS]
    Process(
        "kubelet", [str(programs / "kubelet"), *kubelet, "--hostname-override", NODE, "--v", "2"], directory=state
    ).start()
    client = Client(plane.kubeconfig)
    while (node := client.get(f"/api/v1/nodes/{NODE}")).status != 200 or not _ready(node.body):
        time.sleep(0.2)
    (state / "ready").touch()
    while True:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
            continue
        time.sleep(0.5)


def _mounts(state: Path) -> None:
    """Where a node's programs write by default is the state folder; all other files are the machine's."""
    for name in ("lib", "log"):
        (state / name).mkdir(exist_ok=True)
        _run("mount", "--bind", state / name, f"/var/{name}")
    (state / "resolv.conf").write_text(f"nameserver {ADDRESS}\n")  # where nobody answers: no name can be looked up
    _run("mount", "--bind", state / "resolv.conf", "/etc/resolv.conf")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    _run("mount", "-t", "sysfs", "sysfs", "/sys")  # that of our own network
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/sys/fs/cgroup")
    for controllers in (state / "hierarchies").read_text().splitlines():
        where = Path("/sys/fs/cgroup", controllers.removeprefix("name="))
        where.mkdir()
        name = controllers if not controllers.startswith("name=") else f"none,{controllers}"
        _run("mount", "-t", "cgroup", "-o", name, "cgroup", where)
    (state / "sysctl").mkdir(exist_ok=True)
    for name, value in SYSCTLS.items():
        shown = state / "sysctl" / name.replace("/", ".")
        shown.write_text(f"{value}\n")
        _run("mount", "--bind", shown, f"/proc/sys/{name}")


def _network() -> None:
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "node0", "type", "bridge")  # without ports: only to have the address
    _run("ip", "address", "add", f"{ADDRESS}/32", "dev", "node0")
    _run("ip", "link", "set", "node0", "up")


def _control_plane(programs: Path, state: Path):
    from tests.e2e.controlplane import ControlPlane

    class WithNodes(ControlPlane):
        """As for a real node: its rights are the node authorizer's, and pods may be privileged."""

        def _api_server_flags(self):
            more = {"authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction"}
            return {**super()._api_server_flags(), **more, "allow-privileged": True}

    return WithNodes(programs, state, address=ADDRESS, verifies_kubelets=True)


def _configure(programs: Path, state: Path, plane) -> dict[str, str]:
    import yaml

    authority = plane._authority
    certificate, key = plane._pair("kubelet-serving", authority.server([ADDRESS]))
    plane._write_kubeconfig(state / "kubelet.kubeconfig", authority.client(f"system:node:{NODE}", ["system:nodes"]))
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {"x509": {"clientCAFile": str(state / "ca.crt")}},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": ["10.96.0.10"],
        "resolvConf": str(state / "resolv.conf"),
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "registerNode": True,
    }
    (state / "kubelet.yaml").write_text(yaml.safe_dump(kubelet))
    (state / "cni").mkdir(exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_SUBNET}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    network = {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}
    (state / "cni" / "pods.conflist").write_text(json.dumps(network))
    (state / "containerd.toml").write_text(f"""version = 3
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs"]
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "local.test/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true  # we may not have the right to lower it
cdi_spec_dirs = []
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}"]
conf_dir = "{state}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{programs}/runc"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
""")
    return {
        "kubelet": str(state / "kubelet.yaml"),
        "kubeconfig": str(state / "kubelet.kubeconfig"),
        "containerd": str(state / "containerd.toml"),
    }


def _import_images(programs: Path, state: Path) -> None:
    import images

    while subprocess.run([programs / "ctr", "version"], capture_output=True, check=False).returncode:
        time.sleep(0.1)
    for tar in images.write(programs, state / "images"):
        _run(programs / "ctr", "--namespace", "k8s.io", "images", "import", tar)


def _ready(node: dict) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "up", "down", "sh", "_inside"))
    parser.add_argument("--bin", type=Path, default=Path(tempfile.gettempdir(), "realnode", "bin"))
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir(), "realnode", "state"))
    parser.add_argument("--project", type=Path, default=Path.cwd())
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, command = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1 :]
    programs, state, project = given.bin.absolute(), given.dir.absolute(), given.project.absolute()
    if given.what == "build":
        build(programs)
    elif given.what == "up":
        up(programs, state, project)
    elif given.what == "down":
        down(state)
    elif given.what == "sh":
        sys.exit(sh(state, command))
    else:
        inside(programs, state, project)


if __name__ == "__main__":
    main()
