"""What is said to ECI: whole requests, compared with those kept in tests/data/eci."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cloud.workloads import BARE, CASES, EVERYTHING, NOTHING_ASKED, PI, SETTINGS, owner
from vk_provider.cloud.base import Change
from vk_provider.cloud.eci import calls, client_token, request, tags, update, wire_form
from vk_provider.cloud.eci.response import Words
from vk_provider.errors import UnsupportedPod
from vk_provider.model.probe import Exec, Probe
from vk_provider.model.workload import Container, EmptyDir, File, FromPodIP, Port, RegistryCredential, Volume, Workload

DATA = Path(__file__).parent.parent / "data" / "eci"


@pytest.mark.parametrize("case", CASES)
def test_create(case):
    workload, settings = CASES[case]
    asked, choice = request.create(workload, settings)
    assert {
        "action": asked.action,
        "method": asked.method,
        "query": dict(asked.query),
        "body": dict(asked.body),
        "size": [choice.size.cpu, choice.size.memory_gib],
    } == json.loads((DATA / f"{case}.request.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_the_same_workload_gives_the_same_request(case):
    assert request.create(*CASES[case]) == request.create(*CASES[case])


def test_a_draft_shows_all_of_the_request_and_its_price():
    draft = request.draft(PI, SETTINGS)
    asked, _ = request.create(PI, SETTINGS)
    assert draft.request == {"Action": "CreateContainerGroup", **asked.query, **asked.body}
    assert (draft.cpu, draft.memory_gib) == (16, 32)
    assert draft.price.per_second == pytest.approx(16 * 0.000049 + 32 * 0.00000613)


def test_no_word_of_the_pod_stands_in_the_url():
    for workload in (PI, EVERYTHING):
        asked, _ = request.create(workload, SETTINGS)
        assert not [name for name in asked.query if name.startswith(("Container.", "InitContainer.", "Volume."))]


def test_a_request_does_not_show_its_body():
    asked, _ = request.create(EVERYTHING, SETTINGS)
    assert "hällo" not in repr(asked)


def test_the_largest_pod_has_a_short_url():
    files = tuple(File(f"f{number}", bytes(32 * 1024)) for number in range(90))
    asked, _ = request.create(replace(NOTHING_ASKED, volumes=(Volume("big", files=files),)), BARE)
    assert sum(len(name) + len(value) for name, value in asked.query.items()) < 2000


def container(**changed) -> Workload:
    return replace(NOTHING_ASKED, containers=(replace(NOTHING_ASKED.containers[0], **changed),))


def volumes(*them: Volume) -> Workload:
    return replace(NOTHING_ASKED, volumes=them)


MANY = tuple(Container(f"c{number}", "busybox") for number in range(21))


@pytest.mark.parametrize(
    ("workload", "field", "words"),
    [
        pytest.param(replace(NOTHING_ASKED, containers=MANY), "spec.containers", "21 containers", id="containers"),
        pytest.param(
            replace(NOTHING_ASKED, init_containers=MANY), "spec.initContainers", "21 containers", id="init containers"
        ),
        pytest.param(
            volumes(*(Volume(f"v{number}", empty_dir=EmptyDir()) for number in range(21))),
            "spec.volumes",
            "21 volumes",
            id="volumes",
        ),
        pytest.param(
            volumes(
                Volume("a", empty_dir=EmptyDir()), Volume("cfg", files=(File("x", bytes(32 * 1024 + 1)),), index=3)
            ),
            "spec.volumes[3]",
            "file 'x' of volume 'cfg' has 32769 bytes",
            id="file",
        ),
        pytest.param(
            volumes(Volume("cfg", files=tuple(File(str(number), b"") for number in range(91)))),
            "spec.volumes[0]",
            "91 files",
            id="files",
        ),
        pytest.param(
            replace(
                NOTHING_ASKED,
                registry_credentials=tuple(RegistryCredential(f"r{number}", "u", "p") for number in range(11)),
            ),
            "spec.imagePullSecrets",
            "images of 11 registries",
            id="logins",
        ),
        pytest.param(container(command=("x",) * 21), "spec.containers[0].command", "21 items", id="command"),
        pytest.param(
            container(readiness=Probe(Exec(("x",) * 21))),
            "spec.containers[0].readinessProbe.exec.command",
            "21 items",
            id="command of a probe",
        ),
        pytest.param(
            replace(
                NOTHING_ASKED,
                init_containers=(Container("i", "b"),),
                containers=(Container("s", "b", sidecar=True, command=("x",) * 21), Container("c", "b")),
            ),
            "spec.initContainers[1].command",
            "21 items",
            id="command of a sidecar",
        ),
        pytest.param(container(env=(("my key", "1"),)), "spec.containers[0].env", "'my key'", id="env key"),
        pytest.param(container(env=(("1A", "1"),)), "spec.containers[0].env", "'1A'", id="env key digit"),
        pytest.param(
            container(env=tuple((f"K{number}", "") for number in range(241))), "spec.containers[0].env", "241", id="env"
        ),
        pytest.param(container(image="x" * 256), "spec.containers[0].image", "256 characters", id="image"),
        pytest.param(container(ports=(Port(1, "SCTP"),)), "spec.containers[0].ports", "SCTP", id="protocol"),
        pytest.param(
            replace(NOTHING_ASKED, init_containers=(Container("i", "b", command=("x",) * 21),)),
            "spec.initContainers[0].command",
            "21 items",
            id="command of an init container",
        ),
        pytest.param(replace(NOTHING_ASKED, cpu=65.0), "spec.containers[*].resources", "64 vCPU", id="size"),
    ],
)
def test_what_eci_cannot_hold_is_refused_by_name(workload, field, words):
    with pytest.raises(UnsupportedPod) as caught:
        request.create(workload, BARE)
    (refusal,) = caught.value.refusals
    assert refusal.field == field
    assert words in refusal.reason


def test_every_fault_is_named_at_once():
    with pytest.raises(UnsupportedPod) as caught:
        request.create(replace(container(env=(("a b", ""),), command=("x",) * 21), cpu=99.0), BARE)
    assert len(caught.value.refusals) == 3


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(container(env=(("LONG", "x" * 257),)), id="env value over 256"),
        pytest.param(container(args=("x",) * 11), id="more than 10 args"),
        pytest.param(container(command=("x" * 257,)), id="command item over 256"),
    ],
)
def test_limits_of_which_nobody_knows_whether_they_hold_are_left_to_the_cloud(workload):
    assert request.create(workload, BARE)


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("default", "web-0", "default-web-0"),
        ("default", "web.example.com", "default-web-example-com"),
        ("ns", "x" * 200, "ns-" + "x" * 125),
        ("ns", "a" * 124 + ".bcdef", "ns-" + "a" * 124),
        ("", "a", "pod-a"),
    ],
)
def test_group_name(namespace, name, expected):
    assert client_token.group_name(namespace, name) == expected


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=80), st.text(max_size=300))
def test_every_group_name_keeps_the_rules(namespace, name):
    text = client_token.group_name(namespace, name)
    assert 2 <= len(text) <= 128
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert text.strip("-") == text


def test_a_client_token_belongs_to_one_pod_uid():
    assert client_token.client_token(owner(uid="1")) == client_token.client_token(owner(uid="1", name="other"))
    assert client_token.client_token(owner(uid="1")) != client_token.client_token(owner(uid="2"))
    assert client_token.client_token(owner()) != client_token.client_token(owner(), replaces="eci-dead")
    assert client_token.client_token(owner(), "eci-a") != client_token.client_token(owner(), "eci-b")
    assert len(client_token.client_token(owner())) == 64
    assert client_token.client_token(owner()).isascii()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("web-0", "web-0"),
        ("aliyun-agent", "_aliyun-agent"),
        ("ACS:x", "_ACS:x"),
        ("_x", "__x"),
        ("x" * 128, "x" * 128),
        ("", ""),
    ],
)
def test_tag_values(text, value):
    assert tags.value_of(text) == value
    assert tags.text_of(value) == text


def test_over_long_names_are_cut_and_still_told_apart():
    one, other = tags.value_of("x" * 200 + "1"), tags.value_of("x" * 200 + "2")
    assert len(one) == len(other) == 128
    assert one != other


def test_an_owner_reads_back_from_its_tags():
    assert tags.to_owner(tags.of_owner(owner("aliyun.web"))) == owner("aliyun.web")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.25, "0.25"),
        (100 / 1024, "0.097656"),
        (1 / 3, "0.333333"),
        (64, "64"),
        (0.1 + 0.2, "0.3"),
        (0, "0"),
    ],
)
def test_decimal(value, text):
    assert wire_form.decimal(value) == text


@pytest.mark.parametrize(
    ("asked", "action", "method", "query"),
    [
        pytest.param(calls.delete("eci-1"), "DeleteContainerGroup", "POST", {"ContainerGroupId": "eci-1"}, id="delete"),
        pytest.param(
            calls.delete("eci-1", force=True),
            "DeleteContainerGroup",
            "POST",
            {"ContainerGroupId": "eci-1", "Force": "true"},
            id="delete at once",
        ),
        pytest.param(
            calls.describe_groups(ids=["a", "b"]),
            "DescribeContainerGroups",
            "GET",
            {"ContainerGroupIds": '["a", "b"]', "Limit": "20", "WithEvent": "true"},
            id="by id",
        ),
        pytest.param(
            calls.describe_statuses(tag_filter={"k": "v"}, since_s=60, next_token="t"),
            "DescribeContainerGroupStatus",
            "POST",
            {"Tag.1.Key": "k", "Tag.1.Value": "v", "SinceSecond": "60", "NextToken": "t", "Limit": "200"},
            id="statuses",
        ),
        pytest.param(
            calls.describe_events(tag_filter={"k": "v"}, since_s=90),
            "DescribeContainerGroupEvents",
            "POST",
            {"Tag.1.Key": "k", "Tag.1.Value": "v", "SinceSecond": "90", "Limit": "200"},
            id="events",
        ),
        pytest.param(
            calls.container_log("eci-1", "web", tail=7, start_time="2024-01-02T03:04:05Z", previous=True),
            "DescribeContainerLog",
            "GET",
            {
                "ContainerGroupId": "eci-1",
                "ContainerName": "web",
                "Tail": "7",
                "Timestamps": "true",
                "StartTime": "2024-01-02T03:04:05Z",
                "LastTime": "true",
            },
            id="log",
        ),
    ],
)
def test_the_other_calls(asked, action, method, query):
    assert (asked.action, asked.method, dict(asked.query), dict(asked.body)) == (action, method, query, {})


def test_an_update_gives_all_volumes_and_nothing_else():
    them = (
        Volume("cfg", files=(File("a", b"1", 0o600),)),
        Volume("none", files=()),
        Volume("tmp", empty_dir=EmptyDir("Memory", 64)),
    )
    asked = update.update_volumes("eci-1", them)
    assert asked.action == "UpdateContainerGroup"
    assert asked.query == {"ContainerGroupId": "eci-1", "UpdateType": "IncrementalUpdate"}
    assert asked.body == {
        "Volume.1.Name": "cfg",
        "Volume.1.Type": "ConfigFileVolume",
        "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Path": "a",
        "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content": "MQ==",
        "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Mode": "0600",
        "Volume.2.Name": "none",
        "Volume.2.Type": "ConfigFileVolume",
        "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Path": ".empty",
        "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Content": "bm8gZmlsZXMK",
        "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Mode": "0644",
        "Volume.3.Name": "tmp",
        "Volume.3.Type": "EmptyDirVolume",
        "Volume.3.EmptyDirVolume.Medium": "memory",
        "Volume.3.EmptyDirVolume.SizeLimit": "64Mi",
    }


def test_an_update_spells_its_volumes_as_the_create_did():
    created, _ = request.create(replace(NOTHING_ASKED, volumes=EVERYTHING.volumes), BARE)
    volumes_of = {name: value for name, value in created.body.items() if name.startswith("Volume.")}
    assert update.update_volumes("eci-1", EVERYTHING.volumes).body == volumes_of


def test_an_update_says_again_what_is_not_to_change_and_carries_every_tag():
    """What differs begins anew (eci.md 2.11), and a list may stand for the whole."""
    made = replace(
        NOTHING_ASKED,
        containers=(
            Container("web", "nginx:2", env=(("A", "new"),)),
            Container("side", "envoy:2", env=(("A", "new"),), args=("new",)),
        ),
        registry_credentials=(RegistryCredential("r.example.com", "u", "p"),),
        volumes=(Volume("v", files=(File("a", b"1"),)),),
    )
    there = {
        "web": Words("nginx:1", (), (), (("A", "old"),)),
        "side": Words("envoy:1", (), ("old",), (("A", "old"), ("IP", FromPodIP()))),
    }

    def asked(change):
        return update.update(
            "eci-1", made, change, settings=BARE, there=there, tag_values={"a": "b", "vk-images": "1x"}
        )

    one = asked(Change(frozenset({"web"})))
    assert one.action == "UpdateContainerGroup"
    assert one.query == {
        "ContainerGroupId": "eci-1",
        "UpdateType": "IncrementalUpdate",
        "Tag.1.Key": "a",
        "Tag.1.Value": "b",
        "Tag.2.Key": "vk-images",
        "Tag.2.Value": "1x",
    }
    words = {name: value for name, value in one.body.items() if "Image" in name or "Env" in name or "Arg" in name}
    assert words == {
        "Container.1.Image": "nginx:2",
        "Container.1.EnvironmentVar.1.Key": "A",
        "Container.1.EnvironmentVar.1.Value": "new",
        "Container.2.Image": "envoy:1",
        "Container.2.EnvironmentVar.1.Key": "A",
        "Container.2.EnvironmentVar.1.Value": "old",
        "Container.2.EnvironmentVar.2.Key": "IP",
        "Container.2.EnvironmentVar.2.FieldRef.FieldPath": "status.podIP",
        "Container.2.Arg.1": "old",
    }
    assert {name.partition(".")[0] for name in one.body} == {"Container"}
    logins = asked(Change(logins=True))
    assert {name.partition(".")[0] for name in logins.body} == {"ImageRegistryCredential"}
    files = asked(Change(frozenset({"web"}), files=True))
    assert {name.partition(".")[0] for name in files.body} == {"Container", "Volume"}
