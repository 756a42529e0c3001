"""Every citation of a rule book resolves: `kubelet.md` and `eci.md` stand in tests/contract, and have what is cited.

A citation names the file and then sections (`d.2`, `2.1`) or rules (`X8`); a rule that stands alone in parentheses, as
in "(P18)", is one of kubelet.md. A range, "X4 to X8" or "W1-W6", cites all rules in it.
"""

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOOKS = {name: (ROOT / "tests/contract" / name).read_text() for name in ("kubelet.md", "eci.md")}
_ITEM = r"(?:[A-Z]\d+|[a-z](?:\.\d+)?|\d+(?:\.\d+)*)"
_LIST = rf"{_ITEM}(?:(?:, (?:and )?| and | to |-){_ITEM}(?![\w(]))*"
CITATION = re.compile(rf"\b(kubelet|eci)\.md,? ({_LIST})(?!\w)")
ALONE = re.compile(r"\(((?:[NPSHXARWM][1-9]\d*)(?:(?:, | and |-| to )[NPSHXARWM][1-9]\d*)*)\)")
_RULE = re.compile(r"([A-Z])(\d+)")


@functools.cache
def headings(book: str) -> set[str]:
    return {match[1].rstrip(".") for match in re.finditer(r"^#{2,4} ([a-z0-9][\w.]*)", BOOKS[book], re.MULTILINE)}


@functools.cache
def rules() -> set[str]:
    return set(re.findall(r"\b[NPSHXARWM]\d+\b", BOOKS["kubelet.md"]))


def items(listed: str) -> list[str]:
    """The single citations of a list: "X4 to X6, d.2" → X4, X5, X6, d.2."""
    found: list[str] = []
    for part in re.split(r", (?:and )?| and ", listed):
        ends = re.split(r" to |-", part)
        first, last = _RULE.fullmatch(ends[0]), _RULE.fullmatch(ends[-1])
        if len(ends) == 2 and first and last and first[1] == last[1]:
            found += [f"{first[1]}{number}" for number in range(int(first[2]), int(last[2]) + 1)]
        else:
            found += ends
    return found


def unresolved(text: str) -> list[str]:
    text = re.sub(r"\s*\n\s*(?:#|//)?\s*", " ", text)  # a citation may be broken over two lines
    known = {book: headings(book) | (rules() if book == "kubelet.md" else set()) for book in BOOKS}
    cited = [(f"{match[1]}.md", item) for match in CITATION.finditer(text) for item in items(match[2])]
    cited += [("kubelet.md", item) for match in ALONE.finditer(text) for item in items(match[1])]
    return [f"{book} {item}" for book, item in cited if item not in known[book]]


def sources() -> list[Path]:
    """Of a checkout, which may lie where there is no git."""
    kinds = {".py", ".md", ".yaml", ".toml", ".cfg", ""}
    folders = [".ci", "deploy", "fakes", "tests", "vk_provider"]
    found = [
        *(path for path in ROOT.iterdir() if path.name != ".git"),
        *(path for folder in folders for path in sorted((ROOT / folder).rglob("*"))),
    ]
    wanted = [path for path in found if path.suffix in kinds and path.is_file()]
    return [path for path in wanted if "__pycache__" not in path.parts and ROOT / "tests/data" not in path.parents]


def test_every_citation_resolves():
    wrong = {}
    for path in sources():
        if path.name in BOOKS or path == Path(__file__):
            continue
        if missing := unresolved(path.read_text(errors="replace")):
            wrong[str(path.relative_to(ROOT))] = missing
    assert not wrong


def test_no_rule_book_is_cited_that_is_not_here():
    gone = re.compile(r"kubelet-contract|seed-systems\.md|\bfaults\.md|redesign\.md|peers\.md")
    texts = {str(path): path.read_text(errors="replace") for path in sources() if path != Path(__file__)}
    assert [path for path, text in texts.items() if gone.search(text)] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("as kubelet.md d.2 says", []),
        ("(kubelet.md X4 to X8)", []),
        ("(kubelet.md X4 to X999)", ["kubelet.md X999"]),
        ("see eci.md 2.1 and 5.2", []),
        ("see eci.md 77.1", ["eci.md 77.1"]),
        ("never revived (P18, P999)", ["kubelet.md P999"]),
        ("as eci.md\n# 99 says", ["eci.md 99"]),
    ],
)
def test_what_resolves(text, missing):
    assert [each for each in unresolved(text) if each in missing or not missing] == missing
