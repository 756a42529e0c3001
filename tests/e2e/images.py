"""The images of deploy/, built by its own builder, for nodes of tests: `python -m tests.e2e.images`.

They are kept beside the control planes, under a name that changes with what is in them.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from tests.e2e.build import cache_folder
from tests.e2e.building import CannotBuild, run, say

ROOT = Path(__file__).parents[2]
NAMES = {"provider": "vk-provider", "fake-cloud": "vk-fake-cloud"}
_SOURCES = ("vk_provider", "fakes", "deploy/image", "deploy/requirements.txt", "deploy/requirements-build.txt")


def archives() -> dict[str, Path]:
    """Name → archive, of both. Raises CannotBuild."""
    folder = _target()
    found = {name: folder / f"{name}.tar" for name in NAMES.values()}
    if all(path.exists() for path in found.values()):
        return found
    for old in cache_folder().glob("images-*"):
        shutil.rmtree(old, ignore_errors=True)  # of another state of the sources
    folder.mkdir(parents=True)
    for image, name in NAMES.items():
        say(f"building the image {name}")
        unfinished = folder / f"{name}.unfinished.tar"
        run([sys.executable, str(ROOT / "deploy/image/build.py"), image, "--output", str(unfinished)])
        unfinished.with_suffix(".cdx.json").rename(folder / f"{name}.cdx.json")
        unfinished.rename(found[name])
    return found


def _target() -> Path:
    digest = hashlib.sha256()
    for source in _SOURCES:
        top = ROOT / source
        for path in sorted(top.rglob("*.py")) if top.is_dir() else (top,):
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return cache_folder() / f"images-{digest.hexdigest()[:12]}"


def main() -> int:
    try:
        for name, path in archives().items():
            say(f"{name}: {path}")
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
