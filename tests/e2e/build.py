"""Where the control plane's programs come from: a folder that is named, or a Kubernetes that is built once.

`KUBE` chooses the version: `1.37` (the default, from Go modules) or `1.20` (the oldest that we promise, from Debian's
source package). `KUBEBUILDER_ASSETS` names a folder with programs of any other. `python -m tests.e2e.build` does the
looking and building, and says what it does; later callers find the result. What is built stays outside the checkout, in
a folder named for the version.
"""

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import debian, modules
from tests.e2e.building import CannotBuild, say

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
UNFINISHED = "being-built-"
NEWEST, OLDEST = "1.37", "1.20"


def wanted() -> str:
    """The version that is asked for, `1.37` or `1.20`. Raises CannotBuild."""
    named = os.environ.get("KUBE") or NEWEST
    if named not in (NEWEST, OLDEST):
        raise CannotBuild(
            f"KUBE={named}: this builds {NEWEST} and {OLDEST}; KUBEBUILDER_ASSETS names programs of others"
        )
    return named


def programs() -> Path:
    """The folder with all four programs. Raises CannotBuild."""
    if named := os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [name for name in PROGRAMS if not Path(named, name).exists()]
        if missing:
            raise CannotBuild(f"KUBEBUILDER_ASSETS={named} has no {', '.join(missing)}")
        return Path(named)
    return built() or build()


def built() -> Path | None:
    """The wanted version, if it has been built."""
    folder = folder_of(wanted())
    return folder if (folder / "ready").exists() else None


def build() -> Path:
    """Build the wanted version: about seven minutes on two cores for the newest, three for the oldest."""
    version = wanted()
    began = time.monotonic()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=cache) as folder:
        if ready := built():
            return ready  # by another, while we waited for our turn
        work, result = Path(folder, "work"), Path(folder, "result")
        work.mkdir()
        result.mkdir()
        if version == OLDEST:
            debian.build(work, result)
        else:
            modules.build(work, result, cache=cache)
        (result / "ready").write_text(f"{version}\n")
        target = folder_of(version)
        shutil.rmtree(target, ignore_errors=True)
        result.rename(target)
    say(f"built Kubernetes {version} in {time.monotonic() - began:.0f} s: {target}")
    return target


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vk-provider"


def folder_of(version: str) -> Path:
    """Where a version's programs are, or will be."""
    name = f"{modules.version()}-{modules.fingerprint()}" if version == NEWEST else f"{OLDEST}-debian-{debian.REVISION}"
    return cache_folder() / f"kubernetes-{name}"


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One builder at a time; what a killed one left behind goes."""
    with (cache / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def main() -> int:
    if os.environ.get("VK_E2E_KUBECONFIG"):
        say("the cluster that VK_E2E_KUBECONFIG names will be used")
        return 0
    try:
        say(f"control plane from {programs()}")
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
