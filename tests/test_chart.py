"""Helm renders what kustomize does, and refuses what is not filled in."""

import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import chart
from tests.e2e.helm import HELM, MISSING
from tests.programs import NO_KUBECTL

Json = dict[str, Any]
NEWEST, OLD, OLDEST = "1.37.2", "1.30.0", "1.20.0"
FILLED = {"vsw-…": "vsw-bp1xo7zkzqf2jhs7pwdk", "sg-…": "sg-bp1a2b3c4d5e6f7g8h9i", "=…": "=testid", ": …": ": testid"}
# The settings' checksum rolls the replicas; the namespace is made by `helm install --create-namespace`.
CHECKSUM = "checksum/settings"
MINIMAL = [
    "--set=settings.eci.region=cn-hangzhou",
    "--set=settings.eci.vswitch={vsw-bp1xyz}",
    "--set=settings.eci.security_group=sg-bp1xyz",
]


def filled(text: str) -> str:
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return text


def run_helm(*words: str) -> subprocess.CompletedProcess[str]:
    program = HELM.found()
    if program is None:
        pytest.skip(MISSING)
    command = [str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def template(*words: str) -> subprocess.CompletedProcess[str]:
    return run_helm("template", "vk-provider", str(chart.CHART), "--namespace=vk-provider", *words)


def rendered(*words: str) -> dict[tuple[str, str, str], Json]:
    done = template(*words)
    assert done.returncode == 0, done.stderr
    return by_name(done.stdout)


def by_name(text: str) -> dict[tuple[str, str, str], Json]:
    """Every object but the namespace itself, its settings read."""
    objects: dict[tuple[str, str, str], Json] = {}
    for each in yaml.safe_load_all(text):
        if not each or each["kind"] == "Namespace":
            continue
        meta = each["metadata"]
        key = each["kind"], meta.get("namespace", ""), meta["name"]
        assert key not in objects
        objects[key] = each
        if each["kind"] == "ConfigMap":
            each["data"] = {name: tomllib.loads(text) for name, text in each["data"].items()}
        if each["kind"] == "Deployment":
            annotations = each["spec"]["template"]["metadata"].pop("annotations", {})
            assert annotations.keys() <= {CHECKSUM}
    return objects


@pytest.fixture(scope="session")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deploy/ as an operator leaves it who has filled in what is to be."""
    folder = tmp_path_factory.mktemp("filled") / "deploy"
    shutil.copytree(chart.DEPLOY, folder)
    for path in folder.rglob("*"):
        if path.suffix in (".toml", ".env") or path.parent.name == "examples":
            path.write_text(filled(path.read_text()))
    return folder


@cache
def kustomized(folder: Path) -> dict[tuple[str, str, str], Json]:
    if shutil.which("kubectl") is None:
        pytest.skip(NO_KUBECTL)
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return by_name(done.stdout)


IDLE = ("--set=preemptible=true", "--api-versions=ensurance.crane.io/v1alpha1")
CASES = [  # overlay, example of values, Kubernetes, further folders that an operator applies, values
    ("self-built", "self-built", NEWEST, (), ()),
    ("ack", "ack", NEWEST, (), ()),
    ("local", "local", NEWEST, (), ()),
    ("webhook", "self-built", OLDEST, (), ()),
    ("ack-webhook", "ack", OLDEST, (), ()),
    ("local-webhook", "local", OLDEST, (), ()),
    ("webhook", "self-built", OLD, ("hardening",), ()),
    ("preemptible", "self-built", OLD, ("hardening",), IDLE),
    ("preemptible", "self-built", NEWEST, ("hardening",), IDLE),
]


@pytest.mark.parametrize(("overlay", "example", "version", "further", "words"), CASES)
def test_helm_renders_what_kustomize_does(
    deploy: Path, overlay: str, example: str, version: str, further: tuple[str, ...], words: tuple[str, ...]
) -> None:
    wanted = dict(kustomized(deploy / "overlays" / overlay))
    for each in further:
        wanted |= kustomized(deploy / each)
    values = deploy / "chart" / "examples" / f"{example}.yaml"
    assert rendered(f"--values={values}", f"--kube-version={version}", *words) == wanted


def test_every_overlay_with_a_provider_is_compared() -> None:
    overlays = {path.name for path in (chart.DEPLOY / "overlays").iterdir()}
    assert {case[0] for case in CASES} == overlays - {"policy-only"}


def test_what_is_made_from_other_manifests_is_up_to_date() -> None:
    for path, text in chart.files().items():
        assert path.read_text() == text, f"{path.name}: run python -m tests.guides"


@pytest.mark.parametrize("word", list(chart.placeholders()))
def test_a_placeholder_is_refused_by_its_name(word: str) -> None:
    done = template(*MINIMAL, f"--set-string=settings.eci.security_group={word}")
    assert done.returncode != 0
    assert f'settings.eci.security_group = "{word}": this is a placeholder' in done.stderr


@pytest.mark.parametrize("name", ["self-built", "ack"])
def test_examples_are_refused_until_they_are_filled_in(name: str) -> None:
    done = template(f"--values={chart.CHART / 'examples' / name}.yaml")
    assert done.returncode != 0
    for setting in ("settings.eci.vswitch", "settings.eci.security_group"):
        assert f"{setting} = " in done.stderr
    assert "testid" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "settings.eci.region is missing"),
        ([*MINIMAL, "--set=settings.node_nam=x"], "additional properties 'node_nam' not allowed"),
        ([*MINIMAL, "--set=settings.eci.access_key=x"], "additional properties 'access_key' not allowed"),
        ([*MINIMAL, "--set=replicas=two"], "got string, want integer"),
        ([*MINIMAL, "--set=image.digest=latest"], "does not match pattern"),
        ([*MINIMAL, "--set=placement=policy", "--kube-version=1.35"], "policy needs Kubernetes 1.36 or newer"),
        ([*MINIMAL, "--set=credentials.accessKey=a1"], "accessKey and secretKey go together"),
        ([*MINIMAL, "--kube-version=1.19"], "incompatible with Kubernetes"),
        ([*MINIMAL, "--set=preemptible=true"], "first kubectl apply -f deploy/preemptible/crds.yaml"),
        ([*MINIMAL, *IDLE, f"--kube-version={OLDEST}"], "preemptible needs Kubernetes 1.30 or newer"),
        ([*MINIMAL, *IDLE, "--set=placement=policy"], "preemptible Jobs need the webhook"),
    ],
)
def test_wrong_values_are_refused_in_words(words: list[str], message: str) -> None:
    done = template(*words)
    assert done.returncode != 0
    assert message in done.stderr


def test_secrets_of_some_namespaces_only() -> None:
    objects = rendered(*MINIMAL, "--set=namespaces={a,b}")
    bound = [key[:2] for key in objects if key[2] == "vk-provider-pods"]
    assert sorted(bound) == [("ClusterRole", ""), ("RoleBinding", "a"), ("RoleBinding", "b")]
    assert ("RoleBinding", "kube-system", "vk-provider-client-ca") in objects


def test_in_another_namespace_everything_is_there() -> None:
    chosen = ("--kube-version", NEWEST, "--set=fakeCloud.enabled=true", *IDLE)
    done = template(*MINIMAL, "--namespace=nodes", *chosen)
    assert done.returncode == 0, done.stderr
    settings = by_name(done.stdout)["ConfigMap", "nodes", "vk-provider"]["data"]["vk-provider.toml"]
    assert settings["preemptible"]["history"] == "nodes/vk-provider-idle-history"
    for (kind, namespace, name), each in by_name(done.stdout).items():
        assert namespace in ("", "nodes", "kube-node-lease", "kube-system", "crane-system"), (kind, name)
        for subject in each.get("subjects", ()):
            assert subject["namespace"] == "nodes"
    assert "serviceaccount:vk-provider:" not in done.stdout
    assert "- vk-provider\n" not in done.stdout


def test_a_changed_setting_rolls_the_replicas() -> None:
    sums = {
        each["spec"]["template"]["metadata"]["annotations"][CHECKSUM]
        for cpu in ("5", "5", "6")
        for each in yaml.safe_load_all(template(*MINIMAL, f"--set-string=settings.quota_cpu={cpu}").stdout)
        if each and each["kind"] == "Deployment"
    }
    assert len(sums) == 2


def test_helm_finds_nothing_to_complain_of() -> None:
    done = run_helm("lint", "--strict", str(chart.CHART), *MINIMAL)
    assert done.returncode == 0, done.stdout + done.stderr
