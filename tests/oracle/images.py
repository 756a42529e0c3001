"""The images of the cases, for the fake cloud: `local.test/busybox:1` and `local.test/agnhost:1`.

busybox is a root directory made of a static busybox, as records of real nodes have it: the one on PATH, or of the
distribution's package `busybox-static`, which is fetched and unpacked, not installed. Without either, this machine's
own programs stand for it, and some logs will differ.

As in the records, the images are there and no registry is, so a pull that must take place fails.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.build import cache_folder
from tests.e2e.building import CannotBuild

PACKAGE, PROGRAM = "busybox-static", "bin/busybox"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
NO_REGISTRY = "failed to pull and unpack image: failed to resolve image: no registry can be reached"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(directory: Path) -> Path:
    """The images file, and beside it the root that it names."""
    directory.mkdir(parents=True, exist_ok=True)
    busybox = _busybox()
    root = _root(directory / "busybox", busybox) if busybox else "host"
    program = str(Path(__file__).with_name("agnhost.py"))
    python = str(Path(sys.base_prefix, "bin", "python3"))
    file = directory / "images.toml"
    file.write_text(
        f"""
[[image]]
name = "local.test/busybox:1"
root = {json.dumps(str(root))}
command = ["sh"]
env = {{ PATH = "{PATH}" }}
cached = true
fail = "{NO_REGISTRY}"

[[image]]
name = "local.test/agnhost:1"
entrypoint = [{json.dumps(python)}, {json.dumps(program)}]
command = ["pause"]
binds = [{json.dumps(program)}, {json.dumps(sys.base_prefix)}]
env = {{ PATH = "{PATH}" }}
cached = true
fail = "{NO_REGISTRY}"
"""
    )
    return file


def busybox_root(root: Path) -> Path:
    """A root directory of a static busybox, made anew. Raises CannotBuild where there is none."""
    busybox = _busybox()
    if busybox is None:
        raise CannotBuild("a static busybox is missing: apt-get install busybox-static")
    return _root(root, busybox)


def _root(root: Path, busybox: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "etc", "proc", "sys", "dev", "root", "var", "tmp", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text(PASSWD)
    (root / "etc" / "group").write_text("root:x:0:\n")
    shutil.copy(busybox, root / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    return root


def _busybox() -> Path | None:
    kept = cache_folder() / "busybox"
    found = shutil.which("busybox")
    if found and _is_static(found):
        return Path(found)
    return _kept(kept, PACKAGE, PROGRAM)


def static_bash() -> Path:
    """Raises CannotBuild where there is none."""
    found = _kept(cache_folder() / "bash", "bash-static", "bin/bash-static")
    if found is None:
        raise CannotBuild("a static bash is missing, and apt-get did not bring the package bash-static")
    return found


def _kept(target: Path, package: str, program: str) -> Path | None:
    """A program out of a package of the distribution, fetched the first time; None if it cannot be had."""
    if not target.exists():
        _fetch(target, package, program)
    return target if target.exists() else None


def _fetch(target: Path, package: str, program: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package],
            cwd=folder,
            check=False,
            capture_output=True,
        )
        packages = list(Path(folder).glob("*.deb"))
        if fetched.returncode or not packages:
            return
        subprocess.run(["dpkg", "-x", str(packages[0]), folder], check=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(folder, program), target)


def _is_static(program: str) -> bool:
    return b"/ld-" not in Path(program).read_bytes()[:4096]
