"""The guides are true: links, paths, make targets, settings, metrics, events, rights and rooms are those of the code.

`python -m tests.guides` rewrites what is generated.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import architecture, guides
from tests.test_named_flags import OTHER_FLAGS, VARIABLE, flags, variables

ROOT = guides.ROOT
ALL = guides.guides()
# The rule books are texts of their own, with paths of other repositories in them.
OURS = [path for path in ALL if path.name not in ("kubelet.md", "eci.md")]
OPERATING, ARCHITECTURE = ROOT / "deploy/README.md", ROOT / "vk_provider/README.md"
_FENCE = re.compile(r"^```[\s\S]*?^```|^(?: {4}.*\n)+", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_SUFFIXES = (".py", ".md", ".yaml", ".toml", ".txt")
# Files that are made, are the reader's, or are not Python's of ours.
NOT_HERE = {"job.yaml", "kc.yaml", "app.py"}
IDS = {"argvalues": OURS, "ids": [path.relative_to(ROOT).as_posix() for path in OURS]}


def prose(path: Path) -> str:
    """Without blocks of code."""
    return _FENCE.sub("", path.read_text())


def section(path: Path, heading: str) -> str:
    """From a heading to the next of its level."""
    text = path.read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{path.name} has no section {heading}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of its tables, heads left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if re.fullmatch(r"\|(?:-+\|)+", line)}
    kept = [line for index, line in enumerate(lines) if index not in heads and not re.fullmatch(r"\|(?:-+\|)+", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


# --- links and paths --------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """Of each heading, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", ALL, ids=[path.relative_to(ROOT).as_posix() for path in ALL])
def test_relative_links_resolve(path):
    broken = []
    for match in _LINK.finditer(prose(path)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def paths_in(path: Path) -> Iterator[str]:
    """What stands between backticks and is a path: it ends like a file, or like a folder of this repository."""
    tops = {each.name for each in ROOT.iterdir() if each.is_dir()}
    for span in _SPAN.findall(prose(path)):
        if re.search(r"[\s*<>…$={}]", span) or span.startswith(("/", "-", "~", "http")) or span in NOT_HERE:
            continue
        if span.endswith(_SUFFIXES) or (span.endswith("/") and "/" in span) or span.split("/")[0] in tops - {"fakes"}:
            yield span


def exists(span: str, guide: Path) -> bool:
    places = [ROOT, guide.parent]
    if guide == ARCHITECTURE:
        places.append(ROOT / "vk_provider")
    if "/" not in span:  # named beside a path of the same folder
        places += [ROOT / "tests/contract", ROOT / "tests/control", ROOT / "tests/translate"]
    return any((place / span).exists() for place in places)


@pytest.mark.parametrize("path", **IDS)
def test_every_path_that_is_named_exists(path):
    assert [span for span in paths_in(path) if not exists(span, path)] == []


def test_the_maps_name_every_room():
    mapped = {span for row in rows(section(ROOT / "README.md", "Map")) for span in _SPAN.findall(row[0])}
    folders = {
        f"vk_provider/{each.name}/" for each in (ROOT / "vk_provider").iterdir() if (each / "__init__.py").exists()
    }
    assert folders <= mapped
    rooms = {span for row in rows(section(ARCHITECTURE, "Rooms")) for span in _SPAN.findall(row[0])}
    inside = {f"{each.name}/" for each in (ROOT / "vk_provider").iterdir() if (each / "__init__.py").exists()}
    modules = {each.name for each in (ROOT / "vk_provider").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert rooms == inside | modules


def test_the_map_of_the_tests_names_every_folder():
    named = {span for row in rows(section(ROOT / "tests/README.md", "Map")) for span in _SPAN.findall(row[0])}
    folders = {f"tests/{each.name}/" for each in (ROOT / "tests").iterdir() if any(each.rglob("test_*.py"))}
    assert folders - {"tests/contract/"} <= named


# --- what is generated ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", **IDS)
def test_generated_parts_are_as_the_code_has_them(path):
    text = path.read_text()
    assert text.count("<!-- generated:") == len(guides.parts_of(text))
    assert guides.rewritten(text) == text, "run python -m tests.guides"


def test_every_generated_part_is_in_some_guide():
    assert sorted(part for path in OURS for part in guides.parts_of(path.read_text())) == sorted(guides.PARTS)


def test_the_drawing_has_every_layer_of_the_import_contract_from_top_to_bottom():
    boxes = [line.strip("│ \n") for line in section(ARCHITECTURE, "Rooms").splitlines() if line.startswith("│")]
    drawn = [room.rstrip("*") for line in boxes for room in line.split()]
    assert drawn == [room for rooms in architecture.layers() for room in rooms]
    assert len(drawn) == len(set(drawn)) > 10


def test_a_metric_that_is_not_written_out_is_refused(tmp_path, monkeypatch):
    (tmp_path / "room.py").write_text("def add(registry, name):\n    registry.counter(name, 'Help.')\n")
    monkeypatch.setattr(guides, "PACKAGE", tmp_path)
    with pytest.raises(ValueError, match="literals"):
        guides.metrics()


# --- what is compared -------------------------------------------------------------------------------------------------


def test_every_reason_of_an_event_is_in_the_table_and_no_other():
    named = {span for row in rows(section(OPERATING, "Events")) for span in _SPAN.findall(row[0])}
    patterns, texts = guides.event_reasons(), guides.texts_in_code()
    assert [each for each in sorted(patterns) if not any(re.fullmatch(each, name) for name in named)] == []
    unknown = [name for name in sorted(named) if name not in texts]
    assert [name for name in unknown if not any(re.fullmatch(each, name) for each in patterns)] == []


def test_conditions_and_annotations_in_the_table_exist():
    texts = guides.texts_in_code()
    for row in rows(section(OPERATING, "Conditions and annotations")):
        for span in _SPAN.findall(row[1]):
            key = re.split(r":(?: |$)", span)[0]
            last = key.removeprefix("k8s.aliyun.com/")
            assert key in texts or last in texts, key


def test_the_table_of_rights_is_that_of_the_manifest():
    granted: dict[str, set[str]] = {}
    for obj in yaml.safe_load_all((ROOT / "deploy/base/vk-provider.yaml").read_text()):
        for rule in obj.get("rules") or () if obj["kind"] in ("Role", "ClusterRole") else ():
            names = " ".join(rule.get("resourceNames", ()))
            for resource in rule["resources"]:
                granted.setdefault(f"{resource} {names}".strip(), set()).update(rule["verbs"])
    assert rights_of_the_guide() == granted


def rights_of_the_guide() -> dict[str, set[str]]:
    """Resource, followed by a name if only that is meant, to verbs."""
    told: dict[str, set[str]] = {}
    for row in rows(section(OPERATING, "Security model")):
        resources, names = row[0].partition("(")[::2]
        named = _SPAN.findall(names)[:1] if names and not names.startswith("in ") else []
        for resource in _SPAN.findall(resources):
            told.setdefault(" ".join([resource, *named]), set()).update(row[1].split(", "))
    return told


def test_the_interface_of_a_cloud_is_told_in_full():
    tree = ast.parse((ROOT / "vk_provider/cloud/base.py").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    methods = {node.name for node in classes["Cloud"].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    optional = {
        name for name, node in classes.items() if any(isinstance(each, ast.Name) for each in node.decorator_list)
    }
    guide = ROOT / "vk_provider/cloud/README.md"
    told = {
        span.partition("(")[0] for row in rows(section(guide, "What a cloud must do")) for span in _SPAN.findall(row[0])
    }
    assert told == methods
    assert {_SPAN.findall(row[0])[0] for row in rows(section(guide, "What a cloud may do besides"))} == optional
    errors = ast.parse((ROOT / "vk_provider/errors.py").read_text())
    known = {node.name for node in errors.body if isinstance(node, ast.ClassDef)}
    assert {_SPAN.findall(row[0])[0] for row in rows(section(guide, "Errors"))} <= known


@pytest.mark.parametrize("path", **IDS)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    spoken = re.findall(r"`make ([a-z0-9]+)[^`]*`", text) + re.findall(r"^ {4}make ([a-z0-9]+)", text, re.MULTILINE)
    assert set(spoken) - {"of"} <= targets


def test_every_make_target_is_told_of():
    offered = set(re.findall(r"^([a-z0-9]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    assert offered <= set(re.findall(r"make ([a-z0-9]+)", text))


@functools.cache
def of_tests() -> set[str]:
    """What tests on a real control plane read of the environment, to be played larger."""
    sources = (ROOT / "tests/e2e").rglob("*.py")
    return {name for path in sources for name in re.findall(r'environ\.get\("(VK_E2E_[A-Z]+)"', path.read_text())}


@pytest.mark.parametrize("path", **IDS)
def test_settings_and_variables_in_the_guides_exist(path):
    text = path.read_text()
    assert set(VARIABLE.findall(text)) - {"VK_E2E_KUBECONFIG"} <= variables() | of_tests()
    provider = set(re.findall(r"(?<![\w-])--(?:eci|kubelet|node|tls|cluster|health|insecure)-[a-z0-9-]+", text))
    assert provider <= flags("run", "qos-agent") | OTHER_FLAGS


# --- shape ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_each_question_is_answered_by_two_files_at_most():
    answers = [_SPAN.findall(row[1]) for row in rows(section(ROOT / "CONTRIBUTING.md", "Ten questions of a stranger"))]
    assert len(answers) >= 10
    assert all(1 <= len(files) <= 2 for files in answers)


def test_the_changelog_keeps_to_its_headings():
    text = (ROOT / "CHANGELOG.md").read_text()
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Limits"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= allowed
    assert all(
        re.fullmatch(r"\[(Unreleased|\d+\.\d+\.\d+)\].*", each) for each in re.findall(r"^## (.+)$", text, re.MULTILINE)
    )


def test_the_glossary_is_in_order():
    words = [row[0].lower() for row in rows(section(ROOT / "CONTRIBUTING.md", "Glossary"))]
    assert words == sorted(words)
    assert len(words) == len(set(words)) >= 40


@pytest.mark.parametrize("path", **IDS)
def test_code_is_not_broken_over_two_lines(path):
    """Else no test above reads it, and some renderers neither."""
    text = path.read_text()
    assert re.findall(r"^```", text, re.MULTILINE) == re.findall(r"^```(?=[a-z]*$)", text, re.MULTILINE)
    assert [line for line in prose(path).splitlines() if line.count("`") % 2] == []
