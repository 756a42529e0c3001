"""The images of deploy/: what they are made of is pinned, and the builder writes archives that say what is in them."""

import hashlib
import importlib.util
import json
import re
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "fake-cloud" / "Dockerfile"]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return loaded("build")


def loaded(name: str) -> ModuleType:
    """A module of the builder, which is a program beside the package and not a part of it."""
    sys.path.insert(0, str(DEPLOY / "image"))
    try:
        spec = importlib.util.spec_from_file_location(name, DEPLOY / "image" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look themselves up there
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DEPLOY / "image"))
    return module


def pinned(path: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_what_is_installed_has_hashes_and_the_versions_that_are_tested() -> None:
    text = (DEPLOY / "requirements.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert [each for each in entries if each.strip() and "--hash=sha256:" not in each] == []
    tested = pinned(DEPLOY / "constraints.txt")
    installed = pinned(DEPLOY / "requirements.txt")
    assert installed == {name: tested[name] for name in installed}


def test_everything_that_the_provider_needs_is_in_it() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[><=;]", each)[0]).strip().lower() for each in wanted}
    assert names <= pinned(DEPLOY / "requirements.txt").keys()


@pytest.mark.parametrize("path", DOCKERFILES, ids=["provider", "fake-cloud"])
def test_dockerfiles_pin_their_base_and_require_hashes(path: Path) -> None:
    text = path.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 2  # what is built with stays behind
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", bases[0])
    installs = re.findall(r"pip install [^&\n]*", text)
    assert [each for each in installs if "--require-hashes" not in each and not each.rstrip(" \\").endswith(" .")] == []
    assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)


def test_the_provider_is_found_by_its_name_too() -> None:
    """`kubectl exec deploy/vk-provider -- vk-provider doctor` names no folder."""
    text = (DEPLOY / "Dockerfile").read_text()
    [program] = re.findall(r'^ENTRYPOINT \["([^"]+)"', text, re.MULTILINE)
    found = re.findall(r"^ENV PATH=(\S+)", text, re.MULTILINE)
    usual = "/usr/local/bin:/usr/bin:/bin"
    assert (
        str(Path(program).parent) in [*(found[0] if found else "").split(":"), *usual.split(":")] or "/" not in program
    )


def test_an_archive_is_an_oci_layout_whose_digests_are_true(tmp_path: Path) -> None:
    oci = loaded("oci")
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "program").write_text("x")
    (root / "bin" / "program").chmod(0o755)
    (root / "bin" / "link").symlink_to("program")
    first = written(oci, tmp_path / "a.tar", root)
    (root / "bin" / "program").touch()  # another time is no other content
    assert written(oci, tmp_path / "b.tar", root) == first
    files = first[1]
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    index = json.loads(files["index.json"])
    (entry,) = index["manifests"]
    assert entry["digest"] == first[0]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/x:1"
    manifest = json.loads(files[path_of(entry["digest"])])
    config = json.loads(files[path_of(manifest["config"]["digest"])])
    assert config["config"] == {"User": "65532:65532"}
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 1
    (tmp_path / "layer").write_bytes(files[path_of(manifest["layers"][0]["digest"])])
    with tarfile.open(tmp_path / "layer") as layer:
        entries = {each.name: each for each in layer}
    assert {each.uid for each in entries.values()} == {each.mtime for each in entries.values()} == {0}
    assert entries["bin/program"].mode == 0o755
    assert entries["bin/link"].linkname == "program"


def written(oci: ModuleType, output: Path, root: Path) -> tuple[str, dict[str, bytes]]:
    layers, config = [oci.layer(root)], {"User": "65532:65532"}
    digest = oci.write(output, name="docker.io/library/x:1", architecture="amd64", layers=layers, config=config)
    with tarfile.open(output) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
    return digest, files


def path_of(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def test_what_is_in_an_image_is_told_in_cyclonedx(tmp_path: Path) -> None:
    sbom = loaded("sbom")
    deb = tmp_path / "libssl3_3.0.17-1%7edeb12u2_amd64.deb"
    deb.write_bytes(b"deb")
    wheel = tmp_path / "Some_Thing-1.2-py3-none-any.whl"
    with ZipFile(wheel, "w") as made:
        made.writestr("some_thing-1.2.dist-info/METADATA", "Name: Some_Thing\nVersion: 1.2\nLicense: MIT\nmore\n\nText")
    told: dict[str, Any] = sbom.document("vk-provider", "0.1.0", [sbom.of_wheel(wheel), sbom.of_deb(deb)])
    assert (told["bomFormat"], told["specVersion"], told["version"]) == ("CycloneDX", "1.5", 1)
    assert [each["purl"] for each in told["components"]] == [
        "pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64",
        "pkg:pypi/some-thing@1.2",
    ]
    assert told["components"][1]["licenses"] == [{"license": {"name": "MIT"}}]
    assert told["components"][0]["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(b"deb").hexdigest()}]
    references = {each["bom-ref"] for each in told["components"]} | {told["metadata"]["component"]["bom-ref"]}
    assert {each for entry in told["dependencies"] for each in (entry["ref"], *entry["dependsOn"])} == references


def test_where_no_image_can_be_built_it_is_said_in_words(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="deploy/Dockerfile"):
        builder.build(builder.IMAGES["provider"], tmp_path / "image.tar")


def test_the_package_says_that_it_is_typed() -> None:
    """tests/test_wheel.py, of make long, builds it and looks."""
    assert (ROOT / "vk_provider" / "py.typed").exists()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-data"]["vk_provider"] == ["py.typed"]
