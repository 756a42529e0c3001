"""Every flag and variable that a message, a manifest or the README names exists."""

import ast
import re
from pathlib import Path

import pytest

from vk_provider import arguments, config

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


def flags(*verbs):
    return {flag for verb in verbs for option in arguments.options(verb) for flag in option.flags}


def variables():
    return {"VK_CONFIG", *OTHERS, *(name for setting in config.settings() for name in config.env_names(setting))}


@pytest.mark.parametrize("path", SOURCES, ids=[path.relative_to(ROOT).as_posix() for path in SOURCES])
def test_what_a_message_names_exists(path):
    for line, text in messages(path):
        assert set(FLAG.findall(text)) <= flags("", "run", "show") | OTHER_FLAGS, f"line {line}: {text}"
        assert set(VARIABLE.findall(text)) <= variables(), f"line {line}: {text}"


def test_the_flags_that_messages_make_of_settings_exist():
    for name in config.settings():
        assert config.flag_of(name) in flags("run")
        flag, _, variable = config.named(name).partition(" / ")
        assert flag in flags("run")
        assert variable in config.env_names(name)
    with pytest.raises(KeyError):
        config.flag_of("access_key_id")


@pytest.mark.parametrize("name", ["deploy/vk-provider.yaml", "fakes/up.py"])
def test_what_starts_the_provider_uses_flags_and_keys_that_exist(name):
    text = (ROOT / name).read_text()
    assert set(re.findall(r"(?<![\w-])--(?:eci|kube|node|tls|cluster)[a-z0-9-]*(?==)", text)) <= {
        *flags("run"),
        "--kube-port",
    }
    keys = re.findall(r"^ {4}(?:# )?([a-z_]+) = ", text, re.MULTILINE) if name.endswith(".yaml") else []
    assert set(keys) <= set(config.settings())


def test_the_readme_names_variables_that_exist():
    text = (ROOT / "README.md").read_text()
    assert set(VARIABLE.findall(text)) - {"VK_E2E_KUBECONFIG"} <= variables()
