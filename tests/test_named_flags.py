"""Every flag and variable that a message, a manifest or the README names exists."""

import ast
import functools
import re
from pathlib import Path

import pytest

from vk_provider import arguments, config
from vk_provider.qos_agent import options as qos_agent

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "vk_provider").rglob("*.py"))
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
VARIABLE = re.compile(r"\b(?:VK|ECI|VKUBELET)_[A-Z0-9_]+\b")
OTHERS = {"ECI_CONTAINER_TYPE"}  # which ECI reads of containers
# Of kube-apiserver, kube-controller-manager, metrics-server, curl and kubectl.
OTHER_FLAGS = {
    "--event-ttl",
    "--cluster-signing-cert-file",
    "--cluster-signing-key-file",
    "--kubelet-certificate-authority",
    "--kubelet-insecure-tls",
    "--from-literal",
}
# Of setsid, unshare, nsenter and mount, which the local driver runs.
_OF_UNSHARE = "--user --map-root-user --mount --pid --ipc --uts --fork --kill-child --root --wd --target"
FLAGS_OF_PROGRAMS = {"--ctty", "--wait", "--preserve-credentials", "--bind", *_OF_UNSHARE.split()}


def messages(path):
    """Every text in the code that is no docstring, an f-string with its values left out."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@functools.cache
def flags(*verbs):
    return {flag for verb in verbs for option in arguments.options(verb) for flag in option.flags}


@functools.cache
def variables():
    of_agent = (name for setting in qos_agent.settings() for name in qos_agent.env_names(setting))
    of_provider = (name for setting in config.settings() for name in config.env_names(setting))
    return {"VK_CONFIG", *OTHERS, *of_provider, *of_agent}


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_what_a_message_names_exists(path):
    known = flags("", *arguments.VERBS) | OTHER_FLAGS
    if ROOT / "vk_provider/cloud/local" in path.parents:
        known |= FLAGS_OF_PROGRAMS
    for line, text in messages(path):
        assert set(FLAG.findall(text)) <= known, f"line {line}: {text}"
        assert set(VARIABLE.findall(text)) <= variables(), f"line {line}: {text}"


def test_the_flags_that_messages_make_of_settings_exist():
    for name in config.settings():
        assert config.flag_of(name) in flags("run")
        flag, _, variable = config.named(name).partition(" / ")
        assert flag in flags("run")
        assert variable in config.env_names(name)
    with pytest.raises(KeyError):
        config.flag_of("access_key_id")


@pytest.mark.parametrize("name", ["deploy/base/vk-provider.yaml", "fakes/up.py"])
def test_what_starts_the_provider_uses_flags_and_keys_that_exist(name):
    text = (ROOT / name).read_text()
    assert set(re.findall(r"(?<![\w-])--(?:eci|kube|node|tls|cluster)[a-z0-9-]*(?==)", text)) <= {
        *flags("run"),
        "--kube-port",
    }
    if name.endswith(".yaml"):
        known = {config.key_of(setting) for setting in config.settings()}
        assert set(_keys(text)) <= known


def _keys(text):
    """The keys of the settings in the manifest, with their tables, those in comments among them."""
    table = ""
    for found, key in re.findall(r"^ {4}(?:\[([a-z]+)\]$|(?:# )?([a-z_]+) = )", text, re.MULTILINE):
        table = f"[{found}] " if found else table
        if key:
            yield f"{table}{key}"


def test_the_readme_names_variables_that_exist():
    text = (ROOT / "README.md").read_text()
    assert set(VARIABLE.findall(text)) - {"VK_E2E_KUBECONFIG"} <= variables()
