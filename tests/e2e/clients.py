"""kubectl of several ages, for old clients on new servers and the reverse: 1.20, 1.32 and the newest.

The newest is built with the control plane, 1.32 from its Go module, 1.20 is Debian's package, unpacked and not
installed. `python -m tests.e2e.clients` brings those that are missing, and says which there are.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e import build
from tests.e2e.building import CannotBuild, run, say
from tests.e2e.neighbours.programs import KUBECTL_1_32

OLDEST = "1.20"


def found() -> list[str]:
    """The kubectl of the path, those that KUBECTL names, and those that have been brought; each version once."""
    named = [shutil.which("kubectl"), *os.environ.get("KUBECTL", "").split(os.pathsep)]
    brought = [build.folder_of(build.NEWEST) / "kubectl", KUBECTL_1_32.found(), _oldest()]
    paths = [*named, *(str(each) for each in brought if each and each.exists())]
    versions: dict[str, str] = {}
    for path in paths:
        if path:
            versions.setdefault(version(path), path)
    return list(versions.values())


def version(program: str) -> str:
    """Major and minor, as in "1.32"; empty for what is no kubectl."""
    done = subprocess.run([program, "version", "--client"], capture_output=True, text=True, check=False)
    match = re.search(r'v(\d+\.\d+)|Major:"(\d+)", Minor:"(\d+)', done.stdout)
    return (match[1] or f"{match[2]}.{match[3]}") if match else ""


def bring() -> None:
    """Those that are missing. Raises CannotBuild."""
    there = {version(each) for each in found()}
    if OLDEST not in there:
        _fetch_oldest()
    if "1.32" not in there:
        KUBECTL_1_32.program()


def _oldest() -> Path:
    return build.cache_folder() / f"kubectl-{OLDEST}" / "kubectl"


def _fetch_oldest() -> None:
    with tempfile.TemporaryDirectory() as work:
        say(f"fetching Debian's kubectl {OLDEST}")
        run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "kubernetes-client"], cwd=Path(work))
        package = next(Path(work).glob("*.deb"), None)
        if package is None:
            raise CannotBuild("apt-get brought no package kubernetes-client")
        run(["dpkg", "-x", str(package), work])
        _oldest().parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(work, "usr/bin/kubectl"), _oldest())


def main() -> int:
    try:
        bring()
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    say(f"kubectl {', '.join(version(each) for each in found())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
