"""Whether the files of a running instance are still what its pod's sources say, and when to renew them. Pure.

| what the instance has                        | decision                                                         |
|----------------------------------------------|------------------------------------------------------------------|
| nothing known of it (found after a restart)  | update, once the sources are known                               |
| made of other versions than there are now    | update, when no further change came for a moment                 |
| the same, tokens with 20 % of life left      | update                                                           |
| the same, tokens fresh                       | later, at that time                                              |
| what it should have was refused              | nothing until that changes; a token is still renewed             |
| the last try failed                          | not before its back-off is over                                  |
| is not Pending or Running                    | nothing: the cloud takes no update now, a change of it says more |

What an instance has is noted on the pod (`FileManifest`), so that a restarted provider need not ask or guess.
Source: kubelet.md S21, S23.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vk_provider.model.instance import Instance, InstanceStatus
from vk_provider.model.pod import Json
from vk_provider.pacing.clock import Now
from vk_provider.translate.file_sources import LiveSources, Source, fingerprint
from vk_provider.translate.objects import TokenRequest

SETTLE_S = 3.0  # a burst of edits becomes one update
MOST_SETTLE_S = 15.0  # of edits that never pause
TOKEN_SHARE = 0.8  # of its life, after which a token is renewed
TOKEN_AGE_S = 24 * 3600.0
JITTER_S = 10.0  # so that tokens made together are not renewed together
STAMP = "%Y-%m-%dT%H:%M:%SZ"
_UPDATABLE = frozenset({InstanceStatus.PENDING, InstanceStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class FileManifest:
    """What the files in an instance were made of. sources: their fingerprint. renew_at: when its tokens want renewal,
    None = it has none."""

    instance_id: str
    sources: str
    renew_at: datetime | None = None

    def text(self) -> str:
        """As it is noted on the pod."""
        note = {"instance": self.instance_id, "sources": self.sources}
        if self.renew_at is not None:
            note["renewTokensAt"] = self.renew_at.strftime(STAMP)
        return json.dumps(note, separators=(",", ":"))


def read_content(text: str) -> FileManifest | None:
    """The note again; None for anything that we did not write."""
    try:
        note = json.loads(text)
        renew_at = note.get("renewTokensAt")
        return FileManifest(
            str(note["instance"]),
            str(note["sources"]),
            None if renew_at is None else datetime.strptime(renew_at, STAMP).replace(tzinfo=UTC),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(slots=True)
class FileState:
    """What is known of one pod's files. All of it can be lost: `has` is noted on the pod, the rest only paces.

    wants: the fingerprint of the sources as they are now; empty = not all of them have been looked at yet.
    """

    sources: LiveSources
    has: FileManifest | None = None
    wants: str = ""
    stale_since_s: float | None = None  # loop time at which `has` was first seen to differ from `wants`
    changed_s: float = 0.0  # loop time of the newest change of `wants`
    retry_at_s: float = 0.0  # loop time before which nothing is tried
    failures: int = 0  # updates in a row that failed
    refused: str = ""  # the fingerprint of what could not be carried


@dataclass(frozen=True, slots=True)
class UpdateNow:
    """Give the instance new files."""


@dataclass(frozen=True, slots=True)
class RecheckAfter:
    """Decide again in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Nothing to do until something changes."""


def decide(uid: str, instance: Instance, known: FileState, now: Now) -> UpdateNow | RecheckAfter | UpToDate:
    if instance.status not in _UPDATABLE:
        return UpToDate()
    both = (_stale_wait_s(instance, known, now), _token_wait_s(uid, instance, known, now))
    waits = [wait_s for wait_s in both if wait_s is not None]
    if not waits:
        return UpToDate()
    wait_s = max(min(waits), known.retry_at_s - now.loop_s)
    return RecheckAfter(wait_s) if wait_s > 0 else UpdateNow()


def is_stale(instance_id: str, known: FileState) -> bool:
    """Whether the instance shows something else than the sources say, as far as both are known."""
    has = known.has
    return bool(known.wants) and (has is None or (has.instance_id, has.sources) != (instance_id, known.wants))


def is_token_due(known: FileState, wall: datetime) -> bool:
    """Whether a token wants renewal, or may: of an instance found after a restart nothing is known."""
    has = known.has
    return known.sources.tokens if has is None else has.renew_at is not None and has.renew_at <= wall


def see(pod: Json, instance: Instance, known: FileState, found: Mapping[Source, str] | None, now_s: float) -> None:
    """Take in the sources as they are now. found: the version of each object; None = some are not known."""
    wants = fingerprint(pod, known.sources, found, instance.words) if found is not None else ""
    if wants != known.wants:
        known.wants, known.changed_s = wants, now_s
    if not is_stale(instance.id, known):
        known.stale_since_s = None
    elif known.stale_since_s is None:
        known.stale_since_s = now_s


def renew_at(asked_at: datetime, lives_s: Mapping[TokenRequest, int]) -> datetime | None:
    """When the first of these tokens wants renewal; None without any."""
    if not lives_s:
        return None
    return asked_at + timedelta(seconds=min(TOKEN_AGE_S, *(TOKEN_SHARE * life_s for life_s in lives_s.values())))


def _stale_wait_s(instance: Instance, known: FileState, now: Now) -> float | None:
    if known.stale_since_s is None or not is_stale(instance.id, known) or known.wants == known.refused:
        return None
    return min(known.changed_s + SETTLE_S, known.stale_since_s + MOST_SETTLE_S) - now.loop_s


def _token_wait_s(uid: str, instance: Instance, known: FileState, now: Now) -> float | None:
    has = known.has
    if has is None or has.instance_id != instance.id or has.renew_at is None:
        return None
    return (has.renew_at - now.wall).total_seconds() + JITTER_S * _share(uid)


def _share(uid: str) -> float:
    """A number in [0, 1), always the same for one pod."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) / 2**32
