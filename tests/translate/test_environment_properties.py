"""Any environment, held against a second reading of the rules (S1 to S11) that shares nothing with the first."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_cases import CONTEXT

from tests.thorough import examples
from vk_provider.errors import PodNotReady
from vk_provider.translate.workload import Objects, build

Json = dict[str, Any]

NAMES = ["A", "B", "C", "_D", "web_SERVICE_HOST", "WEB_SERVICE_HOST", "KUBERNETES_PORT"]
KEYS = [*NAMES, "9", "a.b", "with space", "E"]
PIECES = ["$", "$$", "(", ")", "x", "$(A)", "$(B)", "$(C)", "$(_D)", "$(NONE)", "$(WEB_SERVICE_HOST)", "$(P_A)", " "]
texts = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
values = st.sampled_from(["", "1", "$(A)", "two words", "line\nline", "ä"])
data = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
objects_ = st.fixed_dictionaries({"m1": st.none() | data, "m2": data, "s1": st.none() | data, "s2": data})

FIELDS = {
    "metadata.name": "p",
    "metadata.namespace": "ns",
    "metadata.uid": "u",
    "metadata.labels['l']": "label",
    "metadata.labels['none']": "",
    "metadata.annotations['a']": "note",
    "spec.nodeName": CONTEXT.node_name,
    "spec.serviceAccountName": "robot",
    "status.hostIP": CONTEXT.node_ip,
}


def references(kind: str, names: list[str]) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda name, optional: {kind: {"name": name, **({"optional": optional} if optional is not None else {})}},
        st.sampled_from(names),
        st.sampled_from([None, True, False]),
    )


env_from = st.builds(
    lambda source, prefix: {**source, **({"prefix": prefix} if prefix is not None else {})},
    references("configMapRef", ["m1", "m2", "m3"]) | references("secretRef", ["s1", "s2", "s3"]),
    st.sampled_from([None, "", "P_", "9"]),
)
keyed = st.builds(
    lambda source, key: {kind: {**reference, "key": key} for kind, reference in source.items()},
    references("configMapKeyRef", ["m1", "m2", "m3"]) | references("secretKeyRef", ["s1", "s2", "s3"]),
    st.sampled_from(KEYS),
)
fields = st.sampled_from(sorted(FIELDS)).map(lambda path: {"fieldRef": {"fieldPath": path}})
entries = st.builds(
    lambda name, rest: {"name": name, **rest},
    st.sampled_from(NAMES),
    st.builds(lambda text: {"value": text}, texts)
    | st.builds(lambda source: {"valueFrom": source}, keyed | fields)
    | st.just({}),
)
SERVICES = [
    {
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]},
    },
    {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"clusterIP": "fd00::1", "ports": [{"port": 80}]}},
    {"metadata": {"name": "headless", "namespace": "ns"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
    {"metadata": {"name": "far", "namespace": "other"}, "spec": {"clusterIP": "10.1.1.1", "ports": [{"port": 80}]}},
]
MASTER = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
}
LINKED = {
    "WEB_SERVICE_HOST": "fd00::1",
    "WEB_SERVICE_PORT": "80",
    "WEB_PORT": "tcp://[fd00::1]:80",
    "WEB_PORT_80_TCP": "tcp://[fd00::1]:80",
    "WEB_PORT_80_TCP_PROTO": "tcp",
    "WEB_PORT_80_TCP_PORT": "80",
    "WEB_PORT_80_TCP_ADDR": "fd00::1",
}


# --- the second reading ----------------------------------------------------------------------------------------------


class Missing(Exception):
    pass


def expanded(text: str, known: Mapping[str, str]) -> str:
    def found(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", found, text)


def looked_up(kind: str, reference: Json, objects: Mapping[str, Json | None]) -> Json | None:
    held = objects.get(reference["name"])
    if held is not None or reference.get("optional"):
        return held
    raise Missing(f'{"secret" if kind.startswith("secret") else "configmap"} "{reference["name"]}" not found')


def oracle(env: list[Json], sources: list[Json], objects: Mapping[str, Json | None], *, links: bool) -> dict[str, str]:
    """The variables of the container. Raises Missing for the first thing that must be there and is not."""
    around = {**MASTER, **(LINKED if links else {})}
    made: dict[str, str] = {}
    for source in sources:
        kind = "configMapRef" if "configMapRef" in source else "secretRef"
        for key, text in (looked_up(kind, source[kind], objects) or {}).items():
            name = source.get("prefix", "") + key
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
                made[name] = text
    for entry in env:
        name, source = entry["name"], entry.get("valueFrom")
        if source is None:
            made[name] = expanded(entry.get("value", ""), {**around, **made})
        elif "fieldRef" in source:
            made[name] = FIELDS[source["fieldRef"]["fieldPath"]]
        else:
            ((kind, reference),) = source.items()
            held = looked_up(kind, reference, objects)
            if held is not None and reference["key"] in held:
                made[name] = held[reference["key"]]
            elif not reference.get("optional"):
                words = "Secret" if kind == "secretKeyRef" else "ConfigMap"
                raise Missing(f"couldn't find key {reference['key']} in {words} ns/{reference['name']}")
    return {**around, **made}


# --- both -------------------------------------------------------------------------------------------------------------


def fetched(objects: Mapping[str, Json | None]) -> Objects:
    maps = {("ns", name): held for name, held in objects.items() if name.startswith("m")}
    secrets = {("ns", name): held for name, held in objects.items() if name.startswith("s")}
    return Objects(
        config_maps={key: None if held is None else {"data": held} for key, held in maps.items()},
        secrets={key: None if held is None else {"data": encoded(held)} for key, held in secrets.items()},
        services=SERVICES,
    )


def encoded(held: Json) -> Json:
    return {key: base64.b64encode(text.encode()).decode() for key, text in held.items()}


@settings(max_examples=examples(500), derandomize=True)
@given(
    env=st.lists(entries, max_size=6),
    sources=st.lists(env_from, max_size=3),
    objects=objects_,
    words=st.lists(texts, max_size=3),
    links=st.sampled_from([None, True, False]),
)
def test_any_environment(
    env: list[Json], sources: list[Json], objects: Mapping[str, Json | None], words: list[str], links: bool | None
) -> None:
    container = {"name": "c", "image": "i", "env": env, "envFrom": sources, "command": words, "args": words}
    meta = {"name": "p", "namespace": "ns", "uid": "u", "labels": {"l": "label"}, "annotations": {"a": "note"}}
    spec = {"containers": [container], "serviceAccountName": "robot"}
    pod = {"metadata": meta, "spec": spec | ({} if links is None else {"enableServiceLinks": links})}
    try:
        expected = oracle(env, sources, objects, links=links is not False)
    except Missing as missing:
        expected_error = str(missing)
    else:
        made = build(pod, fetched(objects), CONTEXT).containers[0]
        assert dict(made.env) == expected
        assert len(made.env) == len(expected)
        assert list(made.command) == list(made.args) == [expanded(word, expected) for word in words]
        return
    with pytest.raises(PodNotReady) as raised:
        build(pod, fetched(objects), CONTEXT)
    assert str(raised.value) == expected_error
    assert (raised.value.event_reason, raised.value.waiting_reason) == ("Failed", "CreateContainerConfigError")
