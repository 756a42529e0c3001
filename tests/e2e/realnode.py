"""A real worker node for tests: kubelet, containerd and runc with real pods, beside a control plane of its own.

`python -m tests.e2e.realnode COMMAND …` builds what is missing (the kubelet out of the Go module of the control plane,
containerd out of its own), starts the node in namespaces of its own, runs the command inside with VK_E2E_KUBECONFIG,
VK_E2E_NODE_IP and VK_REAL_NODE set, and takes it all down. As root, on Linux with control groups of the old style. A
test that runs inside sees the node's control groups below /sys/fs/cgroup, and `ctr` and `kubectl` are on its PATH.

How the node is made stands in `tests/oracle/realnode/realnode.py`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import build, kubeproxy, modules
from tests.e2e.building import CannotBuild, run, say

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "tests" / "oracle" / "realnode" / "realnode.py"
NODE, ADDRESS = "real", "198.18.0.1"
PROGRAMS = {
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    **kubeproxy.PROGRAM,
}
_VERSION_OF = "k8s.io/component-base/version"


def why_not() -> str:
    """Why there can be no such node here; empty where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a real node needs Linux and root"
    if not Path("/sys/fs/cgroup/cpu/cpu.shares").exists():
        return "a real node needs control groups of the old style, and this machine has none"
    missing = [name for name in ("unshare", "nsenter", "ip", "apt-get") if shutil.which(name) is None]
    return f"a real node needs {', '.join(missing)}" if missing else ""


def is_inside() -> bool:
    """Whether this process runs within such a node."""
    return bool(os.environ.get("VK_REAL_NODE"))


def programs() -> Path:
    """The folder with all programs of a node and of its control plane, made the first time. Raises CannotBuild."""
    plane = build.programs()
    target = build.cache_folder() / f"node-{modules.version()}-{modules.fingerprint()}"
    target.mkdir(parents=True, exist_ok=True)
    for name in (*build.PROGRAMS, "kubectl"):
        link = target / name
        link.unlink(missing_ok=True)
        found = plane / name if (plane / name).exists() else Path(shutil.which(name) or plane / name)
        link.symlink_to(found)
    if missing := [name for name in PROGRAMS if not (target / name).exists()]:
        _compile(target, missing)
    _script("build", "--bin", target)
    kubeproxy.unpack_nft(target)
    return target


def _compile(target: Path, names: Sequence[str]) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    major, minor, _ = modules.version().split(".", 2)
    set_ = {"gitVersion": f"v{modules.version()}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {_VERSION_OF}.{name}={value}" for name, value in set_.items())])
    with tempfile.TemporaryDirectory(dir=target) as folder:
        module = Path(folder, "module")
        shutil.copytree(modules.KUBERNETES, module)  # its go.sum lacks what only these programs need
        for name in names:
            say(f"compiling {name} {modules.version()}")
            run(["go", "build", "-ldflags", flags, "-o", str(target / name), PROGRAMS[name]], cwd=module, env=env)


def _script(*words: object) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], check=True)


@contextmanager
def started(folder: Path) -> Iterator[Sequence[str]]:
    """A running node; yields the words that go before a command that is to run inside. folder: an empty one of ours."""
    state, where = folder / "state", ["--bin", str(programs()), "--project", str(PROJECT)]
    try:
        _script("up", "--dir", state, *where)
        yield [sys.executable, str(SCRIPT), "sh", "--dir", str(state), "--"]
    finally:
        if (state / "groups").exists():
            _script("down", "--dir", state)


def main(command: Sequence[str]) -> int:
    if reason := why_not():
        sys.stderr.write(f"e2e: {reason}\n")
        return 2
    env = {**os.environ, "VK_REAL_NODE": NODE, "VK_E2E_NODE_IP": ADDRESS}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else nobody takes the node down
    try:
        with tempfile.TemporaryDirectory(prefix="vk-node-") as folder, started(Path(folder)) as inside:
            config = Path(folder, "state", "admin.kubeconfig")
            env |= {"VK_E2E_KUBECONFIG": str(config), "KUBECONFIG": str(config)}
            return subprocess.run([*inside, *command], env=env, check=False).returncode
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
