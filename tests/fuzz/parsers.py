"""The parsers, each with inputs that are good, a way to harm them, and what it may answer with."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fuzz import hostile, hostile_objects, mutation
from tests.fuzz.cost import GOAL_S, within_the_goal
from tests.yamldocuments import documents
from vk_provider import bounds, jsontext
from vk_provider.cloud.eci import create_refusals, loglines, redaction, request, response, sign, usage
from vk_provider.cloud.eci.capabilities import CAPABILITIES, WORDS
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.errors import KubeError, PodNotReady, ProviderError, Refusal, UnsupportedPod
from vk_provider.kube.api_errors import from_status
from vk_provider.kube.lines import LineSplitter
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.logs import log_options
from vk_provider.model import quantity
from vk_provider.model.instance import merge
from vk_provider.model.workload import Workload
from vk_provider.translate import events, file_sources, status
from vk_provider.translate.judging import judged
from vk_provider.translate.node_context import NodeContext
from vk_provider.translate.objects import Objects
from vk_provider.translate.workload import assemble, build, references
from vk_provider.wire import channels, exit_status, forwarding, grpc_health, messages
from vk_provider.wire.spdy_frames import Data, FrameWriter, GoAway, Headers, Ping, RstStream, Settings, SynStream

CORPUS = Path(__file__).parents[1] / "corpus"
NOW = "2026-01-02T03:04:05Z"
PIECE = 700  # bytes come in pieces, as from a socket


@dataclass(frozen=True)
class Parser:
    """feed: what a caller does with one input. may_raise: what it documents; anything else is a find.

    costs: how many inputs of others take the time of one; it is given so many times fewer.
    """

    name: str
    seeds: Sequence[Any]
    harm: Callable[[random.Random, Any], Any]
    feed: Callable[[Any], object]
    may_raise: tuple[type[Exception], ...] = ()
    costs: int = 1


def _frames(*frames: Any) -> bytes:
    writer = FrameWriter()
    return b"".join(writer.write(frame) for frame in frames)


def _stream(stream_id: int, **headers: str) -> SynStream:
    return SynStream(stream_id, tuple(headers.items()))


EXEC = _frames(
    _stream(1, streamtype="error"),
    _stream(3, streamtype="stdin"),
    _stream(5, streamtype="stdout"),
    _stream(7, streamtype="resize"),
    Data(3, b"echo hello\n"),
    Data(7, b'{"Width":80,"Height":24}'),
    Ping(1),
    Data(3, fin=True),
    Headers(5, (("a", "b"),)),
    RstStream(7, 5),
    GoAway(7, 0),
)
FORWARD = _frames(
    Settings(((0, 4, 65536),)),
    _stream(1, streamtype="error", port="8080", requestid="0"),
    _stream(3, streamtype="data", port="8080", requestid="0"),
    Data(3, b"GET / HTTP/1.1\r\n\r\n"),
    Data(1, fin=True),
    Data(3, fin=True),
    GoAway(3, 0),
)


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def _spdy_command(data: bytes) -> None:
    names = channels.expected_streams(stdin=True, stdout=True, stderr=False, tty=True, protocol="v4.channel.k8s.io")
    command = channels.SpdyCommand(protocol="v4.channel.k8s.io", expected=names)
    for piece in _pieces(data):
        command.receive(piece)
        command.take()
    command.write(channels.Name.STDOUT, b"x")
    command.end(exit_status.status_of(0))
    command.take()


def _spdy_forwarding(data: bytes) -> None:
    pairs = forwarding.SpdyForwarding()
    for piece in _pieces(data):
        for event in pairs.receive(piece):
            if isinstance(event, forwarding.Complete):
                pairs.send(event.key, b"x")
        pairs.take()
    pairs.go_away()
    pairs.take()


def _message_command(protocol: str) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        command = messages.MessageCommand(protocol=protocol, stdin=True, stdout=True, stderr=True, tty=False)
        command.hello()
        command.receive(data)
        command.receive(data.decode("utf-8", "replace"))
        command.end(exit_status.status_of(1))

    return feed


def _message_forwarding(data: bytes) -> None:
    pairs = forwarding.MessageForwarding([80, 8080], protocol="v4.base64.channel.k8s.io")
    for protocol in ("v4.channel.k8s.io", "v4.base64.channel.k8s.io"):
        pairs = forwarding.MessageForwarding([80, 8080], protocol=protocol)
        list(pairs.hello())
        pairs.receive(data)
        pairs.receive(data.decode("utf-8", "replace"))


def _health(data: bytes) -> None:
    check = grpc_health.HealthCheck("10.0.0.1:50051", "web")
    check.data_to_send()
    for piece in _pieces(data):
        check.receive(piece)
        check.data_to_send()


def _cloud_answer(answer: Any) -> None:
    page = response.page(answer)
    for item in page.items:
        instance = response.instance(item)
        merge(instance, response.report(item))
        merge(instance, response.events_report(item))
        response.tags_of(item)
        status.all_stopped(instance)
        status.from_instance(POD, instance, now=NOW, host_ip="10.0.0.1")
    usage.usages(answer)
    for read in (
        response.group_id,
        response.request_id,
        response.price,
        response.terminal_address,
        response.log_content,
    ):
        read(answer)


def _cloud_text(data: bytes) -> None:
    """What is left unread is read as it would be in one go."""
    opened = response.page(jsontext.opened(data))
    read = [response.item(each) for each in opened.items]
    whole = [each for each in response.page(jsontext.loads(data)).items if each]
    assert repr([each for each in read if each]) == repr(whole)


def _log(data: bytes) -> None:
    look = loglines.parse(data.decode("utf-8", "replace"), asked_lines=2000)
    for line in look.lines:
        loglines.printed(line, timestamps=True)


def _watch(data: bytes) -> None:
    splitter = LineSplitter()
    for piece in _pieces(data):
        for line in splitter.feed(piece):
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(told, dict):
                from_status(told.get("object"), call="watch")


def _pod(pod: Any) -> None:
    """As the API server gives it: an object with metadata and spec; what is in them is anybody's."""
    if not _is_pod(pod):
        return
    references(pod, capabilities=CAPABILITIES)
    build(pod, OBJECTS, CONTEXT)


def _is_pod(pod: Any) -> bool:
    """What every API server sees to before anybody else sees the object."""
    if not isinstance(pod, dict) or not isinstance(pod.get("spec"), dict) or not isinstance(pod.get("metadata"), dict):
        return False
    if not isinstance(pod.setdefault("status", {}), dict):
        return False
    meta = pod["metadata"]
    return all(isinstance(meta.get(name), str) and meta[name] for name in ("name", "namespace", "uid"))


def _hostile_pod(pod: Any) -> None:
    """Each step of its way, within its time; and no message may tell what came out of a Secret."""
    _carried(pod, HOSTILE)


def _large_objects(found: dict[str, Any]) -> None:
    pod = {**hostile.plain(), "spec": hostile.REFERRED}
    key = hostile.NAMESPACE
    given = Objects(
        config_maps={(key, "map"): found["map"]},
        secrets={(key, name): found[name] for name in ("odd", "secret", "pull")},
        claims={(key, "claim"): found["claim"]},
        persistent_volumes={"volume": found["volume"]},
        services=found["services"],
    )
    _carried(pod, given)


def _carried(pod: Any, objects: Objects) -> None:
    try:
        within_the_goal("references", lambda: references(pod, capabilities=CAPABILITIES))
        workload = within_the_goal("build", lambda: assemble(pod, replace(objects), CONTEXT))
        asked, _ = within_the_goal("create", lambda: request.create(workload, SETTINGS))
        within_the_goal("sign", lambda: sign.signed(asked.method, asked.query, asked.body, "k"))
    except (UnsupportedPod, PodNotReady) as error:
        _told(pod, str(error), getattr(error, "reason", "Failed"))
        if isinstance(error, UnsupportedPod):
            found = within_the_goal("judged", lambda: judged(pod, objects, CONTEXT, _of_cloud), goal_s=3 * GOAL_S)
            _told(pod, str(UnsupportedPod(found)), error.reason)
        raise
    shown = redaction.masked({**asked.query, **asked.body}, ())
    assert not any(hostile.SECRET in text or ENCODED_SECRET in text for text in shown.values()), "a Secret is shown"
    for notice in workload.notices:
        _told(pod, notice.message, notice.reason)
    within_the_goal("waiting", lambda: status.waiting(pod, now=NOW, host_ip="10.0.0.1"))
    sources = within_the_goal("live", lambda: file_sources.live_sources(pod))
    within_the_goal(
        "fingerprint", lambda: file_sources.fingerprint(pod, sources, file_sources.versions(sources, objects), WORDS)
    )


def _of_cloud(workload: Workload) -> Sequence[Refusal]:
    return create_refusals.refusals(workload, SETTINGS)


def _told(pod: Any, message: str, reason: str) -> None:
    """What its owner and the log are told of it."""
    assert hostile.SECRET not in message, "a Secret is told"
    if not _is_pod(pod) or not isinstance(pod["spec"].get("containers"), list):
        return
    if any(not isinstance(each, dict) or "name" not in each for each in _listed(pod)):
        return
    event = events.own_event(events.involved(pod), type="Warning", reason=reason, message=message, now=NOW, node="n")
    assert len(event["message"].encode(errors="replace")) <= bounds.MOST_EVENT
    body = within_the_goal(
        "refused", lambda: status.patch(pod, status.refused(pod, reason=reason, message=message, now=NOW, host_ip=""))
    )
    assert len(json.dumps(body)) < 100_000, "a status as long as the pod"


def _listed(pod: Any) -> list[Any]:
    lists = [pod["spec"].get(field) or [] for field in ("containers", "initContainers", "ephemeralContainers")]
    return [each for one in lists if isinstance(one, list) for each in one]


def _hostile_answer(answer: Any) -> None:
    """Seven ways to read it, each of which takes the longer the more there is, and no longer than that."""
    within_the_goal("answer", lambda: _cloud_answer(answer), goal_s=0.5)


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "uid": "0-1", "resourceVersion": "7"},
    "spec": {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Always"},
    "status": {"phase": "Pending"},
}
OBJECTS = Objects()
ENCODED_SECRET = base64.b64encode(hostile.SECRET.encode()).decode()
SETTINGS = EciSettings(region="cn-hangzhou", cluster="c", node="vk", endpoint="http://127.0.0.1:1")
HOSTILE = Objects(
    config_maps={
        (hostile.NAMESPACE, "big"): hostile.object_of("ConfigMap", "big", hostile.big()),
        (hostile.NAMESPACE, "many"): hostile.object_of("ConfigMap", "many", {f"k.{n}": "v" for n in range(50_000)}),
    },
    secrets={
        (hostile.NAMESPACE, "big"): hostile.object_of(
            "Secret", "big", {key: base64.b64encode(text.encode()).decode() for key, text in hostile.big().items()}
        ),
        (hostile.NAMESPACE, "secret"): hostile.object_of("Secret", "secret", {"password": ENCODED_SECRET}),
        (hostile.NAMESPACE, "pull"): hostile.object_of(
            "Secret",
            "pull",
            {".dockerconfigjson": base64.b64encode(hostile.logins(8_000, "*a{}.*.com").encode()).decode()},
            type_="kubernetes.io/dockerconfigjson",
        ),
    },
)
CONTEXT = NodeContext(cluster="c", node_name="vk", node_ip="10.0.0.1")


def _pods() -> list[dict[str, Any]]:
    """Those of the corpus: every field that a manifest has is in some of them."""
    found = [POD]
    for file in sorted(CORPUS.rglob("*.yaml")):
        for document in documents(file):
            if document.get("kind") == "Pod":
                meta = {"namespace": "default", "uid": "0-1", "resourceVersion": "7", **document["metadata"]}
                found.append({"status": {}, **document, "metadata": meta})
    return found


GROUP = {
    "ContainerGroupId": "eci-1",
    "ContainerGroupName": "default-web",
    "Status": "Running",
    "IntranetIp": "10.1.2.3",
    "Cpu": 2.0,
    "Memory": 4.0,
    "CreationTime": NOW,
    "Tags": [{"Key": "vk-pod-uid", "Value": "0-1"}],
    "Containers": [
        {
            "Name": "c",
            "Image": "busybox",
            "Ready": True,
            "RestartCount": 1,
            "CurrentState": {"State": "Running", "StartTime": NOW, "DetailStatus": ""},
            "PreviousState": {
                "State": "Terminated",
                "ExitCode": 1,
                "StartTime": NOW,
                "FinishTime": NOW,
                "Reason": "Error",
            },
        }
    ],
    "InitContainers": [{"Name": "i", "CurrentState": {"State": "Terminated", "ExitCode": 0}}],
    "Events": [
        {
            "Name": "e.1",
            "Reason": "Pulled",
            "Message": "Pulled image",
            "Type": "Normal",
            "Count": 1,
            "LastTimestamp": NOW,
        }
    ],
    "Conditions": [{"Type": "ContainerHasSufficientDisk", "Status": "True", "Message": ""}],
}
ANSWERS: tuple[Any, ...] = (
    {"RequestId": "r", "TotalCount": 1, "NextToken": "", "ContainerGroups": [GROUP]},
    {
        "RequestId": "r",
        "TotalCount": 1,
        "Data": [
            {
                "ContainerGroupId": "eci-1",
                "Status": "Running",
                "PodIp": "10.1.2.3",
                "ContainerStatuses": [{"Name": "c", "Ready": True, "State": {"Running": {"StartedAt": NOW}}}],
                "Events": [{"Reason": "Started", "Message": "Started container c", "Count": 1}],
                "Conditions": [{"Type": "Ready", "Status": "True", "LastTransitionTime": NOW}],
            }
        ],
    },
    {
        "RequestId": "r",
        "MonitorDatas": [
            {
                "ContainerInstanceId": "eci-1",
                "Records": [
                    {
                        "Timestamp": NOW,
                        "CPU": {"UsageNanoCores": 5, "UsageCoreNanoSeconds": 9, "Load": 0, "Limit": 2000},
                        "Memory": {"WorkingSet": 100, "UsageBytes": 120, "AvailableBytes": 900},
                        "Network": {"Interfaces": [{"Name": "eth0", "RxBytes": 1, "TxBytes": 2}]},
                        "Containers": [{"Name": "c", "CPU": {"UsageNanoCores": 5}, "Memory": {"WorkingSet": 1}}],
                    }
                ],
            }
        ],
    },
    {"ContainerGroupId": "eci-1", "RequestId": "r", "WebSocketUri": "ws://127.0.0.1/exec/1", "Content": "line\n"},
    {"PriceInfo": {"Price": {"TradePrice": 0.1, "Currency": "CNY"}}, "Code": "Throttling", "Message": "later"},
)
LOG = b"2026-01-02T03:04:05.123456789Z hello\n2026-01-02T03:04:06Z world\nno stamp\n" * 3
WATCH = (
    b"".join(json.dumps({"type": kind, "object": POD}).encode() + b"\n" for kind in ("ADDED", "MODIFIED", "DELETED"))
    + b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
)
HEALTHY = b"".join(
    (
        grpc_health.frame(grpc_health.SETTINGS, 0, 0, b""),
        grpc_health.frame(grpc_health.HEADERS, grpc_health.END_HEADERS, grpc_health.STREAM, b"\x88"),
        grpc_health.frame(grpc_health.DATA, 0, grpc_health.STREAM, struct.pack(">BI", 0, 2) + b"\x08\x01"),
    )
)
QUERIES = (
    {"follow": "true", "tailLines": "10", "timestamps": "1"},
    {"sinceSeconds": "60", "limitBytes": "1000", "previous": "false"},
    {"sinceTime": NOW, "container": "c", "pretty": "true"},
)


def _texts(dice: random.Random, seed: dict[str, str]) -> dict[str, str]:
    harmed = mutation.of_json(dice, seed)
    return {str(key): str(value) for key, value in harmed.items()} if isinstance(harmed, dict) else {}


REFUSALS = (UnsupportedPod, PodNotReady)
PARSERS: tuple[Parser, ...] = (
    Parser("spdy exec", [EXEC], mutation.of_bytes, _spdy_command),
    Parser("spdy port-forward", [FORWARD], mutation.of_bytes, _spdy_forwarding),
    Parser(
        "websocket exec",
        [b"\x00ls\n", b'\x04{"Width":1,"Height":2}', b"\xff\x00"],
        mutation.of_bytes,
        _message_command("v5.channel.k8s.io"),
    ),
    Parser(
        "websocket exec, base64", [b"0bHMK", b"4e30="], mutation.of_bytes, _message_command("base64.channel.k8s.io")
    ),
    Parser("websocket port-forward", [b"\x00GET", b"\x02x", b"0R0VU"], mutation.of_bytes, _message_forwarding),
    Parser("gRPC health answer", [HEALTHY], mutation.of_bytes, _health, (grpc_health.NoHealth,)),
    Parser("cloud answer", ANSWERS, mutation.of_json, _cloud_answer, (ProviderError,)),
    Parser(
        "cloud answer's text",
        [json.dumps(answer).encode() for answer in ANSWERS],
        mutation.of_bytes,
        _cloud_text,
        (ValueError, ProviderError),
    ),
    Parser("container log", [LOG], mutation.of_bytes, _log),
    Parser("watch", [WATCH], mutation.of_bytes, _watch, (KubeError,)),
    Parser("pod", _pods(), mutation.of_json, _pod, (UnsupportedPod, PodNotReady)),
    Parser("hostile pods", [None], lambda dice, _: hostile.pod(dice), _hostile_pod, REFUSALS, costs=50),
    Parser("large objects", [None], lambda dice, _: hostile.objects(dice), _large_objects, REFUSALS, costs=200),
    Parser("hostile answers", ANSWERS, hostile.answer, _hostile_answer, (ProviderError,), costs=20),
    Parser("log options", QUERIES, _texts, lambda query: log_options(query, now=datetime.now(UTC)), (HttpError,)),
    Parser(
        "quantity",
        ["250m", "1Gi", "1.5", "1e3", "-1"],
        lambda dice, seed: mutation.of_bytes(dice, seed.encode()).decode("latin-1"),
        quantity.parse,
        (ValueError,),
    ),
    Parser("hostile objects", hostile_objects.SCENES, mutation.of_json, hostile_objects.feed, costs=200),
)
