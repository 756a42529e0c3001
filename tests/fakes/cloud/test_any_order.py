"""Whatever is done to a group, in whatever order and at whatever second: the service stays whole."""

import logging

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.cloud.errors import ApiError
from fakes.cloud.group import ENDED, GROUP_TRANSITIONS
from fakes.cloud.lifecycle import Settings
from fakes.cloud.views import group_status
from tests.fakes.cloud.world import World
from tests.thorough import examples

SCENARIO = """
[[rule]]
container = "init"
duration_s = 2
crashes = 1
[[rule]]
container = "side"
duration_s = 1e9
stop_s = 3
[[rule]]
name = "bad"
pull_error = "not found"
[[rule]]
name = "crashing"
pull_s = 0
duration_s = 1
exit_code = 1
[[rule]]
name = "steady"
duration_s = 1e9
stop_s = 40
"""
CREATE = st.tuples(
    st.just("create"),
    st.sampled_from(["bad", "crashing", "steady", "plain"]),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "5", "30"]),
)
RUN = st.tuples(st.just("run"), st.sampled_from([0.1, 0.5, 1.0, 3.0, 15.0, 100.0, 4000.0]))
DEEDS = ["delete", "restart", "update", "resize", "reclaim", "vanish", "force"]
DISTURB = st.tuples(st.sampled_from(DEEDS), st.integers(0, 4))
# A few groups first, so that most deeds meet one that lives.
STEPS = st.tuples(
    st.lists(CREATE, min_size=1, max_size=3), st.lists(st.one_of(RUN, DISTURB, RUN, DISTURB, CREATE), max_size=30)
).map(lambda parts: parts[0] + parts[1])


def step(world, groups, what, *details):
    if what == "create":
        name, policy, init, side, deadline = details
        more = {"InitContainer__1__Name": "init", "InitContainer__1__Image": "i"} if init else {}
        if side:
            more |= {"Container__2__Name": "side", "Container__2__Image": "s"}
            more |= {"Container__2__EnvironmentVar__1__Key": "ECI_CONTAINER_TYPE"}
            more |= {"Container__2__EnvironmentVar__1__Value": "sidecar"}
        groups.append(
            world.create(ContainerGroupName=name, RestartPolicy=policy, ActiveDeadlineSeconds=deadline, **more)
        )
    elif what == "run":
        world.run(details[0])
    elif groups:
        disturb(world, groups[details[0] % len(groups)], what)


def disturb(world, group, what):
    service, now = world.service, world.clock.now()
    request = {"RegionId": "cn-hangzhou", "ContainerGroupId": group.id}
    change = {**request, "UpdateType": "IncrementalUpdate"}
    try:
        match what:
            case "delete":
                service.delete(request)
            case "force":
                service.delete({**request, "Force": "true"})
            case "restart":
                service.restart(request)
            case "update":
                image = f"nginx:{world.clock.now()}"
                service.update({**change, "Container.1.Name": "web", "Container.1.Image": image})
            case "resize":
                service.update({**change, "Cpu": "4", "Memory": "8"})
            case "reclaim":
                service.lifecycle.reclaim(group, now, notice_s=5)
            case "vanish":
                service.lifecycle.vanish(group, now)
    except ApiError as error:
        if error.code not in ("IncorrectStatus", "InvalidParameter.NotFound", "NoNeedUpdate"):
            raise


def check(world):
    store = world.service.store
    live = [group for group in store if group.status not in ENDED]
    assert store.used_cpu == sum(group.cpu for group in live)
    addresses = [group.ip for group in live if group.ip]
    assert len(addresses) == len(set(addresses))
    listed = world.queries.groups({"RegionId": "cn-hangzhou"})
    assert listed["TotalCount"] == len(store)
    shown = world.queries.statuses({"RegionId": "cn-hangzhou", "Limit": "200"})["Data"]
    assert shown == list(map(group_status, store))  # what is remembered of one is what it would be now
    for group in store:
        assert group.status != "Pending" or not all(container.created for container in group.containers)
        assert (group.ended_at is not None) == (group.status in ENDED)
        for container in group.everyone:
            assert not (container.active and group.status in ENDED)
            assert container.restarts == max(0, container.runs - 1)


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_order(caplog, steps):
    caplog.set_level(logging.ERROR)
    world, groups = World(SCENARIO, settings=Settings(start_delay_s=1.0, update_s=2.0)), []
    for each in steps:
        step(world, groups, *each)
        check(world)
    for group in groups:
        disturb(world, group, "delete")
    world.run(10_000)
    check(world)
    assert [group.status for group in groups] == ["Gone"] * len(groups)
    known = {"Scheduling", *GROUP_TRANSITIONS.values()}
    assert all(status in known for group in groups for _, status in world.states(group))
    assert not caplog.records
