"""The wheel has every module, and says that its types are meant to be used."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("vk_provider", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, source], check=True)  # a build writes beside what it builds
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", folder]
    done = subprocess.run([*command, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("vk_provider-*.whl")
    return zipfile.ZipFile(found)


def test_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "vk_provider/py.typed" in wheel.namelist()


def test_it_has_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vk_provider").rglob("*.py")}
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vk_provider/dashboard/static").iterdir()}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == {*modules, *page, "vk_provider/py.typed"}


def test_it_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "vk-provider = vk_provider.cli:main" in wheel.read(entry_points).decode()
