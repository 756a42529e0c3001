"""Builds the images without a container engine, without root and without a registry, on Debian or one of its children.

    python3.11 deploy/image/build.py provider --output vk-provider.tar
    python3.11 deploy/image/build.py fake-cloud --output vk-fake-cloud.tar

Three layers: Debian's Python with the libraries it needs and no shell; the packages of deploy/requirements.txt, held
against their hashes; the program. Beside the archive it writes what is in the image (`.cdx.json`, CycloneDX). The
Python that runs this has to be of Debian's minor version, for which packages are compiled; it needs pip, apt-get and
dpkg-deb.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import oci
import sbom

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN, PACKAGES = "usr/local/bin", "usr/local/lib/python{}/dist-packages"
USER = 65532
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n"
GROUP = f"root:x:0:\nnonroot:x:{USER}:\n"
# Of Debian's packages: what nothing here reads.
UNREAD = (
    *(
        "usr/share/doc",
        "usr/share/man",
        "usr/share/lintian",
        "usr/share/locale",
        "usr/share/perl5",
        "usr/share/pixmaps",
    ),
    *(
        "usr/share/applications",
        "usr/share/binfmts",
        "usr/lib/*/gconv",
        "usr/lib/*/perl-base",
        "usr/lib/mime",
        "usr/sbin",
    ),
)


@dataclass(frozen=True)
class Image:
    """name: of the image. module: what is started. folders: of the repository, that go in besides the provider."""

    name: str
    module: str
    command: Sequence[str] = ()
    folders: Sequence[str] = ()


IMAGES: Mapping[str, Image] = {
    "provider": Image("vk-provider", "vk_provider"),
    "fake-cloud": Image("vk-fake-cloud", "fakes", ("cloud", "--host=0.0.0.0", "--port=8080"), ("fakes",)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", choices=IMAGES)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the archive to write")
    parser.add_argument("--name", default="", help="name and tag; default: docker.io/library/IMAGE:VERSION")
    given = parser.parse_args()
    try:
        build(IMAGES[given.image], given.output, name=given.name)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n{getattr(error, 'stderr', '') or ''}")
        return 1
    return 0


def build(image: Image, output: Path, *, name: str = "") -> None:
    """Raises RuntimeError in words, OSError and CalledProcessError."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise RuntimeError(f"{program} is missing: this builds from Debian's packages; else use deploy/Dockerfile")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="vk-image-") as folder:
        work = Path(folder)
        debian, python = _debian(work)
        wheels = _wheels(work, python)
        _program(work, image, python, wheels)
        parts = [*map(sbom.of_deb, debian), *map(sbom.of_wheel, wheels)]
        bill = json.dumps(sbom.document(image.name, version, parts), indent=1) + "\n"
        inside = work / "program" / "usr/share" / image.name / "sbom.cdx.json"
        inside.parent.mkdir(parents=True)
        inside.write_text(bill)
        layers = [oci.layer(work / each) for each in ("debian", "packages", "program")]
    digest = oci.write(
        output,
        name=name or f"docker.io/library/{image.name}:{version}",
        architecture=_said("dpkg", "--print-architecture"),
        layers=layers,
        config={
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/local/bin:/usr/bin", "PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8"],
            "Entrypoint": [f"/{BIN}/{image.name}"],
            "Cmd": [] if image.command else ["--help"],
            "Labels": {"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
        },
    )
    output.with_suffix(".cdx.json").write_text(bill)
    size = output.stat().st_size / 2**20
    sys.stdout.write(f"{output}: {digest}, {size:.0f} MiB, {len(parts)} components\n")


# --- Debian's part ----------------------------------------------------------------------------------------------------


def _debian(work: Path) -> tuple[list[Path], str]:
    """Python and what it needs, unpacked into work/debian: the packages' files, and Python's version as in "3.11"."""
    found = re.search(r"python(3\.\d+)-minimal", _said("apt-cache", "depends", "python3-minimal"))
    if found is None:
        raise RuntimeError("apt knows no python3-minimal: run apt-get update first")
    python = found[1]
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        raise RuntimeError(f"Debian's Python is {python}: start this with python{python}")
    wanted = [f"python{python}-minimal", f"libpython{python}-stdlib", "ca-certificates"]
    downloads, root = work / "debs", work / "debian"
    downloads.mkdir()
    root.mkdir()
    status = work / "status"
    status.touch()  # as if nothing were installed, so that apt names everything that is needed
    empty = ["-o", f"Dir::State::status={status}", "-o", "APT::Install-Recommends=false"]
    lines = _said("apt-get", *empty, "--print-uris", "-qq", "install", *wanted).splitlines()
    names = [line.split()[1].split("_")[0] for line in lines if line.startswith("'")]
    # A certificate's installer, and what it is written in, are not needed to read certificates.
    names = [name for name in names if name not in ("openssl", "debconf", "perl-base", "cdebconf", "dpkg", "tar")]
    _run("apt-get", "-o", "APT::Sandbox::User=", "-qq", "download", *names, cwd=downloads)
    files = sorted(downloads.glob("*.deb"))
    for file in files:
        _run("dpkg-deb", "--extract", file, root)
    for pattern in UNREAD:
        for path in root.glob(pattern):
            shutil.rmtree(path)
    _furnish(root)
    (root / "usr/bin/python3").symlink_to(f"python{python}")
    return files, python


def _furnish(root: Path) -> None:
    """What the packages' own scripts, or an installer, would have made."""
    bundle = root / CERTIFICATES
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted((root / "usr/share/ca-certificates").rglob("*.crt"))))
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")  # else /etc/hosts may come last
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):  # merged with usr/, as on any Debian since 12
        _merge(root, name)


def _merge(root: Path, name: str) -> None:
    top, below = root / name, root / "usr" / name
    if top.is_dir() and not top.is_symlink():
        shutil.copytree(top, below, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(top)
    if below.is_dir() and not top.exists():
        top.symlink_to(f"usr/{name}")


# --- Python's part ----------------------------------------------------------------------------------------------------


def _wheels(work: Path, python: str) -> list[Path]:
    """Every package, and the provider itself, as wheels; the packages are installed into work/packages."""
    tools, wheels = work / "tools", work / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    hashes = "--require-hashes"
    _run(*pip, "install", hashes, "--target", tools, "-r", DEPLOY / "requirements-build.txt")
    build = ["--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
    env = {"PYTHONPATH": str(tools)}
    _run(*pip, "wheel", hashes, *build, "-r", DEPLOY / "requirements.txt", env=env)
    packages = sorted(wheels.glob("*.whl"))
    _install(pip, packages, work / "packages", python)
    source = work / "source"
    shutil.copytree(ROOT / "vk_provider", source / "vk_provider", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _run(*pip, "wheel", *build, source, env=env)
    return sorted(wheels.glob("*.whl"))


def _program(work: Path, image: Image, python: str, wheels: Sequence[Path]) -> None:
    root = work / "program"
    target = root / PACKAGES.format(python)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _install(pip, [each for each in wheels if each.name.startswith("vk_provider-")], root, python)
    for name in image.folders:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        _compile(target / name, root)
    script = root / BIN / image.name
    script.parent.mkdir(parents=True)
    words = "".join(f", {word!r}" for word in image.command)
    script.write_text(
        f"#!/usr/bin/python{python} -I\nimport runpy, sys\n"
        f"sys.argv = [sys.argv[0]{words}, *sys.argv[1:]]\nrunpy.run_module({image.module!r}, run_name='__main__')\n"
    )
    script.chmod(0o755)


def _install(pip: Sequence[str], wheels: Sequence[Path], root: Path, python: str) -> None:
    target = root / PACKAGES.format(python)
    _run(*pip, "install", "--no-index", "--no-deps", "--no-compile", "--target", target, *wheels)
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/direct_url.json"):  # names a folder of this machine
        record.unlink()
    _compile(target, root)


def _compile(folder: Path, root: Path) -> None:
    """For a root that is read-only. Bytecode holds by itself, for the times of the files are taken away."""
    mode = ["--invalidation-mode", "unchecked-hash"]
    # A package may bring files for other Pythons, which this one cannot compile.
    _run(sys.executable, "-m", "compileall", "-qq", *mode, "-s", root, "-p", "/", folder, check=False)


# --- commands ---------------------------------------------------------------------------------------------------------


def _run(*command: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = True) -> str:
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env=environment, check=check, capture_output=True, text=True
    )
    return done.stdout


def _said(*command: object) -> str:
    return _run(*command).strip()


if __name__ == "__main__":
    sys.exit(main())
