"""Every manifest of the corpus becomes what its golden says, and no secret of it is ever told to anybody."""

import base64
import json

import pytest

from tests.corpus import golden
from tests.corpus.life import CONFIG
from tests.corpus.manifests import ROOM, cases
from tests.yamldocuments import documents
from vk_provider.show.manifests import Manifest
from vk_provider.show.verdicts import judge

CASES = cases()
IDS = [case.name for case in CASES]
LEAST_SECRET = 8  # shorter ones are words that stand elsewhere too


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_api_server_would_take_it(case):
    assert case.faults() == []
    assert case.pods, "there is no pod in it"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_it_becomes_what_its_golden_says(case):
    text, stories = golden.golden(case)
    assert json.loads(text) == json.loads(case.golden.read_text())
    assert [wrong for story in stories for wrong in story.wrongs] == []
    told = "\n".join(text for story in stories for text in story.texts)
    assert [secret for secret in secrets_of(case) if secret in told] == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_show_prints_what_is_sent(case):
    """`vk-provider show` knows no Services and waits for nothing; all else is the request itself."""
    goldens = json.loads(case.golden.read_text())
    kinds = {each["kind"] for each in case.objects}
    late = any(life.late for life in case.lives)
    findings = judge(CONFIG, [Manifest(each, case.name) for each in case.objects])
    assert [other.why for other in findings.others if other.is_fault] == []
    for told, shown in zip(goldens, findings.verdicts, strict=True):
        if "refused" in told:
            assert set(told["refused"]) >= set(shown.faults) != set(), "defaults may have added some"
        elif "request" in told and "Service" not in kinds and not late:
            assert shown.draft is not None, shown.faults
            sent = golden.unusual(shown.draft.request, told)
            assert sent == told["request"]


def test_there_is_a_golden_for_each_and_none_without_a_manifest():
    assert set(ROOM.glob("*/*.golden.json")) == {case.golden for case in CASES}


def test_the_corpus_is_large():
    assert len(CASES) >= 150


def secrets_of(case):
    """What the Secrets of the file hold."""
    found = [each for each in documents(case.path) if each.get("kind") == "Secret"]
    values = [str(text) for each in found for text in (each.get("stringData") or {}).values()]
    values += [base64.b64decode(text).decode("latin-1") for each in found for text in (each.get("data") or {}).values()]
    return [value for value in values if len(value) >= LEAST_SECRET]
