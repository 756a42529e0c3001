"""Why a container waits (P11), where only the instance's events tell; and why there is no instance."""

from __future__ import annotations

import pytest
from status_world import HOST, NOW, condition, entry, instance, pod, run, wait

from vk_provider.model.instance import CloudCondition, CloudEvent, ContainerReport
from vk_provider.translate import status
from vk_provider.translate.waiting_reason import from_events

FAILED = 'Failed to pull image "img": not found'
BACK_OFF = 'Back-off pulling image "img"'


def event(reason: str, message: str, second: int = 0) -> CloudEvent:
    return CloudEvent(f"{second}", "Warning", reason, message, last_at=f"2026-01-02T03:04:{second:02}Z")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param([], "", id="nothing told"),
        pytest.param([event("Failed", FAILED)], "ErrImagePull", id="failed"),
        pytest.param([event("Failed", FAILED), event("BackOff", BACK_OFF, 1)], "ImagePullBackOff", id="waits"),
        pytest.param(
            [event("Failed", FAILED), event("BackOff", BACK_OFF, 1), event("Pulling", 'Pulling image "img"', 2)],
            "ImagePullBackOff",
            id="another try is no news yet",
        ),
        pytest.param([event("Failed", FAILED, 3), event("BackOff", BACK_OFF, 1)], "ErrImagePull", id="by time"),
        pytest.param([event("Failed", FAILED), event("BackOff", BACK_OFF)], "ImagePullBackOff", id="of one second"),
        pytest.param(
            [event("Failed", FAILED), event("Pulled", 'Successfully pulled image "img" in 2s', 1)], "", id="overcome"
        ),
        pytest.param([event("Failed", FAILED.replace("img", "other"))], "", id="another image"),
        pytest.param([event("Failed", "Error: ErrImagePull")], "", id="no image named"),
        pytest.param([event("BackOff", "Back-off restarting failed container c")], "", id="another back-off"),
        pytest.param(
            [event("ErrImageNeverPull", 'Container image "img" is not present with pull policy of Never')],
            "ErrImageNeverPull",
            id="never",
        ),
        pytest.param(
            [event("InspectFailed", 'Failed to apply default image tag "img": couldn\'t parse image reference "img"')],
            "InvalidImageName",
            id="no name",
        ),
        pytest.param(
            [event("InspectFailed", 'Failed to inspect image "img": unauthorized')], "ImageInspectError", id="inspect"
        ),
    ],
)
def test_trouble_with_an_image(events: list[CloudEvent], reason: str) -> None:
    assert from_events("img", events)[0] == reason


def test_the_state_s_own_word_goes_before_its_events() -> None:
    events = (event("Failed", FAILED),)
    for word, expected in (("", "ErrImagePull"), ("Pulling", "ErrImagePull"), ("ImagePullBackOff", "ImagePullBackOff")):
        seen = instance("Pending", wait(reason=word), events=events)
        shown = entry(status.from_instance(pod(), seen, now=NOW, host_ip=HOST))
        assert shown["state"]["waiting"]["reason"] == expected


WORDS = ("ImagePullBackOff", 'Back-off pulling image "img": not found')


@pytest.mark.parametrize(
    ("before", "report", "events", "shown"),
    [
        pytest.param(WORDS, wait(), (), WORDS, id="another try is silent"),
        pytest.param(WORDS, wait(reason="Pulling"), (), WORDS, id="another try has a word"),
        pytest.param(WORDS, wait(), (event("BackOff", BACK_OFF),), WORDS, id="the event says no more than the word"),
        pytest.param(WORDS, wait(), (event("Failed", FAILED),), ("ErrImagePull", FAILED), id="the try has failed"),
        pytest.param(WORDS, wait(reason="ErrImagePull"), (), ("ErrImagePull", ""), id="the cloud has a new word"),
        pytest.param(
            WORDS, wait(), (event("Pulled", 'Successfully pulled image "img"'),), ("ContainerCreating", ""), id="pulled"
        ),
        pytest.param(WORDS, run(), (), None, id="started"),
        pytest.param(WORDS, wait(restart_count=1), (), ("ContainerCreating", ""), id="it ran in between"),
        pytest.param(("CrashLoopBackOff", "later"), wait(), (), ("ContainerCreating", ""), id="no matter of images"),
        pytest.param(("ContainerCreating", ""), wait(), (), ("ContainerCreating", ""), id="nothing was wrong"),
    ],
)
def test_the_last_trouble_with_an_image_stays_until_it_is_pulled(
    before: tuple[str, str],
    report: ContainerReport,
    events: tuple[CloudEvent, ...],
    shown: tuple[str, str] | None,
) -> None:
    """P11, P30: by the pod's own last status, so that a new process shows the same."""
    target = pod(policy="Always")
    known = status.from_instance(
        target, instance("Pending", wait(reason=before[0], message=before[1])), now=NOW, host_ip=HOST
    )
    target["status"] |= known
    state = entry(status.from_instance(target, instance("Pending", report, events=events), now=NOW, host_ip=HOST))[
        "state"
    ]
    waiting = state.get("waiting")
    assert (waiting and (waiting["reason"], waiting.get("message", ""))) == shown


def test_another_image_has_no_trouble_yet() -> None:
    target = pod()
    seen = instance("Pending", wait(reason=WORDS[0], message=WORDS[1]))
    target["status"] |= status.from_instance(target, seen, now=NOW, host_ip=HOST)
    target["spec"]["containers"][0]["image"] = "other"
    shown = entry(status.from_instance(target, instance("Pending", wait()), now=NOW, host_ip=HOST))
    assert shown["state"]["waiting"] == {"reason": "ContainerCreating"}


@pytest.mark.parametrize("reason", sorted(status.WAITS_FOR_CLOUD))
def test_why_there_is_no_instance_is_the_pod_s_reason_until_there_is_one(reason: str) -> None:
    target = pod()
    told = CloudCondition("ContainerInstanceCreated", "False", reason, "later")
    waiting = status.waiting(target, now=NOW, host_ip=HOST, message="later", condition=told)
    assert (waiting["phase"], waiting["reason"], waiting["message"]) == ("Pending", reason, "later")
    assert condition(waiting, "ContainerInstanceCreated")["reason"] == reason
    target["status"] |= waiting
    assert "reason" not in status.from_instance(target, instance("Pending", wait()), now=NOW, host_ip=HOST)
