"""`$(NAME)` (S3): the contract's table, then an independent reading of the same grammar over random texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.pod_cases import CONTEXT
from vk_provider.redaction import SecretText
from vk_provider.translate.expansion import escaped, expand, expand_partly, names_in
from vk_provider.translate.objects import Objects
from vk_provider.translate.refusals import refusals
from vk_provider.translate.workload import build


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("a$", "a$"),
        ("$$$$(A)", "$$(A)"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("", ""),
        ("x$(A)y$(A)z", "x1y1z"),
        ("$(A)$(B)$(C)", "1$(B)$(A)"),
        ("$(A$(A)", "$(A$(A)"),
        ("$($$", "$($"),
        ("$(two\nlines)", "2"),
        ("perl -e '$x'", "perl -e '$x'"),
    ],
)
def test_s3_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "C": "$(A)", "two\nlines": "2"}) == expected


TEXTS = st.text(alphabet="$()AB c", max_size=24)
NAMES = st.sampled_from(["", "A", "B", "AB"])


@given(TEXTS, st.dictionaries(st.sampled_from(["", "A", "B", "AB", "$", "$(A", "A B"]), TEXTS))
def test_s3_agrees_with_reading_one_character_at_a_time(text: str, variables: Mapping[str, str]) -> None:
    assert expand(text, variables) == read_slowly(text, variables)


@given(TEXTS, st.dictionaries(st.sampled_from(["A", "B"]), TEXTS))
def test_s3_names_are_those_that_change_the_text(text: str, variables: Mapping[str, str]) -> None:
    unnamed = {name: value for name, value in variables.items() if name not in set(names_in(text))}
    assert expand(text, unnamed) == expand(text, {})


def read_slowly(text: str, variables: Mapping[str, str]) -> str:
    """The grammar once more, written as the automaton it is."""
    out, rest = "", text
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            end = rest.index(")")
            name = rest[2:end]
            out, rest = out + variables.get(name, f"$({name})"), rest[end + 1 :]
        else:
            out, rest = out + rest[0], rest[1:]
    return out


POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def passed_on(*env: dict[str, object], args: list[str]) -> tuple[dict[str, object], list[str]]:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [POD_IP, *env], "args": args}]},
    }
    container = build(pod, Objects(), replace(CONTEXT, expands_pod_ip=True)).containers[0]
    return dict(container.env), list(container.args)


def test_words_of_the_address_are_passed_on_to_a_cloud_that_expands_them() -> None:
    env, args = passed_on(
        {"name": "PORT", "value": "80$"},
        {"name": "URL", "value": "http://$(POD_IP):$(PORT)"},
        {"name": "PLAIN", "value": "$$(POD_IP) $(PORT)"},
        args=["--listen=$(URL)/$$(PORT)", "--cost=$$(POD_IP)", "$(POD_IP)", "$(PORT)$$$(NOBODY)"],
    )
    address = {"POD_IP": "10.0.0.9"}
    known = dict(address)
    for name in ("PORT", "URL", "PLAIN"):
        known[name] = expand(str(env[name]), known)
    assert known == {**address, "PORT": "80$", "URL": "http://10.0.0.9:80$", "PLAIN": "$(POD_IP) 80$"}
    assert [expand(word, known) for word in args] == [
        "--listen=http://10.0.0.9:80$/$(PORT)",
        "--cost=$(POD_IP)",
        "10.0.0.9",
        "80$$$(NOBODY)",
    ]


@given(text=TEXTS, known=st.dictionaries(NAMES, TEXTS), late=st.dictionaries(NAMES, TEXTS))
def test_half_now_and_half_later_is_the_same_as_all_at_once(
    text: str, known: Mapping[str, str], late: Mapping[str, str]
) -> None:
    now = {name: value for name, value in known.items() if name not in late}
    assert expand(expand_partly(text, now, late), {**now, **late}) == expand(text, {**now, **late})


def test_without_such_a_cloud_they_are_refused_with_what_works() -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [POD_IP], "args": ["$(POD_IP):1"]}]},
    }
    (refusal,) = refusals(pod)
    assert "sh, -c" in refusal.reason
    assert "--cloud-expands-pod-ip" in refusal.reason
    assert "$POD_IP" in refusal.reason
    assert refusals(pod, expands_pod_ip=True) == ()
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(POD_IP)"}
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]  # type: ignore[index]
    pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]  # type: ignore[index]
    (path,) = refusals(pod, expands_pod_ip=True)
    assert path.field == "spec.containers[0].volumeMounts[0].subPathExpr"


def test_what_is_escaped_hides_its_secrets_in_either_spelling() -> None:
    text = escaped(SecretText("x=a$b", shown="$x=***", values=("a$b",)))
    assert isinstance(text, SecretText)
    assert (text, text.shown) == ("x=a$$b", "$$x=***")
    assert set(text.values) == {"a$b", "a$$b"}
    assert expand(text, {"b": "1"}) == "x=a$b"
