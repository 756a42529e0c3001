"""`python -m tests.guides`: writes into the guides what they take from the code, between markers.

    <!-- generated: settings -->
    …
    <!-- end of generated -->

`test_guides` fails where a guide differs from what this writes.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from prometheus_client import ProcessCollector

from tests import architecture, chart
from tests.oracle import explained
from tests.oracle.api import compare
from vk_provider import config
from vk_provider.admission import policy
from vk_provider.admission.placement import Target
from vk_provider.commands import schema

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vk_provider"
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)
_KINDS = ("counter", "gauge", "histogram")


# --- settings ---------------------------------------------------------------------------------------------------------


def settings_table() -> str:
    """One table a section of the help; a row a setting: its names, its default, and what it means."""
    lines: list[str] = []
    section = ""
    for name, about in config.settings().items():
        if about["section"] != section:
            section = about["section"]
            heading = [
                f"**{section}**",
                "",
                "| flag, TOML key | environment | default | meaning |",
                "|---|---|---|---|",
            ]
            lines += ["", *heading] if lines else heading
        flag = f"`{config.flag_of(name)}`<br>`{config.key_of(name)}`"
        environment = "<br>".join(f"`{variable}`" for variable in about["env"])
        lines.append(f"| {flag} | {environment} | {_default(about['default'])} | {_cell(about['text'])} |")
    return "\n".join(lines)


def _default(value: object) -> str:
    if value in ("", (), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


# --- metrics ----------------------------------------------------------------------------------------------------------


def metrics() -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
    """name → (kind, help, labels) of every metric that the code registers for /metrics.

    Read off the source, for no process has all of them at one time. Raises ValueError where a name, a help text or
    labels are not written out.
    """
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for path, call in _calls():
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in _KINDS):
            continue
        name, text, *rest = (_written(each, path) for each in call.args)
        labels = rest[0] if rest else ()
        if name in found:
            raise ValueError(f"{path}: metric {name} is registered twice")
        found[str(name)] = (call.func.attr, str(text), tuple(map(str, labels)))
    for family in ProcessCollector(registry=None).collect():  # what the library tells of the process
        name = family.samples[0].name
        found[name] = (family.type, family.documentation, ())
    return dict(sorted(found.items()))


def _written(node: ast.expr, path: Path) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"{path}:{node.lineno}: a metric's name, help and labels are to be literals") from error


def metrics_table() -> str:
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {_cell(text)} |"
        for name, (kind, text, labels) in metrics().items()
    ]
    return "\n".join(["| name | type | labels | meaning |", "|---|---|---|---|", *rows])


# --- reasons of events ------------------------------------------------------------------------------------------------

_WITH_REASON = {  # what makes an event or the notice that becomes one → which of its arguments is the reason
    "Notice": 0,
    "Problem": 0,
    "warn": 1,
    "_warn": 1,
}
_REASON_WORDS = ("event_reason",)
_NO_EVENT = {"ContainerCreating"}  # a waiting reason, which the status alone shows


def event_reasons() -> set[str]:
    """Regular expressions of the reasons that the code gives to events, as far as they are written out.

    What is put into an f-string may be any word; a name stands for a constant of the same module.
    """
    found: set[str] = set()
    for path, call in _calls():
        constants = _constants(path)
        for node in _reason_nodes(call):
            reason = constants.get(node.id, node) if isinstance(node, ast.Name) else node
            if isinstance(reason, ast.JoinedStr):
                found.add("".join(_word(part) for part in reason.values))
            elif isinstance(reason, ast.Constant) and isinstance(reason.value, str) and reason.value[:1].isupper():
                found.add(reason.value)
    return found - _NO_EVENT


def _word(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "[A-Z][a-z]+"


def _reason_nodes(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in _WITH_REASON and len(call.args) > _WITH_REASON[name]:
        yield call.args[_WITH_REASON[name]]
    for before, node in zip(call.args, call.args[1:], strict=False):
        if isinstance(before, ast.Constant) and before.value in ("Normal", "Warning"):
            yield node
    yield from (word.value for word in call.keywords if word.arg in _REASON_WORDS)


def texts_in_code() -> set[str]:
    """Every string that stands in the code by itself."""
    return {
        node.value
        for path in _modules()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


# --- reading the source -----------------------------------------------------------------------------------------------

_trees: dict[Path, ast.Module] = {}


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _tree(path: Path) -> ast.Module:
    if path not in _trees:
        _trees[path] = ast.parse(path.read_text())
    return _trees[path]


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in _modules():
        yield from ((path, node) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call))


def _constants(path: Path) -> Mapping[str, ast.expr]:
    """Names that a module sets to something written out, also several in one line."""
    found: dict[str, ast.expr] = {}
    for node in _tree(path).body:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name):
                found[target.id] = node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                names = [each.id for each in target.elts if isinstance(each, ast.Name)]
                found.update(zip(names, node.value.elts, strict=False))
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def differences_table() -> str:
    """What the oracle finds other than a real kubelet has it, but for what only the tests' surroundings bring about."""
    words = {"choice": "our choice", "gap": "not done yet"}
    rows = [
        f"| {_cell(rule.why[:1].upper() + rule.why[1:])} | {rule.source or words[because]} | {rule.id} |"
        for because in ("cloud", "choice", "gap")
        for rule in (*explained.load(), *compare.rules())
        if rule.because == because
    ]
    return "\n".join(["| what differs, and what forces it | source | rule |", "|---|---|---|", *rows])


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "differences": differences_table,
    "metrics": metrics_table,
    "layers": lambda: f"```text\n{architecture.drawing(architecture.layers())}\n```",
}


POLICY = ROOT / "deploy" / "placement" / "policy" / "policy.yaml"
_POLICY_HEAD = """\
# Sends pods of labelled namespaces, and labelled pods, to the virtual node. Kubernetes 1.36 or newer; nothing else runs
# for it. Written by `python -m tests.guides` from vk_provider/admission/policy.py.
#
#   kubectl apply -f deploy/placement/policy/policy.yaml
#   kubectl label namespace NAME virtual-node-affinity-injection=enabled
#
"""


def policy_manifest() -> str:
    """The MutatingAdmissionPolicy for a node with the default label and taint, as deploy/ ships it."""
    return _POLICY_HEAD + yaml.dump_all(policy.manifests(Target()), Dumper=_Readable, sort_keys=False, width=118)


class _Readable(yaml.SafeDumper):
    """Texts of several lines as they are, lists indented, no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


SCHEMA = ROOT / "deploy" / "snapshot.schema.json"


def snapshot_schema() -> str:
    """Of what the verbs print with `-o json`."""
    return json.dumps(schema.schema(), indent=2) + "\n"


def guides() -> list[Path]:
    """Every Markdown file of the repository that people read."""
    skipped = {"node_modules", "build", "mutants"}
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not any(part in skipped or part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def rewritten(text: str) -> str:
    """The guide with its generated parts as they are to be. Raises KeyError for a part that nothing makes."""
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", text)


def parts_of(text: str) -> list[str]:
    return [match[2] for match in _PART.finditer(text)]


def main() -> None:
    texts = {path: rewritten(path.read_text()) for path in guides()}
    texts |= {POLICY: policy_manifest(), SCHEMA: snapshot_schema()}
    _write(texts)
    _write(chart.files())  # made from what was written just now


def _write(texts: Mapping[Path, str]) -> None:
    for path, new in texts.items():
        old = path.read_text() if path.exists() else ""
        if new != old:
            path.write_text(new)
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
