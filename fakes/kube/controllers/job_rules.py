"""What a Job's spec and pods imply, as plain arithmetic. Pure. Source: kubernetes pkg/controller/job, v1.32."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from fakes.kube.clock import parse
from fakes.kube.controllers import pods
from fakes.kube.reads import Json, annotations_of, condition, is_deleting, labels_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF_BASE_S = 10.0
BACKOFF_MAX_S = 360.0

Verdict = Literal["Count", "Ignore", "FailJob", "FailIndex"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row since the last success, and when the latest one was."""

    failures: int = 0
    last: datetime | None = None

    def after(self, finished: Iterable[Json]) -> "Backoff":
        """The record once these newly finished pods are known; a pod that did not succeed has failed."""
        record = self
        for pod in sorted(finished, key=pods.finished_at):
            if pods.phase(pod) == "Succeeded":
                record = Backoff()
            else:
                record = Backoff(record.failures + 1, pods.finished_at(pod))
        return record

    def remaining_s(self, now: datetime) -> float:
        """How long to wait before the next pod: 10 s after the first failure, doubling, at most 6 minutes."""
        if self.failures == 0 or self.last is None:
            return 0.0
        wait = min(BACKOFF_BASE_S * 2.0 ** min(self.failures - 1, 20), BACKOFF_MAX_S)
        return max(0.0, (self.last + timedelta(seconds=wait) - now).total_seconds())


def unsupported(job: Json) -> list[str]:
    """The fields of the spec that would change how the Job ends, and that are not carried here."""
    fields = ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
    return [f"spec.{name}" for name in fields if job["spec"].get(name) is not None]


def is_indexed(job: Json) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Json) -> bool:
    return bool(job["spec"].get("suspend"))


def replaces_only_failed(job: Json) -> bool:
    """Wait for a pod to have failed, not merely for its deletion to have begun, before it is replaced?"""
    policy = job["spec"].get("podReplacementPolicy")
    return bool(policy == "Failed" or (policy is None and job["spec"].get("podFailurePolicy")))


def has_failed(pod: Json, job: Json) -> bool:
    """Does the pod count as failed? One being deleted does, unless only failed ones are replaced."""
    phase = pods.phase(pod)
    if phase == "Failed":
        return True
    return is_deleting(pod) and phase != "Succeeded" and not replaces_only_failed(job)


def finish_of(job: Json) -> Json | None:
    """The Complete or Failed condition, once the Job is over."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found.get("status") == "True":
            return found
    return None


def wanted_active(job: Json, *, active: int, succeeded: int) -> int:
    """How many pods should run now."""
    parallelism, completions = parallelism_of(job), job["spec"].get("completions")
    if completions is None:
        # A work queue: after the first success the others finish, and none is added.
        return active if succeeded else parallelism
    return max(0, min(parallelism, int(completions) - succeeded))


def parallelism_of(job: Json) -> int:
    value = job["spec"].get("parallelism")
    return 1 if value is None else int(value)


def is_complete(job: Json, *, active: int, succeeded: int) -> bool:
    completions = job["spec"].get("completions")
    if completions is None:
        return succeeded > 0 and active == 0
    return bool(succeeded >= completions and active == 0)


def past_backoff_limit(job: Json, owned: Iterable[Json], failed: int) -> bool:
    """More failed pods than allowed, or, where containers restart in place, as many restarts as allowed."""
    limit = backoff_limit(job)
    if failed > limit:
        return True
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    count = sum(pods.all_restarts(pod) for pod in owned if pods.phase(pod) in ("Running", "Pending"))
    return count > 0 if limit == 0 else count >= limit


def backoff_limit(job: Json) -> int:
    value = job["spec"].get("backoffLimit")
    return 6 if value is None else int(value)


def deadline_left_s(job: Json, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds run out; None without a deadline or while it does not count."""
    limit, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit is None or not start or is_suspended(job):
        return None
    return (parse(start) + timedelta(seconds=limit) - now).total_seconds()


# completion indexes


def index_of(pod: Json, job: Json) -> int | None:
    """The pod's completion index; None when it has none or it lies beyond `completions`."""
    text = annotations_of(pod).get(INDEX) or labels_of(pod).get(INDEX) or ""
    if not text.isdecimal() or int(text) >= (job["spec"].get("completions") or 0):
        return None
    return int(text)


def parse_indexes(text: str | None) -> set[int]:
    """`1,3-5` → {1, 3, 4, 5}."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """{1, 3, 4, 5} → `1,3-5`: two in a row stay apart by a comma, as the real controller writes them."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(",".join(map(str, run)) if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs)


def free_indexes(job: Json, *, done: set[int], busy: set[int], count: int) -> list[int]:
    """The lowest `count` indexes that are neither done nor being worked on."""
    free = (index for index in range(job["spec"].get("completions") or 0) if index not in done and index not in busy)
    return list(islice(free, count))


# pod failure policy


def failure_verdict(job: Json, pod: Json) -> tuple[Verdict, str]:
    """What the first matching rule says of a failed pod, with the message; ("Count", "") when none matches."""
    if pods.phase(pod) != "Failed" and is_deleting(pod):
        return "Count", ""
    for place, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        message = _matches(rule, place, pod)
        if message:
            return rule["action"], message
    return "Count", ""


def is_ignored(job: Json, pod: Json) -> bool:
    """Is it a failed pod that counts against nothing?"""
    return pods.phase(pod) != "Succeeded" and failure_verdict(job, pod)[0] == "Ignore"


def _matches(rule: Json, place: int, pod: Json) -> str:
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if rule.get("onExitCodes"):
        for status in _terminated(pod):
            code = status["state"]["terminated"]["exitCode"]
            if _exit_code_matches(rule["onExitCodes"], status["name"], code):
                return (
                    f"Container {status['name']} for pod {name} failed with exit code {code} "
                    f"matching {rule['action']} rule at index {place}"
                )
    for pattern in rule.get("onPodConditions") or ():
        found = condition(pod, pattern["type"])
        if found is not None and found.get("status") == (pattern.get("status") or "True"):
            return f"Pod {name} has condition {pattern['type']} matching {rule['action']} rule at index {place}"
    return ""


def _terminated(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    both = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return [item for item in both if (item.get("state") or {}).get("terminated")]


def _exit_code_matches(rule: Json, container: str, code: int) -> bool:
    if code == 0 or rule.get("containerName") not in (None, container):
        return False
    return bool((code in rule["values"]) == (rule["operator"] == "In"))
