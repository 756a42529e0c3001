"""fakes/README.md says of each module of the stand-in cluster which test on a real control plane vouches for it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_guides import rows, section

ROOT = Path(__file__).parents[2]
README = ROOT / "fakes" / "README.md"
ON_REAL_KUBERNETES = ("tests/contract/kube/", "tests/contract/controllers/", "tests/e2e/")
STARTS_IT = {"cli.py", "cluster.py", "seed.py", "controllers/hollow.py"}


def table() -> dict[str, str]:
    """Module or folder, as the table names it → test."""
    found: dict[str, str] = {}
    for modules, test in rows(section(README, "What vouches for it")):
        for name in re.findall(r"`([^`]+)`", modules):
            assert name not in found, f"{name} is named twice"
            found[name] = test.strip("`")
    return found


def test_each_module_has_a_test_and_each_entry_a_module():
    named = table()
    kube = ROOT / "fakes" / "kube"
    modules = {f"fakes/kube/{path.relative_to(kube)}" for path in kube.rglob("*.py") if path.name != "__init__.py"}
    folders = {name for name in named if name.endswith("/")}
    covered = {each for each in modules for folder in folders if each.startswith(folder)} | (named.keys() - folders)
    assert modules - covered == {f"fakes/kube/{name}" for name in STARTS_IT}
    assert covered - modules == set()
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_the_tests_exist_and_run_on_a_real_control_plane():
    assert [test for test in table().values() if not test.startswith(ON_REAL_KUBERNETES)] == []
    assert [test for test in table().values() if not (ROOT / test).is_file()] == []
