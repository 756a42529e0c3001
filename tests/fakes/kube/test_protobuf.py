"""Bodies in protobuf form come out as the JSON the same client would have sent, and nothing said is dropped."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.kube.protobuf import Malformed, decode
from fakes.kube.protobuf_fields import MESSAGES, fields_of, message_of
from fakes.kube.requests import ROUTES

RECORDED = json.loads(Path(__file__).with_name("test_protobuf_kubectl.json").read_text())
"""Bodies kubectl 1.32 sent, beside what the same command printed with `--dry-run=client -o json` (less the nulls)."""


# An encoder of the tests' own: numbers and types as the .proto files of Kubernetes have them, only a few of each.


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def envelope(version: str, kind: str, raw: bytes, *more: bytes) -> bytes:
    return b"k8s\0" + content(1, content(1, version) + content(2, kind)) + content(2, raw) + b"".join(more)


def pod(spec: bytes) -> bytes:
    return envelope("v1", "Pod", content(2, spec))


def spec_of(raw: bytes) -> Any:
    return decode(pod(raw))["spec"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["command"]) for case in RECORDED])
def test_what_kubectl_sends(case):
    assert decode(bytes.fromhex(case["body"])) == case["json"]


METADATA = content(1, content(1, "a"))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(number(4, 0), {"terminationGracePeriodSeconds": 0}, id="a zero behind a pointer was said"),
        pytest.param(number(25, -5), {"priority": -5}, id="negative number"),
        pytest.param(number(21, 0), {"automountServiceAccountToken": False}, id="a false behind a pointer was said"),
        pytest.param(number(11, 0) + content(3, ""), {}, id="zeros JSON leaves out are left out"),
        pytest.param(content(3, "Never") + content(3, ""), {}, id="the last of two wins, though it says nothing"),
        pytest.param(
            content(7, content(1, "disk")), {"nodeSelector": {"disk": ""}}, id="a map's missing value is empty"
        ),
        pytest.param(content(7, content(2, "ssd")), {"nodeSelector": {"": "ssd"}}, id="a map's missing key is empty"),
        pytest.param(
            content(32, content(1, "cpu") + content(2, content(1, "1"))), {"overhead": {"cpu": "1"}}, id="quantity"
        ),
        pytest.param(
            content(14, number(2, 1)) + content(14, number(5, 2)),
            {"securityContext": {"runAsUser": 1, "fsGroup": 2}},
            id="halves of a message",
        ),
        pytest.param(
            content(14, number(4, 7) + number(4, 8)),
            {"securityContext": {"supplementalGroups": [7, 8]}},
            id="list of numbers",
        ),
        pytest.param(
            content(14, content(4, varint(7) + varint(300))),
            {"securityContext": {"supplementalGroups": [7, 300]}},
            id="packed list",
        ),
        pytest.param(
            content(1, content(1, "v") + content(2, content(2, b""))),
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            id="inlined, empty and meant",
        ),
        pytest.param(
            content(1, content(1, "v") + content(2, content(19, content(1, content(1, "cm")) + number(4, 1)))),
            {"volumes": [{"name": "v", "configMap": {"name": "cm", "optional": True}}]},
            id="inlined twice",
        ),
        pytest.param(
            content(2, content(10, content(1, content(2, content(2, number(1, 0) + number(2, 80) + content(3, "")))))),
            {"containers": [{"livenessProbe": {"httpGet": {"port": 80}}}]},
            id="port by number",
        ),
        pytest.param(
            content(
                2, content(10, content(1, content(2, content(2, number(1, 1) + number(2, 0) + content(3, "web")))))
            ),
            {"containers": [{"livenessProbe": {"httpGet": {"port": "web"}}}]},
            id="port by name",
        ),
    ],
)
def test_values(raw, expected):
    assert spec_of(raw) == expected


def stamp(seconds: int, nanos: int = 0) -> bytes:
    return number(1, seconds) + number(2, nanos)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"", None, id="no time"),
        pytest.param(stamp(-62135596800), None, id="Go's zero time"),
        pytest.param(stamp(0), "1970-01-01T00:00:00Z", id="the epoch is a time"),
        pytest.param(stamp(1700000000, 999_999_999), "2023-11-14T22:13:20Z", id="whole seconds only"),
        pytest.param(stamp(-1), "1969-12-31T23:59:59Z", id="before the epoch"),
    ],
)
def test_times(raw, expected):
    made = decode(envelope("v1", "Namespace", content(1, content(8, raw))))
    assert made["metadata"].get("creationTimestamp") == expected


def test_micro_times():
    lease = envelope("coordination.k8s.io/v1", "Lease", content(2, content(4, stamp(1700000000, 1_234_567))))
    assert decode(lease)["spec"] == {"renewTime": "2023-11-14T22:13:20.001234Z"}


def test_managed_fields_and_revisions_carry_their_json():
    managed = content(17, content(7, content(1, b'{"f:a":{}}')))
    revision = envelope(
        "apps/v1", "ControllerRevision", content(1, managed) + content(2, content(1, b'{"spec":[1]}')) + number(3, 2)
    )
    made = decode(revision)
    assert made["metadata"] == {"managedFields": [{"fieldsV1": {"f:a": {}}}]}
    assert (made["data"], made["revision"]) == ({"spec": [1]}, 2)


def test_lists_of_texts_in_a_map():
    extra = content(5, content(1, "scopes") + content(2, content(1, "a") + content(1, "")))
    made = decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", content(2, extra)))
    assert made["spec"] == {"extra": {"scopes": ["a", ""]}}


@pytest.mark.parametrize("version", ["v1", "apps/v1", "policy/v1", "meta.k8s.io/v1"])
def test_delete_options_of_any_group(version):
    raw = number(1, 0) + content(2, content(1, "u")) + content(4, "Foreground")
    expected = {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"}
    assert decode(envelope(version, "DeleteOptions", raw)) == {
        "kind": "DeleteOptions",
        "apiVersion": version,
        **expected,
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"", "expected prefix", id="nothing"),
        pytest.param(b'{"kind":"Pod"}', "expected prefix", id="JSON after all"),
        pytest.param(b"k8s\0", "'Kind' is missing", id="an empty envelope"),
        pytest.param(b"k8s\0" + content(1, content(2, "Pod")), "'apiVersion' is missing", id="no version"),
        pytest.param(envelope("v9", "Pod", b""), 'no kind "Pod" is known for version "v9"', id="version we lack"),
        pytest.param(envelope("v1", "Pod", b"", content(3, "gzip")), "encoding 'gzip'", id="encoded content"),
        pytest.param(
            envelope("v1", "Pod", b"", content(4, "application/json")), "application/json", id="JSON in the envelope"
        ),
        pytest.param(
            envelope("v1", "Pod", b"", number(9, 1)), "field number 9 of Unknown", id="unknown in the envelope"
        ),
        pytest.param(pod(number(999, 1)), "field number 999 of PodSpec is not known", id="unknown field"),
        pytest.param(
            pod(content(7, number(3, 1))), "field number 3 of an entry of PodSpec.nodeSelector", id="unknown in a map"
        ),
        pytest.param(
            pod(content(4, "x")),
            "wrong wireType = 2 for field PodSpec.terminationGracePeriodSeconds",
            id="text for a number",
        ),
        pytest.param(pod(number(3, 1)), "wrong wireType = 0 for field PodSpec.restartPolicy", id="number for a text"),
        pytest.param(pod(number(2, 1)), "wrong wireType = 0 for field PodSpec.containers", id="number for a message"),
        pytest.param(pod(varint(3 << 3 | 1) + bytes(8)), "wrong wireType = 1", id="eight bytes for a text"),
        pytest.param(pod(varint(3 << 3 | 3)), "illegal wireType 3", id="a group"),
        pytest.param(pod(b"\0\0"), "illegal tag 0", id="field number zero"),
        pytest.param(pod(b"\xff" * 11), "integer overflow", id="a number without end"),
        pytest.param(pod(varint(3 << 3 | 2) + varint(1 << 40)), "unexpected EOF", id="a length beyond the end"),
        pytest.param(pod(varint(3 << 3 | 5) + b"12"), "unexpected EOF", id="half a fixed number"),
        pytest.param(pod(content(3, b"\xff")), "invalid UTF-8", id="text that is none"),
        pytest.param(
            envelope("v1", "Namespace", content(1, content(8, stamp(1 << 62)))),
            "years 1 to 9999",
            id="a time out of this world",
        ),
        pytest.param(
            envelope("policy/v1", "PodDisruptionBudget", content(2, content(1, number(1, 2)))),
            "IntOrString.Type 2",
            id="neither",
        ),
        pytest.param(
            envelope("apps/v1", "ControllerRevision", content(2, content(1, "{"))), "holds no JSON", id="broken JSON"
        ),
        pytest.param(
            envelope("apps/v1", "ControllerRevision", content(2, content(1, "[" * 100_000))),
            "holds no JSON",
            id="bottomless JSON",
        ),
    ],
)
def test_refused_with_a_reason(raw, words):
    with pytest.raises(Malformed, match=re.escape(words)):
        decode(raw)


def test_a_length_is_never_believed_beyond_the_message_it_is_in():
    inner = varint(3 << 3 | 2) + varint(5) + b"Nev"  # the next two bytes exist, but belong to the pod
    with pytest.raises(Malformed, match="PodSpec: unexpected EOF"):
        decode(envelope("v1", "Pod", content(2, inner) + content(3, b"")))


def is_read(raw: bytes) -> bool:
    """Whether the bytes decode; anything but an object or a refusal is an error of the decoder."""
    try:
        made = decode(raw)
    except Malformed:
        return False
    assert json.loads(json.dumps(made)) == made
    return True


@pytest.mark.parametrize("case", [pytest.param(case, id=case["command"]) for case in RECORDED])
def test_cut_anywhere_it_is_refused(case):
    body = bytes.fromhex(case["body"])
    unseen = [end for end in range(len(body)) if is_read(body[:end])]
    # a cut goes unseen only between the envelope's fields: names, object, and two empty ones that kubectl writes
    assert [body[end] for end in unseen] == [0x12, 0x1A, 0x22]


@given(st.binary(max_size=200))
def test_noise_is_refused_not_crashed_upon(noise):
    for raw in (noise, b"k8s\0" + noise, pod(noise), envelope("batch/v1", "Job", noise)):
        is_read(raw)


@given(case=st.sampled_from(RECORDED), data=st.data())
def test_a_damaged_body_is_refused_or_read_not_crashed_upon(case, data):
    body = bytearray.fromhex(case["body"])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    is_read(bytes(body))


# Round trips: objects drawn at random, written by the encoder above, read by the decoder.

TEXT = st.text(min_size=1, max_size=12)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6)
SAID = st.none() | st.integers(-(1 << 63), (1 << 63) - 1)
CONTAINER = st.fixed_dictionaries(
    {
        "name": NAMES,
        "args": st.lists(st.text(max_size=8), max_size=3),
        "limits": st.dictionaries(NAMES, TEXT, max_size=3),
    },
    optional={"tty": st.booleans(), "user": st.integers(-5, 1 << 40)},
)


def write_container(container: dict[str, Any]) -> bytes:
    out = content(1, container["name"]) + b"".join(content(4, arg) for arg in container["args"])
    limits = (content(1, key) + content(2, content(1, value)) for key, value in container["limits"].items())
    out += content(8, b"".join(content(1, entry) for entry in limits))
    out += number(18, container.get("tty", False))
    return out + (content(15, number(4, container["user"])) if "user" in container else b"")


def plain_container(container: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": container["name"], "resources": {}}
    made |= {"args": container["args"]} if container["args"] else {}
    made["resources"] = {"limits": container["limits"]} if container["limits"] else {}
    made |= {"tty": True} if container.get("tty") else {}
    return made | ({"securityContext": {"runAsUser": container["user"]}} if "user" in container else {})


@given(
    containers=st.lists(CONTAINER, min_size=1, max_size=4),
    priority=SAID,
    labels=st.dictionaries(TEXT, st.text(), max_size=4),
)
def test_pods_survive_the_trip(containers, priority, labels):
    meta = b"".join(content(11, content(1, key) + content(2, value)) for key, value in labels.items())
    spec = b"".join(content(2, write_container(item)) for item in containers)
    spec += b"" if priority is None else number(25, priority)
    made = decode(envelope("v1", "Pod", content(1, meta) + content(2, spec)))
    expected: dict[str, Any] = {"containers": [plain_container(item) for item in containers]}
    expected |= {} if priority is None else {"priority": priority}
    assert made == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"labels": labels} if labels else {},
        "spec": expected,
    }


# The table itself


@pytest.mark.parametrize(
    ("version", "kind"),
    [(f"{group}/{version}".lstrip("/"), row.kind) for (group, version, _), row in sorted(ROUTES.items())]
    + [
        ("policy/v1", "Eviction"),
        ("policy/v1beta1", "Eviction"),
        ("autoscaling/v1", "Scale"),
        ("authentication.k8s.io/v1", "TokenRequest"),
    ],
)
def test_every_kind_served_can_be_read(version, kind):
    message = message_of(version, kind)
    assert message is not None
    assert fields_of(message)[1].name == "metadata"
    assert decode(envelope(version, kind, METADATA)) == {"kind": kind, "apiVersion": version, "metadata": {"name": "a"}}


def test_every_message_named_in_the_table_is_in_it():
    kinds = set()
    for message in MESSAGES:
        for field in fields_of(message).values():
            ending = field.type
            while ending.inner is not None:
                ending = ending.inner
            assert not ending.name or ending.name in MESSAGES, (message, field)
            kinds.add(ending.kind)
    assert kinds == {"message", "inline", *"sibyqxtmjeo"}
