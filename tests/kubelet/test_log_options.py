"""What the query of `kubectl logs` means (H10, H11), and which containers have a log to show (H12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from multidict import MultiDict

from vk_provider.cloud.base import LogOptions
from vk_provider.kubelet import target
from vk_provider.kubelet.http_errors import HttpError
from vk_provider.kubelet.logs import log_options
from vk_provider.model.instance import ContainerState, Instance, StateKind

from .world import RUNNING, TERMINATED, Json, container_status, instance_of_pod, pod_named

NOW = datetime(2024, 5, 6, 7, 8, 9, 120000, tzinfo=UTC)
UNDECODABLE = (400, '{"message": "Unable to decode query."}')
INVALID = (422, '{"message": "Invalid request."}')


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, LogOptions(), id="nothing asked: all there is"),
        pytest.param({"follow": "true"}, LogOptions(follow=True), id="-f"),
        pytest.param({"previous": "true"}, LogOptions(previous=True), id="-p"),
        pytest.param({"timestamps": "true"}, LogOptions(timestamps=True), id="--timestamps"),
        pytest.param({"tailLines": "20"}, LogOptions(tail=20), id="--tail=20"),
        pytest.param({"tailLines": "0"}, LogOptions(tail=0), id="--tail=0 is nothing old"),
        pytest.param({"limitBytes": "1"}, LogOptions(limit_bytes=1), id="--limit-bytes"),
        pytest.param({"sinceSeconds": "10"}, LogOptions(since="2024-05-06T07:07:59.120000Z"), id="--since=10s"),
        pytest.param(
            {"sinceTime": "2024-01-02T03:04:05Z"}, LogOptions(since="2024-01-02T03:04:05Z"), id="--since-time"
        ),
        pytest.param(
            {"sinceTime": "2024-01-02T03:04:05.123456789+08:00"},
            LogOptions(since="2024-01-01T19:04:05.123456789Z"),
            id="--since-time of another zone",
        ),
        pytest.param({"sinceTime": ""}, LogOptions(), id="an empty instant is none"),
        pytest.param({"sinceSeconds": str(2**62)}, LogOptions(), id="before all calendars: from the start"),
        pytest.param(
            {"container": "app", "insecureSkipTLSVerifyBackend": "true", "pretty": "1"}, LogOptions(), id="not for us"
        ),
        pytest.param({"stream": "All"}, LogOptions(), id="both streams"),
        pytest.param(
            {"follow": "true", "tailLines": "5", "timestamps": "true", "limitBytes": "9", "sinceSeconds": "1"},
            LogOptions(follow=True, tail=5, timestamps=True, limit_bytes=9, since="2024-05-06T07:08:08.120000Z"),
            id="all together",
        ),
        pytest.param({"follow": ""}, LogOptions(follow=True), id="a name without a value is true"),
        pytest.param({"follow": "no"}, LogOptions(follow=True), id="any other word is true"),
        pytest.param({"follow": "0"}, LogOptions(), id="0 is false"),
        pytest.param({"follow": "FALSE"}, LogOptions(), id="false in any case"),
        pytest.param({"tail": "7", "tailLines": "9"}, LogOptions(tail=7), id="the old name goes before"),
        pytest.param({"tail": "all", "tailLines": "9"}, LogOptions(), id="the old name's all"),
        pytest.param({"tail": "", "tailLines": "9"}, LogOptions(tail=9), id="the old name empty"),
    ],
)
def test_query(query: dict[str, str], expected: LogOptions) -> None:
    assert log_options(query, now=NOW) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"tailLines": "x"}, UNDECODABLE, id="no number"),
        pytest.param({"tailLines": ""}, UNDECODABLE, id="empty number"),
        pytest.param({"tailLines": "1_000"}, UNDECODABLE, id="a number only to Python"),
        pytest.param({"tailLines": "٣"}, UNDECODABLE, id="digits of another script"),
        pytest.param({"limitBytes": "1.5"}, UNDECODABLE, id="fraction"),
        pytest.param({"limitBytes": str(2**63)}, UNDECODABLE, id="past 64 bits"),
        pytest.param({"limitBytes": "9" * 5000}, UNDECODABLE, id="very long number"),
        pytest.param({"tail": "some"}, UNDECODABLE, id="old name, neither number nor all"),
        pytest.param({"sinceTime": "yesterday"}, UNDECODABLE, id="no instant"),
        pytest.param({"sinceTime": "2024-01-02 03:04:05Z"}, UNDECODABLE, id="no T"),
        pytest.param({"sinceTime": "2024-01-02T03:04:05"}, UNDECODABLE, id="no zone"),
        pytest.param({"sinceTime": "2024-02-30T03:04:05Z"}, UNDECODABLE, id="no such day"),
        pytest.param({"sinceTime": "0001-01-01T00:00:00+08:00"}, UNDECODABLE, id="before the first year"),
        pytest.param({"tailLines": "-1"}, INVALID, id="negative tail"),
        pytest.param({"limitBytes": "0"}, INVALID, id="no bytes"),
        pytest.param({"sinceSeconds": "0"}, INVALID, id="no seconds"),
        pytest.param({"sinceSeconds": "-5"}, INVALID, id="seconds to come"),
        pytest.param({"sinceSeconds": "5", "sinceTime": "2024-01-02T03:04:05Z"}, INVALID, id="both kinds of since"),
        pytest.param({"stream": "Stdlog"}, INVALID, id="no such stream"),
        pytest.param({"stream": "Stdout", "tailLines": "1"}, INVALID, id="stream with tail"),
        pytest.param(
            {"stream": "Stderr"},
            (400, "stream Stderr cannot be had alone: this node's cloud keeps one log for both"),
            id="one stream alone is refused by name",
        ),
    ],
)
def test_bad_query(query: dict[str, str], expected: tuple[int, str]) -> None:
    with pytest.raises(HttpError) as refused:
        log_options(query, now=NOW)
    assert (refused.value.status, str(refused.value)) == expected


def test_first_value_counts() -> None:
    query = MultiDict([("tailLines", "3"), ("tailLines", "4"), ("follow", "false"), ("follow", "true")])
    assert log_options(query, now=NOW) == LogOptions(tail=3)


def test_since_is_in_utc_wherever_the_clock_stands() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=8)))
    assert log_options({"sinceSeconds": "9"}, now=there).since == "2024-05-06T07:08:00.120000Z"


# --- which runs are there --------------------------------------------------------------------------------------------


def waiting(reason: str) -> Json:
    return container_status(state={"waiting": {"reason": reason}})


ENDED = {"terminated": {"exitCode": 0}}
WHERE = 'container "app" in pod "api-0"'
WAITS = ContainerState(StateKind.WAITING)


def refusal(
    status: Json, instance: Instance | None = None, *, previous: bool = False, container: str = "app"
) -> str | None:
    """The text of the refusal, None for none."""
    try:
        target.require_run(pod_named(status=status), instance, container, previous=previous)
    except HttpError as refused:
        return str(refused) if refused.status == 400 else f"{refused.status}: {refused}"
    return None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(container_status(state={"running": {}}), None, id="running"),
        pytest.param(container_status(state=ENDED), None, id="ended"),
        pytest.param(
            container_status(state={"waiting": {"reason": "CrashLoopBackOff"}}, last=ENDED), None, id="between runs"
        ),
        pytest.param(
            waiting("ContainerCreating"), f"{WHERE} is waiting to start: ContainerCreating", id="not yet started"
        ),
        pytest.param(waiting(""), f"{WHERE} is waiting to start: ContainerCreating", id="no reason yet"),
        pytest.param(waiting("ErrImagePull"), f"{WHERE} is waiting to start: image can't be pulled", id="pull error"),
        pytest.param(
            waiting("ImagePullBackOff"),
            f"{WHERE} is waiting to start: trying and failing to pull image",
            id="pull back-off",
        ),
        pytest.param({}, f"{WHERE} is not available", id="no status at all"),
    ],
)
def test_present_run(status: Json, expected: str | None) -> None:
    assert refusal(status) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(container_status(state={"running": {}}, last=ENDED), None, id="restarted"),
        pytest.param(
            container_status(state={"running": {}}), f"previous terminated {WHERE} not found", id="never restarted"
        ),
        pytest.param(
            container_status(state=ENDED), f"previous terminated {WHERE} not found", id="the present run is no previous"
        ),
        pytest.param(waiting("ErrImagePull"), f"previous terminated {WHERE} not found", id="never started"),
    ],
)
def test_previous_run(status: Json, expected: str | None) -> None:
    assert refusal(status, previous=True) == expected


@pytest.mark.parametrize(
    ("state", "last", "previous", "expected"),
    [
        pytest.param(RUNNING, None, False, None, id="the cloud knows that it runs"),
        pytest.param(RUNNING, TERMINATED, True, None, id="the cloud knows that it restarted"),
        pytest.param(WAITS, None, False, f"{WHERE} is waiting to start: ContainerCreating", id="neither knows a run"),
    ],
)
def test_instance_may_be_ahead_of_the_status(
    state: ContainerState, last: ContainerState | None, previous: bool, expected: str | None
) -> None:
    instance = instance_of_pod(pod_named(), state, last)
    assert refusal(waiting("ContainerCreating"), instance, previous=previous) == expected


@pytest.mark.parametrize("key", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
def test_every_kind_of_container_counts(key: str) -> None:
    assert refusal(container_status("setup", state=ENDED, key=key), container="setup") is None


def test_an_ephemeral_container_that_cannot_be_says_so() -> None:
    end = {"terminated": {"exitCode": 128, "reason": "EphemeralContainersNotSupported", "message": "use kubectl exec"}}
    status = container_status("debug", state=end, key="ephemeralContainerStatuses")
    assert refusal(status, container="debug") == ('container "debug" in pod "api-0" did not run: use kubectl exec')


def test_the_instance_is_never_what_the_pod_itself_says() -> None:
    pod = pod_named(annotations={"virtual-kubelet.io/instance-id": "eci-noted"})
    assert target.instance_id(pod, instance_of_pod(pod), "app") == "eci-api-0"
    with pytest.raises(HttpError, match="has no instance in the cloud") as refused:
        target.instance_id(pod, None, "app")
    assert refused.value.status == 400


def test_uid_tells_namesakes_apart() -> None:
    pod = pod_named()
    assert target.find_pod(lambda *_: pod, "web", "api-0", "uid-api-0") is pod
    with pytest.raises(HttpError, match='pod "api-0" does not exist'):
        target.find_pod(lambda *_: pod, "web", "api-0", "another")
