"""Where the control plane's programs come from: a folder that is named, or Debian's source package, built once.

`python -m tests.e2e.build` does the looking and building, and says what it does; later callers find the result. What is
built stays outside the checkout, in a folder named for the version. The system's own package configuration is read,
never changed.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
SOURCE_PACKAGE, ETCD_PACKAGE = "kubernetes", "etcd-server"
TOOLS = {"go": "golang-go", "jq": "jq", "rsync": "rsync", "dpkg-source": "dpkg-dev", "make": "make", "xz": "xz-utils"}
ADVICE = f"name a folder with {', '.join(PROGRAMS)} in KUBEBUILDER_ASSETS"
UNFINISHED = "being-built-"
SYSTEM_SOURCES = Path("/etc/apt")


class CannotBuild(Exception):
    """There is no control plane here and none can be made; the message says what to do."""


def programs() -> Path:
    """The folder with all four programs. Raises CannotBuild."""
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [name for name in PROGRAMS if not Path(named, name).exists()]
        if missing:
            raise CannotBuild(f"KUBEBUILDER_ASSETS={named} has no {', '.join(missing)}")
        return Path(named)
    return _built() or build()


def _built() -> Path | None:
    """What was built last."""
    built = sorted(cache_folder().glob("kubernetes-*/ready"), key=lambda ready: ready.stat().st_mtime)
    return built[-1].parent if built else None


def build() -> Path:
    """Build from Debian's source package: about three minutes on two cores."""
    began = time.monotonic()
    _need_tools()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=cache) as folder:
        if ready := _built():
            return ready  # by another, while we waited for our turn
        work = Path(folder)
        _say("fetching the source of Kubernetes and the etcd package")
        apt = _Apt(work)
        version = apt.fetch()
        result = work / "result"
        result.mkdir()
        _compile(work, result)
        shutil.copy(apt.etcd(), result / "etcd")
        (result / "ready").write_text(f"{version}\n")
        target = cache / f"kubernetes-{version}"
        shutil.rmtree(target, ignore_errors=True)
        result.rename(target)
    _say(f"built Kubernetes {version} in {time.monotonic() - began:.0f} s: {target}")
    return target


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vk-provider"


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One builder at a time; what a killed one left behind goes."""
    with (cache / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _say(text: str) -> None:
    sys.stdout.write(f"e2e: {text}\n")
    sys.stdout.flush()


def _need_tools() -> None:
    if shutil.which("apt-get") is None:
        raise CannotBuild(
            f"no apt-get here to build from; name a folder with {', '.join(PROGRAMS)} in KUBEBUILDER_ASSETS"
        )
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not packages:
        return
    if os.geteuid() != 0:
        raise CannotBuild(f"building Kubernetes needs: sudo apt-get install {' '.join(packages)}")
    _say(f"installing {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-qq"], env=quiet)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)


class _Apt:
    """apt-get with lists and sources of its own: the system's, read as sources of source packages too."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._folder = work / "apt"
        for part in ("lists/partial", "cache/archives/partial", "parts"):
            (self._folder / part).mkdir(parents=True)
        (self._folder / "sources.list").write_text("".join(f"{line}\n" for line in source_lines(SYSTEM_SOURCES)))

    def fetch(self) -> str:
        """Unpacked into `src` in the work folder. Returns the version of the package."""
        self._apt("update", "-qq")
        self._apt("source", "-qq", "--download-only", SOURCE_PACKAGE)
        descriptions = list(self._work.glob(f"{SOURCE_PACKAGE}_*.dsc"))
        if not descriptions:
            raise CannotBuild(f"this system's package sources have no source package {SOURCE_PACKAGE}")
        _run(["dpkg-source", "-x", "--no-check", descriptions[0].name, "src"], cwd=self._work)
        return descriptions[0].stem.split("_", 1)[1]

    def etcd(self) -> Path:
        """The program out of its package, which is unpacked and not installed: its service is not wanted here."""
        self._apt("download", "-qq", ETCD_PACKAGE)
        _run(["dpkg-deb", "-x", next(self._work.glob(f"{ETCD_PACKAGE}_*.deb")).name, "etcd"], cwd=self._work)
        return self._work / "etcd" / "usr" / "bin" / "etcd"

    def _apt(self, *words: str) -> None:
        own = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": self._folder / "parts",
            "Dir::State::lists": self._folder / "lists",
            "Dir::Cache": self._folder / "cache",
            "APT::Sandbox::User": "root",  # the sandbox's own user may not enter our folder
        }
        options = [word for name, value in own.items() for word in ("-o", f"{name}={value}")]
        _run(["apt-get", *options, *words], cwd=self._work)


def source_lines(folder: Path) -> Iterator[str]:
    """What a system's apt is configured with, as lines of sources.list: each `deb` line, and the same as `deb-src`.

    Both spellings are read: one line each, and paragraphs of fields (`*.sources`).
    """
    for file in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else ():
            words = line.split("#")[0].split(maxsplit=1)
            if len(words) == 2 and words[0] == "deb":
                yield from (f"deb {words[1]}", f"deb-src {words[1]}")
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        for paragraph in file.read_text().split("\n\n"):
            yield from _paragraph(paragraph)


def _paragraph(text: str) -> Iterator[str]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith(("#", " ")):
            fields[name.strip().lower()] = value.strip()
    if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
        return
    key = fields.get("signed-by", "")
    option = f"[signed-by={key}] " if key.startswith("/") else ""
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            for kind in ("deb", "deb-src"):
                yield f"{kind} {option}{uri} {suite} {fields.get('components', '')}".rstrip()


def _compile(work: Path, result: Path) -> None:
    """In the old way of Go, with a GOPATH: the package brings its dependencies in `vendor`."""
    source = work / "gopath" / "src" / "k8s.io" / "kubernetes"
    source.parent.mkdir(parents=True)
    (work / "src").rename(source)
    if not (source / "vendor").is_dir() or (source / "go.work").exists():
        raise CannotBuild(
            "this system's source package of Kubernetes is not of the kind that is built here (Debian 12's is);"
            f" {ADVICE}"
        )
    env = {
        **os.environ,
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOTMPDIR": str(work),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    _say("generating code")
    _run(["make", "gen_openapi"], cwd=source, env=env)
    _say("compiling kube-apiserver, kube-controller-manager and kube-scheduler (about three minutes)")
    commands = [f"./cmd/{name}" for name in PROGRAMS if name != "etcd"]
    _run(["go", "build", "-o", f"{result}/", *commands], cwd=source, env=env)


def _run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Silent unless it fails. Raises CannotBuild with the end of what it said."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise CannotBuild(f"{' '.join(command[:2])} … failed with code {done.returncode}:\n{said}")


def main() -> int:
    if os.environ.get("VK_E2E_KUBECONFIG"):
        _say("the cluster that VK_E2E_KUBECONFIG names will be used")
        return 0
    try:
        _say(f"control plane from {programs()}")
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
