"""What must become of a manifest, as the text beside it: `python -m tests.corpus.golden [part of a name ...]`.

request: the parameters of CreateContainerGroup by their wire names, but for those that are as in every request of this
corpus (`_usual`); null: the request does not have what is usual. Contents of files are shown decoded, since base64
hides what a reviewer has to see. refused: field by field. The lives tell statuses and events, see `life`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from typing import Any

from tests.corpus.life import CLUSTER, INSTANCE_ID, Story, story
from tests.corpus.manifests import Case, Life, cases, default_life
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import UnsupportedPod
from vk_provider.model import pod as pods
from vk_provider.show.admitted import UID
from vk_provider.translate.workload import references

Json = dict[str, Any]

# Signature, time and the like: of the call, not of the pod.
_OF_THE_CALL = {
    *("Action", "Version", "Format", "RegionId", "Timestamp", "AccessKeyId", "SecurityToken"),
    *("Signature", "SignatureMethod", "SignatureNonce", "SignatureType", "SignatureVersion"),
}
_DIGESTS = {"vk-images", "vk-values"}  # tags over all that is shown anyhow
_REFUSED = Life("is refused", until_s=15.0)


def golden(case: Case) -> tuple[str, list[Story]]:
    """The text, and the stories it was made of."""
    told: list[Json] = []
    stories: list[Story] = []
    for pod in case.pods:
        one, lived = _golden(case, pod)
        told.append(one)
        stories += lived
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n", stories


def _golden(case: Case, pod: Json) -> tuple[Json, list[Story]]:
    meta = pod["metadata"]
    told: Json = {"pod": f"{meta['namespace']}/{meta['name']}"}
    lives = list(case.lives)
    first = story(case, pod, lives[0]) if lives else None
    refused = _refusals(pod)
    if not lives:
        lives = [_REFUSED if refused else default_life(pod)]
    stories = [first or story(case, pod, lives[0]), *(story(case, pod, life) for life in lives[1:])]
    if refused:
        told["refused"] = refused
    requests = [parameters for each in stories for parameters in each.requests]
    if requests:
        told["request"] = _unusual(_shown(requests[0]), _usual(meta))
    for life, each in zip(lives, stories, strict=True):
        told[life.name] = {
            "statuses": each.statuses,
            "events": each.events,
            **({"updates": [_unusual(_shown(update), {}) for update in each.updates]} if each.updates else {}),
        }
    return told, stories


def _refusals(pod: Json) -> list[str]:
    """Field by field: what the pod itself says that is not carried. What only the cloud's limits forbid shows in the
    life."""
    if pods.is_daemon(pod):
        return []  # it waits, whatever it says
    try:
        references(pod, capabilities=CAPABILITIES)
    except UnsupportedPod as error:
        return [str(each) for each in error.refusals]
    return []


def _shown(parameters: Mapping[str, str]) -> Json:
    shown = _without_digests(parameters)
    return {name: _readable(name, value) for name, value in shown.items() if name not in _OF_THE_CALL}


def _without_digests(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """As a request without those tags, whose numbers close up."""
    tags = {
        name.split(".")[1]: value
        for name, value in parameters.items()
        if name.startswith("Tag.") and name.endswith(".Key")
    }
    kept = [number for number in sorted(tags, key=int) if tags[number] not in _DIGESTS]
    places = {number: str(place) for place, number in enumerate(kept, 1)}
    found: dict[str, str] = {}
    for name, value in parameters.items():
        _, _, rest = name.partition("Tag.")
        number, _, part = rest.partition(".")
        if not name.startswith("Tag."):
            found[name] = value
        elif number in places:
            found[f"Tag.{places[number]}.{part}"] = value
    return found


def _usual(meta: Json) -> Json:
    """What every request has unless its pod says otherwise."""
    tags = {
        "vk-cluster-uid": CLUSTER,
        "vk-node": "vk",
        "vk-namespace": meta["namespace"],
        "vk-pod": meta["name"],
        "vk-pod-uid": UID,
        "vk-cluster": "corpus",
    }
    searches = (f"{meta['namespace']}.svc.cluster.local", "svc.cluster.local", "cluster.local")
    return {
        **{f"Tag.{number}.Key": key for number, key in enumerate(tags, 1)},
        **{f"Tag.{number}.Value": value for number, value in enumerate(tags.values(), 1)},
        "ClientToken": "f8e0a43c58c50f5727da67a294bc6e39142d3c005f3e5650b90781e9ed423137",
        "ContainerGroupName": f"{meta['namespace']}-{meta['name']}",
        "HostName": meta["name"],
        "VSwitchId": "vsw-a,vsw-b",
        "ScheduleStrategy": "VSwitchOrdered",
        "SecurityGroupId": "sg-a",
        "DnsPolicy": "None",
        "DnsConfig.NameServer.1": "10.96.0.10",
        **{f"DnsConfig.Search.{number}": domain for number, domain in enumerate(searches, 1)},
        "DnsConfig.Option.1.Name": "ndots",
        "DnsConfig.Option.1.Value": "5",
        "TerminationGracePeriodSeconds": "30",
        "RestartPolicy": "Always",
    }


def unusual(parameters: Mapping[str, str], told: Json) -> Json:
    """As the `request` of the golden `told`, of parameters that did not go over the wire."""
    namespace, name = told["pod"].split("/")
    return _unusual(_shown(parameters), _usual({"namespace": namespace, "name": name}))


def _unusual(parameters: Json, usual: Json) -> Json:
    missing: Json = {name: None for name in usual if name not in parameters}
    found = {name: value for name, value in parameters.items() if usual.get(name) != value}
    return dict(sorted({**found, **missing}.items(), key=_by_numbers))


def _by_numbers(item: tuple[str, Any]) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in item[0].split(".")]


def _readable(name: str, value: str) -> str:
    if not name.endswith(".Content"):
        return INSTANCE_ID.sub("eci-1", value)
    content = base64.b64decode(value, validate=True)
    assert base64.b64encode(content).decode() == value, f"{name}: another spelling of base64"
    try:
        text = INSTANCE_ID.sub("eci-1", content.decode())
        return f"text: {text}" if len(content) < 2000 else f"{len(content)} bytes"
    except UnicodeDecodeError:
        return f"base64: {value}"


def main(parts: list[str]) -> None:
    for case in cases():
        if not parts or any(part in case.name for part in parts):
            text, _ = golden(case)
            if not case.golden.exists() or case.golden.read_text() != text:
                case.golden.write_text(text)
                sys.stdout.write(f"{case.name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
