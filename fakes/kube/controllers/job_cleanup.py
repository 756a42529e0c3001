"""What happens to a Job's pods when it is gone, and to a Job when its time after finishing is up."""

from collections.abc import Iterable
from datetime import timedelta

from fakes.kube.clock import parse
from fakes.kube.controllers import job_rules as rules
from fakes.kube.reads import Json, Key, controller_of, is_deleting, key_of, uid_of
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer


def let_go(cluster: Cluster, pod: Json) -> None:
    """Take the tracking finalizer off a pod, if it is still there."""
    fresh = cluster.fresh("pods", key_of(pod))
    if fresh is None or uid_of(fresh) != uid_of(pod) or not is_held(fresh):
        return
    kept = [name for name in fresh["metadata"]["finalizers"] if name != rules.FINALIZER]
    cluster.merge("pods", fresh, {"metadata": {"finalizers": kept or None}})


def is_held(pod: Json) -> bool:
    """Does the tracking finalizer still hold the pod?"""
    return rules.FINALIZER in (pod["metadata"].get("finalizers") or ())


class JobOrphans(Controller):
    """Keys are pods: one whose Job is gone is let go, so that it can be deleted."""

    name = "job-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._jobs = cluster.informer("jobs.batch")
        self._pods = cluster.informer("pods")
        self._pods.listen(self._on_pod)
        self._jobs.listen(self._on_job)

    def needs(self) -> Iterable[Informer]:
        return self._jobs, self._pods

    def _on_pod(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and is_held(new):
            self.queue.add(key_of(new))

    def _on_job(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            for pod in self._pods.indexed("owner", uid_of(old)):
                self.queue.add(key_of(pod))

    def reconcile(self, key: Key) -> None:
        pod = self.cluster.fresh("pods", key)
        if pod is None or not is_held(pod):
            return
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "Job":
            job = self.cluster.fresh("jobs.batch", (key[0], owner["name"]))
            if job is not None and uid_of(job) == owner["uid"]:
                return
        let_go(self.cluster, pod)


class JobTtl(Controller):
    """Keys are Jobs: a finished one is deleted, with its pods, `ttlSecondsAfterFinished` later."""

    name = "ttl-after-finished-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._jobs = cluster.informer("jobs.batch")
        self._jobs.listen(self._on_job)

    def needs(self) -> Iterable[Informer]:
        return (self._jobs,)

    def _on_job(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and new["spec"].get("ttlSecondsAfterFinished") is not None:
            self.queue.add(key_of(new))

    def reconcile(self, key: Key) -> None:
        job = self.cluster.fresh("jobs.batch", key)
        finish = rules.finish_of(job) if job is not None and not is_deleting(job) else None
        if job is None or finish is None or job["spec"].get("ttlSecondsAfterFinished") is None:
            return
        ttl = timedelta(seconds=job["spec"]["ttlSecondsAfterFinished"])
        left = (parse(finish["lastTransitionTime"]) + ttl - self.cluster.now()).total_seconds()
        if left > 0:
            self.queue.add_after(key, left)
        else:
            self.cluster.delete("jobs.batch", job, propagation="Foreground")
