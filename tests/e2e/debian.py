"""Kubernetes 1.20.2 and etcd out of Debian's source package: the oldest control plane that we promise to work with.

The system's own package configuration is read, never changed. One dependency is replaced: reflect2 1.0.1 walks maps
by an internal of the Go runtime that is another since Go 1.18, so that an API server built with such a Go crashes when
a webhook's patch is put into the audit log. Those that were released had been built with an older one.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.building import CannotBuild, run, say

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
SOURCE_PACKAGE, ETCD_PACKAGE = "kubernetes", "etcd-server"
TOOLS = {"go": "golang-go", "jq": "jq", "rsync": "rsync", "dpkg-source": "dpkg-dev", "make": "make", "xz": "xz-utils"}
REVISION = 3  # of what this makes; another one is built anew
REPLACED = "github.com/modern-go/reflect2"
REPLACED_BY = f"{REPLACED}@v1.0.2"
SYSTEM_SOURCES = Path("/etc/apt")
_VERSIONS = tuple(
    f"k8s.io/kubernetes/vendor/k8s.io/{each}" for each in ("component-base/version", "client-go/pkg/version")
)


def build(work: Path, result: Path) -> None:
    """Put the four programs into `result`: about three minutes on two cores. work: an empty folder for what it needs.

    Raises CannotBuild.
    """
    _need_tools()
    say("fetching the source of Kubernetes and the etcd package")
    apt = _Apt(work)
    apt.fetch()
    _compile(work, result)
    shutil.copy(apt.etcd(), result / "etcd")


def _need_tools() -> None:
    if shutil.which("apt-get") is None:
        raise CannotBuild("no apt-get here to build from; name a folder with the programs in KUBEBUILDER_ASSETS")
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if not packages:
        return
    if os.geteuid() != 0:
        raise CannotBuild(f"building Kubernetes needs: sudo apt-get install {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)


class _Apt:
    """apt-get with lists and sources of its own: the system's, read as sources of source packages too."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._folder = work / "apt"
        for part in ("lists/partial", "cache/archives/partial", "parts"):
            (self._folder / part).mkdir(parents=True)
        (self._folder / "sources.list").write_text("".join(f"{line}\n" for line in source_lines(SYSTEM_SOURCES)))

    def fetch(self) -> None:
        """Unpack the source into `src` in the work folder."""
        self._apt("update", "-qq")
        self._apt("source", "-qq", "--download-only", SOURCE_PACKAGE)
        descriptions = list(self._work.glob(f"{SOURCE_PACKAGE}_*.dsc"))
        if not descriptions:
            raise CannotBuild(f"this system's package sources have no source package {SOURCE_PACKAGE}")
        run(["dpkg-source", "-x", "--no-check", descriptions[0].name, "src"], cwd=self._work)

    def etcd(self) -> Path:
        """The program out of its package, which is unpacked and not installed: its service is not wanted here."""
        self._apt("download", "-qq", ETCD_PACKAGE)
        run(["dpkg-deb", "-x", next(self._work.glob(f"{ETCD_PACKAGE}_*.deb")).name, "etcd"], cwd=self._work)
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
        run(["apt-get", *options, *words], cwd=self._work)


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
            " name a folder with the programs in KUBEBUILDER_ASSETS"
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
    _replace_reflect2(source / "vendor" / REPLACED, work)
    say("generating code")
    run(["make", "gen_openapi"], cwd=source, env=env)
    say("compiling kube-apiserver, kube-controller-manager and kube-scheduler (about three minutes)")
    commands = [f"./cmd/{name}" for name in PROGRAMS]
    flags = linker_flags(version_of((source / "debian" / "changelog").read_text()))
    run(["go", "build", "-ldflags", flags, "-o", f"{result}/", *commands], cwd=source, env=env)


def version_of(changelog: str) -> str:
    """That of Kubernetes, as in "1.20.2": Debian's "1.20.5+really1.20.2-1" is 1.20.2. Raises CannotBuild."""
    found = re.match(r"\S+ \((?:\S+really)?(\d+\.\d+\.\d+)\S*\)", changelog)
    if found is None:
        raise CannotBuild("the source package's changelog names no version of Kubernetes")
    return found[1]


def linker_flags(version: str) -> str:
    """The programs say their version, which Helm asks for; no symbols."""
    major, minor, _ = version.split(".")
    said = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(
        ["-s", "-w", *(f"-X {package}.{name}={text}" for package in _VERSIONS for name, text in said.items())]
    )


def _replace_reflect2(vendored: Path, work: Path) -> None:
    env = {**os.environ, "GO111MODULE": "on", "GOFLAGS": "-mod=mod", "GOPATH": str(work / "modules")}
    answer = run(["go", "mod", "download", "-modcacherw", "-json", REPLACED_BY], cwd=work, env=env)
    newer = Path(json.loads(answer)["Dir"])
    for file in vendored.iterdir():
        if file.suffix in (".go", ".s"):
            file.unlink()
    for file in newer.iterdir():
        if file.suffix in (".go", ".s") and not file.stem.endswith("_test"):
            shutil.copy(file, vendored)
