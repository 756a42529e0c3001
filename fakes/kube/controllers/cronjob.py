"""The CronJob controller: one Job per scheduled minute, as concurrency, deadline and history allow.

A Job's name holds its scheduled minute, so the same run is never started twice.
Source: kubernetes pkg/controller/cronjob/cronjob_controllerv2.go, v1.32.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fakes.kube.api import ApiError
from fakes.kube.clock import parse, stamp
from fakes.kube.controllers import cron_schedule
from fakes.kube.controllers.job_rules import finish_of
from fakes.kube.controllers.pod_control import is_namespace_ending
from fakes.kube.reads import Json, Key, controller_of, draft, is_deleting, key_of, owner_reference, uid_of
from fakes.kube.reconcile.cluster import Cluster
from fakes.kube.reconcile.controller import Controller
from fakes.kube.reconcile.informer import Informer

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY_MISSED = 100
# Sleep in slices: the wall clock may be set while the loop's clock is not.
LOOK_AGAIN_S = 60.0


class CronJobController(Controller):
    """Keys are CronJobs."""

    name = "cronjob-controller"

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._crons = cluster.informer("cronjobs.batch")
        self._jobs = cluster.informer("jobs.batch")
        self._crons.listen(self._on_cron)
        self._jobs.listen(self._on_job)

    def needs(self) -> Iterable[Informer]:
        return self._crons, self._jobs

    def _on_cron(self, _old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(key_of(new))

    def _on_job(self, old: Json | None, new: Json | None) -> None:
        for job in (old, new):
            owner = controller_of(job) if job is not None else None
            if job is not None and owner is not None and owner["kind"] == "CronJob":
                self.queue.add((job["metadata"]["namespace"], owner["name"]))

    def reconcile(self, key: Key) -> None:
        found = self.cluster.fresh("cronjobs.batch", key)
        if found is None:
            return
        cron = draft(found)
        cron.setdefault("status", {})
        jobs = self._jobs.indexed("owner", uid_of(cron))
        self._trim_history(cron, jobs)
        self._note_jobs(cron, self._jobs.indexed("owner", uid_of(cron)))
        if not is_deleting(cron) and not cron["spec"].get("suspend"):
            self._run(cron)
        if cron["status"] != (found.get("status") or {}):
            self.cluster.update("cronjobs.batch", cron, subresource="status")

    # what became of earlier runs

    def _note_jobs(self, cron: Json, jobs: list[Json]) -> None:
        status = cron["status"]
        known = {item["uid"]: item for item in status.get("active") or ()}
        alive = {uid_of(job): job for job in jobs}
        for job in jobs:
            finish = finish_of(job)
            if uid_of(job) in known and finish is not None:
                del known[uid_of(job)]
                self._tell_finished(cron, job, finish)
            elif uid_of(job) not in known and finish is None:
                self.event(
                    cron,
                    "UnexpectedJob",
                    f"Saw a job that the controller did not create or forgot: {job['metadata']['name']}",
                    warning=True,
                )
        for uid in [uid for uid in known if uid not in alive]:
            self.event(cron, "MissingJob", f"Active job went missing: {known[uid]['name']}")
            del known[uid]
        _set_active(status, list(known.values()))

    def _tell_finished(self, cron: Json, job: Json, finish: Json) -> None:
        text = f"Saw completed job: {job['metadata']['name']}, condition: {finish['type']}"
        self.event(cron, "SawCompletedJob", text)
        ended = (job.get("status") or {}).get("completionTime")
        if finish["type"] == "Complete" and ended:
            last = cron["status"].get("lastSuccessfulTime")
            cron["status"]["lastSuccessfulTime"] = max(ended, last) if last else ended

    def _trim_history(self, cron: Json, jobs: list[Json]) -> None:
        limits = (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1))
        active = {item["uid"] for item in cron["status"].get("active") or ()}
        for kind, field, default in limits:
            limit = cron["spec"].get(field)
            # One still listed as active has not been told of yet; it is trimmed in the next pass.
            over = [job for job in jobs if (finish_of(job) or {}).get("type") == kind and uid_of(job) not in active]
            over.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "", job["metadata"]["name"]))
            for job in over[: max(0, len(over) - (default if limit is None else limit))]:
                self._delete(cron, job)

    # the next run

    def _run(self, cron: Json) -> None:
        schedule, zone = self._schedule(cron)
        if schedule is None or zone is None:
            return
        now = self.cluster.now()
        following = schedule.next(now, zone)
        if following is not None:
            self.queue.add_after(key_of(cron), min((following - now).total_seconds() + 0.1, LOOK_AGAIN_S))
        due, missed = last_due(schedule, zone, since=_looked_until(cron, now), now=now)
        if missed > TOO_MANY_MISSED and cron["spec"].get("startingDeadlineSeconds") is None:
            hint = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.event(cron, "TooManyMissedTimes", f"too many missed start times: {missed}. {hint}", warning=True)
        if due is not None and not self._already_ran(cron, due):
            self._start(cron, due, zone, now)

    def _schedule(self, cron: Json) -> tuple[cron_schedule.Schedule | None, tzinfo | None]:
        text, zone_name = cron["spec"]["schedule"], cron["spec"].get("timeZone")
        try:
            schedule = cron_schedule.parse(text)
        except ValueError as error:
            self.event(cron, "UnparseableSchedule", f"unparseable schedule: {text} : {error}", warning=True)
            return None, None
        try:
            return schedule, ZoneInfo(zone_name) if zone_name else UTC
        except (ZoneInfoNotFoundError, ValueError) as error:
            self.event(cron, "UnknownTimeZone", f"invalid timeZone: {zone_name}: {error}", warning=True)
            return None, None

    def _already_ran(self, cron: Json, due: datetime) -> bool:
        last = cron["status"].get("lastScheduleTime")
        names = {item["name"] for item in cron["status"].get("active") or ()}
        return (last is not None and parse(last) >= due) or job_name(cron, due) in names

    def _start(self, cron: Json, due: datetime, zone: tzinfo, now: datetime) -> None:
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None and due + timedelta(seconds=deadline) < now:
            text = f"Missed scheduled time to start a job: {format_datetime(due)}"
            self.event(cron, "MissSchedule", text, warning=True)
            return
        active = cron["status"].get("active") or []
        policy = cron["spec"].get("concurrencyPolicy") or "Allow"
        if policy == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.event(cron, "JobAlreadyActive", text)
            return
        if policy == "Replace":
            self._replace(cron)
        made = self._create(cron, due, zone)
        if made is not None:
            _set_active(cron["status"], [*(cron["status"].get("active") or ()), _reference(made)])
            cron["status"]["lastScheduleTime"] = stamp(due)

    def _replace(self, cron: Json) -> None:
        running = {item["uid"] for item in cron["status"].get("active") or ()}
        for job in self._jobs.indexed("owner", uid_of(cron)):
            if uid_of(job) in running:
                self._delete(cron, job)
        _set_active(cron["status"], [])

    def _create(self, cron: Json, due: datetime, zone: tzinfo) -> Json | None:
        try:
            made = self.cluster.create("jobs.batch", new_job(cron, due, zone))
        except ApiError as error:
            if error.code == 409:
                return self._existing(cron, due)
            if not is_namespace_ending(error):
                self.event(cron, "FailedCreate", f"Error creating job: {error.message}", warning=True)
            raise
        self.event(cron, "SuccessfulCreate", f"Created job {made['metadata']['name']}")
        return made

    def _existing(self, cron: Json, due: datetime) -> Json | None:
        """A run made before but not noted in the status, e.g. because that write was lost."""
        job = self.cluster.fresh("jobs.batch", (cron["metadata"]["namespace"], job_name(cron, due)))
        owner = controller_of(job) if job is not None else None
        ours = owner is not None and owner["uid"] == uid_of(cron)
        return job if job is not None and ours and finish_of(job) is None else None

    def _delete(self, cron: Json, job: Json) -> None:
        # Background: a Job deleted by the API's own default would leave its pods behind.
        if self.cluster.delete("jobs.batch", job, propagation="Background"):
            self.event(cron, "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")


def last_due(
    schedule: cron_schedule.Schedule, zone: tzinfo, *, since: datetime, now: datetime
) -> tuple[datetime | None, int]:
    """The latest scheduled time in (since, now], and how many there were (counting stops past what matters)."""
    due, count = None, 0
    moment = schedule.next(since, zone)
    while moment is not None and moment <= now:
        due, count = moment, count + 1
        if count > TOO_MANY_MISSED:
            # From here on only the latest matters, and it lies in the last stretch as long as the longest gap.
            due = _latest(schedule, zone, floor=moment, now=now)
            break
        moment = schedule.next(moment, zone)
    return due, count


def job_name(cron: Json, due: datetime) -> str:
    return f"{cron['metadata']['name']}-{int(due.timestamp()) // 60}"


def new_job(cron: Json, due: datetime, zone: tzinfo) -> Json:
    """The Job of one run."""
    template = draft(cron["spec"]["jobTemplate"])
    meta = template.get("metadata") or {}
    local = due.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron, due),
            "namespace": cron["metadata"]["namespace"],
            "labels": meta.get("labels") or {},
            "annotations": {**(meta.get("annotations") or {}), SCHEDULED_AT: local},
            "ownerReferences": [owner_reference(cron)],
        },
        "spec": template["spec"],
    }


def _latest(schedule: cron_schedule.Schedule, zone: tzinfo, *, floor: datetime, now: datetime) -> datetime:
    """The latest scheduled time in [floor, now], found by halving the stretch that must hold it."""
    low = floor
    high = now
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        following = schedule.next(middle, zone)
        if following is not None and following <= now:
            low = following
        else:
            high = middle
    following = schedule.next(low, zone)
    return following if following is not None and following <= now else low


def _looked_until(cron: Json, now: datetime) -> datetime:
    """Runs due before this are not looked for."""
    start = parse(cron["status"].get("lastScheduleTime") or cron["metadata"]["creationTimestamp"])
    deadline = cron["spec"].get("startingDeadlineSeconds")
    return start if deadline is None else max(start, now - timedelta(seconds=deadline))


def _set_active(status: Json, active: list[Json]) -> None:
    if active:
        status["active"] = active
    else:
        status.pop("active", None)


def _reference(job: Json) -> Json:
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
    }
