"""CronJobs over a real Api: runs, overlaps, misses and history."""

from .world import job


def cron(name="tick", **spec):
    body = {"spec": job()["spec"], "metadata": {"labels": {"from": "cron"}}}
    return {"metadata": {"name": name}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": body, **spec}}


def jobs(world):
    return sorted(item["metadata"]["name"] for item in world.api.list("jobs.batch", "default")[0])


def finish(world, *, code=0):
    for one in world.live():
        world.end_pod(one, code=code)


async def test_a_run_each_time_with_the_minute_in_its_name(world):
    world.make("cronjobs.batch", cron(), "default")
    at = await world.until(lambda: jobs(world))
    assert 300 <= at < 301
    minute = int(world.api.clock().timestamp()) // 60
    assert jobs(world) == [f"tick-{minute}"]
    made = world.get("jobs.batch", f"tick-{minute}")
    assert made["metadata"]["labels"]["from"] == "cron"
    assert made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-03-02T10:05:00Z"
    await world.settle()
    status = world.get("cronjobs.batch", "tick")["status"]
    assert status["lastScheduleTime"] == "2026-03-02T10:05:00Z"
    assert [item["name"] for item in status["active"]] == [f"tick-{minute}"]
    assert f"Created job tick-{minute}" in world.messages("SuccessfulCreate")
    finish(world)
    await world.settle()
    status = world.get("cronjobs.batch", "tick")["status"]
    assert "active" not in status
    assert status["lastSuccessfulTime"]
    assert world.messages("SawCompletedJob") == [f"Saw completed job: tick-{minute}, condition: Complete"]
    await world.settle(300)
    assert jobs(world) == [f"tick-{minute}", f"tick-{minute + 5}"]


async def test_forbid_skips_while_one_runs(world):
    world.make("cronjobs.batch", cron(concurrencyPolicy="Forbid"), "default")
    await world.settle(610)
    assert len(jobs(world)) == 1
    assert len(world.events("JobAlreadyActive")) == 1
    finish(world)
    await world.settle(1)
    # The run that was held back starts as soon as it may.
    assert len(jobs(world)) == 2


async def test_replace_ends_the_running_one(world):
    world.make("cronjobs.batch", cron(concurrencyPolicy="Replace"), "default")
    await world.settle(310)
    (first,) = jobs(world)
    await world.settle(300)
    status = world.get("cronjobs.batch", "tick")["status"]
    assert len(status["active"]) == 1
    assert status["active"][0]["name"] != first
    assert world.messages("SuccessfulDelete")[0] == f"Deleted job {first}"
    assert not world.exists("jobs.batch", first)


async def test_history_limits(world):
    world.make("cronjobs.batch", cron(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0), "default")
    for _run in range(4):
        await world.settle(300)
        finish(world)
        await world.settle(1)
    assert len(jobs(world)) == 2
    body = cron("flop", failedJobsHistoryLimit=0)
    body["spec"]["jobTemplate"]["spec"] = {**body["spec"]["jobTemplate"]["spec"], "backoffLimit": 0}
    world.api.delete("cronjobs.batch", "tick", "default")
    world.make("cronjobs.batch", body, "default")
    await world.settle(300)
    finish(world, code=1)
    await world.settle(1)
    assert not any(name.startswith("flop") for name in jobs(world))


async def test_suspended_until_told_otherwise(world):
    world.make("cronjobs.batch", cron(suspend=True), "default")
    await world.settle(610)
    assert jobs(world) == []
    world.api.patch("cronjobs.batch", "tick", "default", {"spec": {"suspend": False}}, kind="merge")
    await world.settle(1)
    assert len(jobs(world)) == 1  # the latest missed run, and only that


async def test_a_start_that_is_too_late_is_skipped(world):
    world.make("cronjobs.batch", cron(suspend=True, startingDeadlineSeconds=20), "default")
    await world.settle(400)
    world.api.patch("cronjobs.batch", "tick", "default", {"spec": {"suspend": False}}, kind="merge")
    await world.settle(1)
    assert jobs(world) == []
    await world.settle(250)
    assert len(jobs(world)) == 1


async def test_the_time_zone_shifts_the_run(world):
    world.make("cronjobs.batch", cron(schedule="30 18 * * *", timeZone="Asia/Shanghai"), "default")
    at = await world.until(lambda: jobs(world), within_s=4000)
    assert 1800 <= at < 1801
    made = world.api.list("jobs.batch", "default")[0][0]
    stamp = made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert stamp == "2026-03-02T18:30:00+08:00"
