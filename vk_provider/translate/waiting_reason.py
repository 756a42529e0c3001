"""Why a container waits, out of its instance's events, where the cloud's word for its state does not tell (P11).

The cloud lists no words for waiting containers but passes on a kubelet's events, so the newest event
that speaks of a container's image is the second source. Images of one pod are pulled by name: containers of one image
share their trouble.

While it tries again, a cloud may say that the container is being created, as if nothing were wrong. A kubelet shows the
last trouble with an image until the container starts, and so do we, from the status that the pod has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vk_provider.model.instance import CloudEvent

# Event's reason, what its message says → the waiting reason; in the kubelet's own words.
_TROUBLES: Sequence[tuple[str, re.Pattern[str], str]] = (
    ("Failed", re.compile(r'Failed to pull image "(?P<image>[^"]+)"'), "ErrImagePull"),
    ("BackOff", re.compile(r'Back-off pulling image "(?P<image>[^"]+)"'), "ImagePullBackOff"),
    ("ErrImageNeverPull", re.compile(r'image "(?P<image>[^"]+)" is not present'), "ErrImageNeverPull"),
    ("InspectFailed", re.compile(r'Failed to apply default image tag "(?P<image>[^"]+)"'), "InvalidImageName"),
    ("InspectFailed", re.compile(r'Failed to inspect image "(?P<image>[^"]+)"'), "ImageInspectError"),
)
_PROGRESS = re.compile(r'(?:[Pp]ulling|[Pp]ulled|[Cc]ontainer) image "(?P<image>[^"]+)"')


# What a pod's status may show and another try does not take back.
_LASTING = frozenset(
    {
        *(word for _, _, word in _TROUBLES),
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "CreateContainerConfigError",
    }
)
_NONE = ("", "")


def current(waiting: Mapping[str, str]) -> tuple[str, str]:
    """Reason and message of a trouble with its image, out of a container's waiting state; both empty without one."""
    reason = waiting.get("reason") or ""
    return (reason, waiting.get("message") or "") if reason in _LASTING else _NONE


def from_events(image: str, events: Sequence[CloudEvent], *, known: tuple[str, str] = _NONE) -> tuple[str, str]:
    """Waiting reason and message of a container with this image; both empty if nothing is wrong with it (any more).

    known: what the pod shows of it already. It stays until an event tells otherwise, and in its own words.
    """
    found: tuple[str, str] | None = None
    at = ""
    for event in events:
        reported = _reason_in(image, event)
        if reported is not None and event.last_at >= at:
            found, at = reported, event.last_at
    return known if found is None or found[0] == known[0] else found


def _reason_in(image: str, event: CloudEvent) -> tuple[str, str] | None:
    for reason, pattern, word in _TROUBLES:
        match = pattern.search(event.message) if event.reason == reason else None
        if match is not None:
            return (word, event.message) if match["image"] == image else None
    progress = _PROGRESS.search(event.message) if event.reason in ("Pulling", "Pulled") else None
    return ("", "") if progress is not None and progress["image"] == image and event.reason == "Pulled" else None
