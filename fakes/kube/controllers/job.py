"""The Job controller: runs pods until enough have succeeded, or too many have failed.

A finished pod is counted exactly once, whatever crashes between: its uid is first written to
`status.uncountedTerminatedPods`, then its finalizer goes, then the uid becomes part of the counter.
Source: kubernetes pkg/controller/job/job_controller.go, v1.32.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fakes.kube.controllers import job_rules as rules
from fakes.kube.controllers import pod_control, pods
from fakes.kube.controllers.job_cleanup import is_held, let_go
from fakes.kube.controllers.job_pods import new_pod
from fakes.kube.reads import (
    Json,
    Key,
    condition,
    controller_of,
    draft,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
    with_condition,
)
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Again, Controller
from fakes.kube.reconcile.informer import Informer

MAX_CHANGES_PER_SYNC = 500
# A pass costs a look at each of the Job's pods, so the news of many pods is worth collecting. The real one waits 1 s.
BATCH_S = 0.1
MANAGER = "kubernetes.io/job-controller"


@dataclass(slots=True)
class Sync:
    """One pass over one Job: `job` and `status` are copies to work on, `owned` the Job's pods.

    refused: a pod could not be made.
    """

    job: Json
    status: Json
    owned: list[Json]
    refused: bool = False

    def active(self) -> list[Json]:
        return [pod for pod in self.owned if pods.is_active(pod)]

    def terminating(self) -> int:
        return sum(1 for pod in self.owned if is_deleting(pod) and not pods.is_finished(pod))

    def done_indexes(self) -> set[int]:
        return rules.parse_indexes(self.status.get("completedIndexes"))


class JobController(Controller):
    """Keys are Jobs."""

    name = "job-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._jobs = cluster.informer("jobs.batch")
        self._pods = cluster.informer("pods")
        self._backoffs: dict[str, rules.Backoff] = {}
        self._jobs.listen(self._on_job)
        self._pods.listen(self._on_pod)

    def needs(self) -> Iterable[Informer]:
        return self._jobs, self._pods

    def _on_job(self, old: Json | None, new: Json | None) -> None:
        if new is not None and (old is None or not _says_the_same(old, new)):
            self.queue.add(key_of(new))
        if new is None and old is not None:
            self._backoffs.pop(uid_of(old), None)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        for pod in (old, new):
            owner = controller_of(pod) if pod is not None else None
            if pod is not None and owner is not None and owner["kind"] == "Job":
                self.queue.add_after((pod["metadata"]["namespace"], owner["name"]), BATCH_S)
        if new is not None and controller_of(new) is None and (old is None or labels_of(old) != labels_of(new)):
            for job in pod_control.possible_owners(new, self._jobs.indexed("namespace", new["metadata"]["namespace"])):
                self.queue.add(key_of(job))

    def reconcile(self, key: Key) -> None:
        job = self.cluster.fresh("jobs.batch", key)
        if job is None or job["spec"].get("managedBy") not in (None, MANAGER):
            return
        if rules.finish_of(job) is not None:
            self._release(self._pods.indexed("owner", uid_of(job)))
            return
        if (refused := rules.unsupported(job)) and not is_deleting(job):
            text = f"this stand-in cluster does not carry {', '.join(refused)}: the Job is not run"
            self.event(job, "Unsupported", text, warning=True)
            return
        sync = Sync(draft(job), draft(job.get("status") or {}), self._owned(job))
        self._start(sync)
        self._count(sync)
        if is_deleting(sync.job):
            self._release(sync.owned)
        elif self._ending(sync) is not None:
            self._wind_down(sync)
        else:
            self._work(sync)
        self._settle(sync)
        if sync.refused:
            raise Again

    def _owned(self, job: Json) -> list[Json]:
        return pod_control.claim(self.cluster, "pods", job, finalizer=rules.FINALIZER)

    # the start

    def _start(self, sync: Sync) -> None:
        if sync.status.get("startTime") or rules.is_suspended(sync.job):
            return
        sync.status["startTime"] = self.cluster.stamp()
        sync.job["status"] = sync.status

    # counting what has finished

    def _count(self, sync: Sync) -> None:
        """Fold finished pods into the counters: write their uids, let them go, then add them up."""
        finished = self._newly_finished(sync)
        first = uid_of(sync.job) not in self._backoffs
        record = self._backoffs.get(uid_of(sync.job), rules.Backoff())
        known = [pod for pod in sync.owned if pods.is_finished(pod)] if first else finished
        self._backoffs[uid_of(sync.job)] = record.after(pod for pod in known if not rules.is_ignored(sync.job, pod))
        uncounted = sync.status.get("uncountedTerminatedPods") or {}
        if not finished and not uncounted:
            return
        self._note(sync, finished, uncounted)
        self._write(sync)
        self._release([pod for pod in sync.owned if is_held(pod) and self._is_noted(sync, pod, finished)])
        self._add_up(sync)

    def _newly_finished(self, sync: Sync) -> list[Json]:
        uncounted = sync.status.get("uncountedTerminatedPods") or {}
        known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
        ending = self._ending(sync)
        lost = ending is not None and ending["type"] == "FailureTarget"
        return [
            pod
            for pod in sync.owned
            if is_held(pod)
            and uid_of(pod) not in known
            and (pods.phase(pod) == "Succeeded" or rules.has_failed(pod, sync.job) or (lost and is_deleting(pod)))
        ]

    def _note(self, sync: Sync, finished: list[Json], uncounted: Json) -> None:
        succeeded, failed = list(uncounted.get("succeeded") or ()), list(uncounted.get("failed") or ())
        indexes = sync.done_indexes()
        for pod in finished:
            index = rules.index_of(pod, sync.job) if rules.is_indexed(sync.job) else None
            if pods.phase(pod) == "Succeeded":
                if index is not None:
                    indexes.add(index)
                elif not rules.is_indexed(sync.job):
                    succeeded.append(uid_of(pod))
            else:
                self._judge(sync, pod, failed)
        if rules.is_indexed(sync.job):
            # The index set itself prevents counting twice, so no uid needs to be noted.
            sync.status["completedIndexes"] = rules.format_indexes(indexes)
            sync.status["succeeded"] = len(indexes)
        sync.status["uncountedTerminatedPods"] = {"succeeded": succeeded, "failed": failed}

    def _judge(self, sync: Sync, pod: Json, failed: list[str]) -> None:
        verdict, message = rules.failure_verdict(sync.job, pod)
        if verdict == "FailJob" and self._ending(sync) is None:
            self._end(sync, "FailureTarget", "PodFailurePolicy", message)
        if verdict != "Ignore":
            failed.append(uid_of(pod))

    def _is_noted(self, sync: Sync, pod: Json, finished: list[Json]) -> bool:
        uncounted = sync.status["uncountedTerminatedPods"]
        return uid_of(pod) in {*uncounted["succeeded"], *uncounted["failed"], *map(uid_of, finished)}

    def _add_up(self, sync: Sync) -> None:
        uncounted = sync.status["uncountedTerminatedPods"]
        for kind in ("succeeded", "failed"):
            if uncounted[kind]:
                sync.status[kind] = sync.status.get(kind, 0) + len(uncounted[kind])
        sync.status["uncountedTerminatedPods"] = {}
        self._write(sync)

    def _release(self, owned: Iterable[Json]) -> None:
        """Take the tracking finalizer off."""
        for pod in owned:
            if is_held(pod):
                let_go(self.cluster, pod)

    # deciding

    def _ending(self, sync: Sync) -> Json | None:
        """The condition that says how the Job will end, while its pods are still being wound down."""
        for kind in ("FailureTarget", "SuccessCriteriaMet"):
            found = condition({"status": sync.status}, kind)
            if found is not None and found.get("status") == "True":
                return found
        return None

    def _work(self, sync: Sync) -> None:
        sync.owned = self._current(sync)
        failed = sync.status.get("failed", 0)
        left = rules.deadline_left_s(sync.job, self.cluster.now())
        if rules.past_backoff_limit(sync.job, sync.owned, failed):
            self._end(sync, "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif left is not None and left <= 0:
            self._end(sync, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        if self._ending(sync) is not None:
            self._wind_down(sync)
            return
        if left is not None:
            self.queue.add_after(key_of(sync.job), left)
        self._manage(sync)
        sync.owned = self._current(sync)
        succeeded = sync.status.get("succeeded", 0)
        if rules.is_complete(sync.job, active=len(sync.active()), succeeded=succeeded):
            reached = "Reached expected number of succeeded pods"
            self._end(sync, "SuccessCriteriaMet", "CompletionsReached", reached)
            self._wind_down(sync)
        else:
            self._mark_suspension(sync)

    def _end(self, sync: Sync, kind: str, reason: str, message: str) -> None:
        self._set(sync, kind, "True", reason, message)

    def _wind_down(self, sync: Sync) -> None:
        """Remove what still runs; once nothing does, the Job is Complete or Failed."""
        for pod in sync.active():
            pod_control.delete_pod(self.cluster, sync.job, pod, self.event)
        sync.owned = self._current(sync)
        if sync.active() or sync.terminating():
            return
        if any(is_held(pod) for pod in sync.owned):
            self._count(sync)
        ending = self._ending(sync)
        assert ending is not None
        if ending["type"] == "SuccessCriteriaMet":
            self._set(sync, "Complete", "True", ending["reason"], ending["message"])
            sync.status["completionTime"] = self.cluster.stamp()
            self.event(sync.job, "Completed", "Job completed")
        else:
            self._set(sync, "Failed", "True", ending["reason"], ending["message"])
            self.event(sync.job, ending["reason"], ending["message"], warning=True)
        self._backoffs.pop(uid_of(sync.job), None)

    def _mark_suspension(self, sync: Sync) -> None:
        """Say when the Job is suspended and when it goes on; going on restarts its clock."""
        known = condition({"status": sync.status}, "Suspended")
        if rules.is_suspended(sync.job):
            if known is None or known["status"] != "True":
                self._set(sync, "Suspended", "True", "JobSuspended", "Job suspended")
                self.event(sync.job, "Suspended", "Job suspended")
        elif known is not None and known["status"] == "True":
            self._set(sync, "Suspended", "False", "JobResumed", "Job resumed")
            self.event(sync.job, "Resumed", "Job resumed")
            sync.status["startTime"] = self.cluster.stamp()

    # making and removing pods

    def _manage(self, sync: Sync) -> None:
        active = sync.active()
        if rules.is_suspended(sync.job):
            self._remove(sync, active)
            return
        wanted = rules.wanted_active(sync.job, active=len(active), succeeded=sync.status.get("succeeded", 0))
        surplus = self._surplus(sync, active, wanted)
        if surplus:
            self._remove(sync, surplus)
            return
        missing = wanted - len(active)
        if rules.replaces_only_failed(sync.job):
            missing -= sync.terminating()
        if missing <= 0:
            return
        wait = self._backoffs[uid_of(sync.job)].remaining_s(self.cluster.now())
        if wait > 0:
            self.queue.add_after(key_of(sync.job), wait)
        else:
            self._create(sync, min(missing, MAX_CHANGES_PER_SYNC))

    def _surplus(self, sync: Sync, active: list[Json], wanted: int) -> list[Json]:
        ranked = sorted(active, key=pods.removal_order)
        surplus = []
        if rules.is_indexed(sync.job):
            taken = sync.done_indexes()
            for pod in reversed(ranked):
                index = rules.index_of(pod, sync.job)
                if index is None or index in taken:
                    surplus.append(pod)
                else:
                    taken.add(index)
        rest = [pod for pod in ranked if pod not in surplus]
        more = max(0, len(rest) - wanted)
        return [*surplus, *rest[:more]][:MAX_CHANGES_PER_SYNC]

    def _remove(self, sync: Sync, surplus: list[Json]) -> None:
        for pod in surplus:
            pod_control.delete_pod(self.cluster, sync.job, pod, self.event)

    def _create(self, sync: Sync, count: int) -> None:
        indexes: list[int] = []
        if rules.is_indexed(sync.job):
            busy = self._busy_indexes(sync)
            indexes = rules.free_indexes(sync.job, done=sync.done_indexes(), busy=busy, count=count)
            count = len(indexes)

        def create(place: int) -> bool:
            pod = new_pod(sync.job, indexes[place] if indexes else None)
            return pod_control.create_pod(self.cluster, sync.job, pod, self.event)

        made = pod_control.create_batches(count, create)
        sync.refused = made < count

    def _busy_indexes(self, sync: Sync) -> set[int]:
        held = sync.active()
        if rules.replaces_only_failed(sync.job):
            held = [pod for pod in sync.owned if not pods.is_finished(pod)]
        return {index for pod in held if (index := rules.index_of(pod, sync.job)) is not None}

    # writing

    def _settle(self, sync: Sync) -> None:
        sync.owned = self._current(sync)
        active = sync.active()
        sync.status["active"] = len(active)
        sync.status["ready"] = sum(1 for pod in active if pods.is_ready(pod))
        sync.status["terminating"] = sync.terminating()
        self._write(sync)

    def _current(self, sync: Sync) -> list[Json]:
        return self._pods.indexed("owner", uid_of(sync.job))

    def _set(self, sync: Sync, kind: str, status: str, reason: str, message: str) -> None:
        now = self.cluster.stamp()
        new = {
            "type": kind,
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        sync.status["conditions"] = with_condition(sync.status.get("conditions"), new)

    def _write(self, sync: Sync) -> None:
        """Write the status if it changed; the copy carries on with the new version."""
        always = ("ready", "terminating")
        shown = {name: value for name, value in sync.status.items() if value not in (0, []) or name in always}
        now = self.cluster.fresh("jobs.batch", key_of(sync.job))
        if now is None or uid_of(now) != uid_of(sync.job) or (now.get("status") or {}) == shown:
            return
        made = self.cluster.update("jobs.batch", {**sync.job, "status": shown}, subresource="status")
        sync.job["metadata"] = draft(made["metadata"])


def _says_the_same(old: Json, new: Json) -> bool:
    """Do two states of a Job differ in nothing but what this controller writes?"""
    before, after = old["metadata"], new["metadata"]
    seen = ("uid", "generation", "deletionTimestamp", "labels", "annotations", "finalizers")
    return all(before.get(name) == after.get(name) for name in seen)
