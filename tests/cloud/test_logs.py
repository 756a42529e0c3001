"""`kubectl logs` over the windows ECI shows, in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.cloud.eciserver import EciServer, Fault
from tests.control import pure_time
from tests.thorough import examples
from vk_provider.cloud.base import LogOptions
from vk_provider.cloud.eci import error_codes
from vk_provider.cloud.eci.logs import MISSING_BEFORE, MISSING_HERE, LogReader
from vk_provider.errors import CloudError, CloudUnavailable, InstanceGone
from vk_provider.model.instance import ContainerReport, ContainerState, Instance, InstanceStatus, Owner, StateKind

START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
GROUP, MAIN = "eci-1", "main"
FOLLOW = LogOptions(follow=True)

RUNNING = ContainerState(StateKind.RUNNING)
ENDED = ContainerState(StateKind.TERMINATED, exit_code=0)
WAITING = ContainerState(StateKind.WAITING, reason="CrashLoopBackOff")


class World:
    """One container that writes in virtual time, and the calls a reader makes."""

    def __init__(self) -> None:
        self.eci = EciServer()
        self.eci.add_group(GROUP, {})
        self.report: ContainerReport | None = ContainerReport(MAIN, RUNNING)
        self.status = InstanceStatus.RUNNING
        self.written: list[str] = []
        self.asked: list[float] = []
        self.looks = 0
        self.outage = False
        self.reader = LogReader(self._call, self._look_up)

    async def _call(self, request):
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
        if self.outage:
            raise CloudUnavailable("down")
        try:
            return self.eci._DescribeContainerLog(dict(request.query))
        except Fault as fault:
            raise error_codes.error_class(request.action, fault.code, fault.status)(fault.code) from fault

    async def _look_up(self, instance_id):
        self.looks += 1
        if self.outage:
            raise CloudUnavailable("down")
        if GROUP not in self.eci.groups:
            return None
        return Instance(GROUP, Owner(), self.status, containers=(self.report,) if self.report else ())

    def write(self, text: str, *, digits: int = 9, at_s: float | None = None) -> None:
        now_s = asyncio.get_running_loop().time() if at_s is None else at_s
        fraction = f"{int(now_s % 1 * 10**9):09}"[:digits]
        stamp = f"{START + timedelta(seconds=int(now_s)):%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"
        self.eci.write(GROUP, MAIN, (stamp, text))
        self.written.append(text)

    def end(self) -> None:
        self.report = ContainerReport(MAIN, ENDED)

    def restart(self) -> None:
        self.eci.previous_logs[GROUP, MAIN] = self.eci.logs[GROUP, MAIN]
        self.eci.logs[GROUP, MAIN] = []
        self.report = ContainerReport(MAIN, RUNNING, ENDED, restart_count=1)

    async def read(self, options: LogOptions) -> str:
        return (await self.read_bytes(options)).decode()

    async def read_bytes(self, options: LogOptions) -> bytes:
        return b"".join([chunk async for chunk in self.reader.read(GROUP, MAIN, options)])


def read(options: LogOptions, *lines: str, world: World | None = None) -> str:
    """What a reader gets of lines written one a second."""
    world = world or World()

    async def main() -> str:
        for second, text in enumerate(lines):
            world.write(text, at_s=second)
        return await world.read(options)

    return pure_time.play(main())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(LogOptions(), "a\nb\nc\n", id="all"),
        pytest.param(LogOptions(tail=2), "b\nc\n", id="tail"),
        pytest.param(LogOptions(tail=0), "", id="tail 0"),
        pytest.param(LogOptions(tail=9), "a\nb\nc\n", id="tail over all"),
        pytest.param(LogOptions(since="2024-01-02T03:04:06Z"), "b\nc\n", id="since is inclusive"),
        pytest.param(LogOptions(since="2024-01-02T03:04:06.5Z"), "c\n", id="since between"),
        pytest.param(LogOptions(since="2024-01-02T11:04:07+08:00"), "c\n", id="since in another zone"),
        pytest.param(LogOptions(tail=1, since="2024-01-02T03:04:05Z"), "c\n", id="tail and since"),
        pytest.param(LogOptions(tail=3, since="2024-01-02T03:04:07Z"), "c\n", id="tail first, then since"),
        pytest.param(LogOptions(limit_bytes=3), "a\nb", id="limit cuts inside a line"),
        pytest.param(LogOptions(tail=1, timestamps=True), "2024-01-02T03:04:07.000000000Z c\n", id="nine digits"),
        pytest.param(
            LogOptions(timestamps=True, limit_bytes=34), "2024-01-02T03:04:05.000000000Z a\n2", id="limit counts times"
        ),
    ],
)
def test_options(options, expected):
    assert read(options, "a", "b", "c") == expected


def test_coarse_times_are_padded():
    world = World()

    async def main() -> str:
        world.write("x", digits=0, at_s=1.5)
        world.write("y", digits=3, at_s=1.5)
        return await world.read(LogOptions(timestamps=True))

    assert pure_time.play(main()) == "2024-01-02T03:04:06.000000000Z x\n2024-01-02T03:04:06.500000000Z y\n"


def test_the_previous_run():
    world = World()
    world.eci.previous_logs[GROUP, MAIN] = [("2024-01-02T03:04:05Z", "before")]
    assert read(LogOptions(previous=True, follow=True), "now", world=world) == "before\n"


def test_a_log_longer_than_the_cloud_shows_begins_with_a_line_that_says_so():
    lines = [f"line {number}" for number in range(2500)]
    assert read(LogOptions(), *lines).splitlines() == [MISSING_BEFORE, *lines[500:]]
    assert read(LogOptions(tail=2400), *lines).splitlines() == [MISSING_BEFORE, *lines[500:]]
    assert read(LogOptions(tail=2000), *lines).splitlines() == lines[500:]


def test_no_such_line_when_nothing_is_missing():
    lines = [f"line {number}" for number in range(1999)]
    assert read(LogOptions(), *lines).splitlines() == lines


@pytest.mark.parametrize("cut_at_end", [True, False])
def test_an_answer_cut_by_bytes_is_completed(cut_at_end):
    """1,500 lines of 1.5 KiB: more than 1 MiB. Where the cloud cuts at the front, the front is out of reach."""
    world = World()
    world.eci.cut_log_at_end = cut_at_end
    lines = [f"{number} {'x' * 1500}" for number in range(1500)]
    got = read(LogOptions(), *lines, world=world).splitlines()
    assert got[0] == MISSING_BEFORE
    assert got[1:] == (lines if cut_at_end else lines[-len(got) + 1 :])
    assert len(got) > 600


def test_an_unfinished_last_line_is_shown_without_a_newline():
    world = World()
    world.eci._DescribeContainerLog = lambda _: {"Content": "2024-01-02T03:04:05Z a\n2024-01-02T03:04:06Z b"}
    assert pure_time.play(world.read(LogOptions())) == "a\nb"


def follow(world: World, writer, options: LogOptions = FOLLOW) -> list[str]:
    async def main() -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            return await asyncio.wait_for(world.read(options), 4000)

    return pure_time.play(main()).splitlines()


@pytest.mark.parametrize("digits", [0, 3, 9])
@pytest.mark.parametrize("per_second", [1, 50, 1500])
def test_following_loses_and_repeats_nothing(per_second, digits):
    world = World()

    async def writer() -> None:
        for number in range(10 * per_second):
            world.write(f"{number % 7}" if digits == 9 else f"{number}", digits=digits)
            await asyncio.sleep(1 / per_second)
        world.end()

    assert follow(world, writer) == world.written


def test_following_keeps_up_with_a_rate_that_grows():
    world = World()

    async def writer() -> None:
        for per_second in (100, 200, 400, 800, 1600, 3200, 5000):
            for number in range(per_second):
                world.write(f"{number}")
                await asyncio.sleep(1 / per_second)
        world.end()

    assert follow(world, writer) == world.written


def test_following_bursts_after_silence():
    world = World()

    async def writer() -> None:
        for burst in range(5):
            for number in range(1500):
                world.write(f"{burst}.{number}")
            await asyncio.sleep(20)
        world.end()

    assert follow(world, writer) == world.written


def test_when_more_is_written_at_once_than_the_cloud_shows_the_gap_is_marked():
    world = World()

    async def writer() -> None:
        world.write("first")
        await asyncio.sleep(10)
        for number in range(3000):
            world.write(f"{number}")
        world.end()

    assert follow(world, writer) == ["first", MISSING_HERE, *world.written[1001:]]


def test_following_large_lines():
    world = World()

    async def writer() -> None:
        for number in range(300):
            world.write(f"{number} {'x' * 15_000}")
            await asyncio.sleep(0.05)
        world.end()

    assert follow(world, writer) == world.written


def test_a_line_that_arrives_late_is_shown():
    world = World()

    async def writer() -> None:
        await asyncio.sleep(0.5)
        world.write("second", at_s=2.1)
        await asyncio.sleep(4)
        world.write("first, written late", at_s=1.9)
        await asyncio.sleep(4)
        world.end()

    assert follow(world, writer) == ["second", "first, written late"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(LogOptions(follow=True, tail=0), ["new 0", "new 1"], id="tail 0 follows what comes"),
        pytest.param(LogOptions(follow=True, tail=1), ["old 2", "new 0", "new 1"], id="tail 1"),
        pytest.param(LogOptions(follow=True, since="2024-01-02T03:04:25Z"), ["new 1"], id="since in the future"),
        pytest.param(LogOptions(follow=True, limit_bytes=13), ["old 0", "old 1", "o"], id="limit ends following"),
    ],
)
def test_following_with_options(options, expected):
    world = World()

    async def writer() -> None:
        for number in range(3):
            world.write(f"old {number}", at_s=0)
        for number in range(2):
            await asyncio.sleep(15)
            world.write(f"new {number}")
        await asyncio.sleep(5)
        world.end()

    assert follow(world, writer, options) == expected


def test_following_ends_when_the_container_has_ended_and_has_the_last_lines():
    world = World()

    async def writer() -> None:
        await asyncio.sleep(30)
        world.end()
        world.write("last words")

    assert follow(world, writer) == ["last words"]


def test_following_shows_one_run_to_its_end_and_not_the_next():
    world = World()

    async def writer() -> None:
        world.write("run 1 begins")
        await asyncio.sleep(9.9)
        world.write("run 1 ends")
        world.restart()
        world.write("run 2")

    assert follow(world, writer) == ["run 1 begins", "run 1 ends"]


def test_following_a_container_in_back_off_shows_its_last_run():
    world = World()
    world.report = ContainerReport(MAIN, WAITING, ENDED, restart_count=3)

    async def writer() -> None:
        world.write("crashed")

    assert follow(world, writer) == ["crashed"]


def test_following_waits_for_a_container_that_has_not_started():
    world = World()
    world.report = None

    async def writer() -> None:
        await asyncio.sleep(60)
        world.report = ContainerReport(MAIN, RUNNING)
        world.write("hello")
        await asyncio.sleep(60)
        world.end()

    assert follow(world, writer) == ["hello"]


def test_following_outlasts_a_short_outage():
    world = World()

    async def writer() -> None:
        world.write("before")
        await asyncio.sleep(5)
        world.outage = True
        world.write("during")
        await asyncio.sleep(60)
        world.outage = False
        await asyncio.sleep(5)
        world.end()

    assert follow(world, writer) == ["before", "during"]


def test_following_ends_with_an_error_when_the_outage_lasts():
    world = World()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(outage())
            with pytest.raises(CloudUnavailable):
                await world.read(FOLLOW)

    async def outage() -> None:
        await asyncio.sleep(5)
        world.outage = True

    pure_time.play(main())


def test_following_ends_quietly_when_the_instance_is_deleted():
    world = World()

    async def writer() -> None:
        world.write("hello")
        await asyncio.sleep(5)
        world.eci.groups.clear()

    assert follow(world, writer) == ["hello"]


@pytest.mark.parametrize("options", [LogOptions(), FOLLOW])
def test_an_instance_that_is_not_there(options):
    world = World()
    world.eci.groups.clear()
    with pytest.raises(InstanceGone):
        pure_time.play(world.read(options))


def test_a_quiet_log_is_looked_at_every_three_seconds_and_a_busy_one_every_second():
    world = World()

    async def writer() -> None:
        for _ in range(30):
            world.write("x")
            await asyncio.sleep(1)
        busy = len(world.asked)
        assert 28 <= busy <= 34
        await asyncio.sleep(300)
        assert 95 <= len(world.asked) - busy <= 110
        world.end()

    follow(world, writer)


def test_many_followers_together_keep_within_their_share_of_the_limit():
    world = World()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(world.read(FOLLOW))
            for _ in range(120):
                world.write("x")
                await asyncio.sleep(1)
            world.end()

    pure_time.play(main())
    settled = [at for at in world.asked if 20 <= at < 110]
    assert len(settled) / 90 * 60 <= 400 * 1.1


def test_a_reader_that_leaves_stops_at_once_and_frees_its_share():
    world = World()

    async def main() -> None:
        reading = asyncio.create_task(world.read(FOLLOW))
        await asyncio.sleep(10)
        assert world.reader._followers == 1
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        calls = len(world.asked)
        await asyncio.sleep(60)
        assert len(world.asked) == calls
        assert world.reader._followers == 0

    pure_time.play(main())


def test_errors_are_of_the_tree():
    assert issubclass(InstanceGone, CloudError)


# --- a last line without a newline ------------------------------------------------------------------------------------


class OpenWorld(World):
    """The cloud shows the line that is being written as well. open: its text so far, if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: str | None = None
        whole = self.eci._DescribeContainerLog

        def shown(query: dict) -> dict:
            tail = int(query.get("Tail", 500))
            content = whole({**query, "Tail": str(tail)})["Content"]
            if self.open is None:
                return {"Content": content}
            stamp = f"{START + timedelta(seconds=int(asyncio.get_running_loop().time())):%Y-%m-%dT%H:%M:%S}.5Z"
            kept = content.splitlines(keepends=True)[-(tail - 1) :] if tail > 1 else []
            return {"Content": "".join([*kept, f"{stamp} {self.open}"])}

        self.eci._DescribeContainerLog = shown

    def put(self, text: str) -> None:
        """Output, cut anywhere."""
        *lines, rest = ((self.open or "") + text).split("\n")
        for each in lines:
            self.write(each)
        self.open = rest or None

    def all(self) -> str:
        return "".join(f"{line}\n" for line in self.written) + (self.open or "")


def tail_of(text: str, count: int | None) -> str:
    lines = text.splitlines(keepends=True)
    return text if count is None else "".join(lines[len(lines) - min(count, len(lines)) :])


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "goes on"])
@pytest.mark.parametrize("tail", [0, 1, 2, 3, 4, 9, None])
def test_following_from_a_line_without_a_newline_is_no_reason_to_begin_anew(tail, ends):
    world = OpenWorld()

    async def writer() -> None:
        world.put("a\nb\nc\npart")
        if ends:
            world.end()
            return
        await asyncio.sleep(20)
        world.put("ial\nnew\n")
        await asyncio.sleep(20)
        world.end()

    async def main() -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            return await asyncio.wait_for(world.read(LogOptions(follow=True, tail=tail)), 4000)

    expected = tail_of("a\nb\nc\npart", tail)
    if not ends:
        expected = (expected or "part") + "ial\nnew\n"  # a line counts as new when it is complete
    assert pure_time.play(main()) == expected


PIECES = st.lists(st.sampled_from(["a\n", "b", "\n", "a", "b\n", "\n\n", "a\na\n", "ü\n"]), max_size=6)


@settings(max_examples=examples(150), deadline=None)
@example(before=["b"], later=[["a\n", "b"]], tail=0, limit=None, unfinished=False, shows_open=True)
@given(
    before=PIECES,
    later=st.lists(PIECES, max_size=4),
    tail=st.sampled_from([None, 0, 1, 2, 3, 50]),
    limit=st.sampled_from([None, 1, 5, 1000]),
    unfinished=st.booleans(),
    shows_open=st.booleans(),
)
def test_following_is_the_end_of_the_log_that_was_asked_for_and_all_that_comes(
    before, later, tail, limit, unfinished, shows_open
):
    world = OpenWorld() if shows_open else World()
    open_text = [""]

    def put(text: str) -> None:
        if isinstance(world, OpenWorld):
            world.put(text)
            return
        *lines, open_text[0] = (open_text[0] + text).split("\n")
        for each in lines:
            world.write(each)

    at_first: list[str] = []

    def written() -> str:
        return world.all() if isinstance(world, OpenWorld) else "".join(f"{line}\n" for line in world.written)

    async def writer() -> None:
        for each in before:
            put(each)
        at_first.append(written())
        for pieces in later:
            await asyncio.sleep(7)
            for each in pieces:
                put(each)
        await asyncio.sleep(7)
        world.end()

    async def main() -> bytes:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            await asyncio.sleep(1)
            options = LogOptions(follow=True, tail=tail, limit_bytes=limit, unfinished=unfinished)
            return await asyncio.wait_for(world.read_bytes(options), 4000)

    got = pure_time.play(main())
    whole = written()
    begins = len(at_first[0]) - len(tail_of(at_first[0], tail))
    if tail == 0 and not unfinished and len(whole) > len(at_first[0]):
        begins = at_first[0].rfind("\n") + 1  # a line counts as new when it is complete
    assert got == whole[begins:].encode()[:limit]


def test_growth_is_shown_at_once_to_who_attaches():
    world = OpenWorld()
    seen: list[tuple[int, bytes]] = []

    async def writer() -> None:
        for _ in range(4):
            await asyncio.sleep(10)
            world.put(".")
        world.put("\nend")
        await asyncio.sleep(10)
        world.end()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            options = LogOptions(follow=True, tail=0, unfinished=True)
            chunks = world.reader.read(GROUP, MAIN, options)
            seen.extend([(int(asyncio.get_running_loop().time()) // 10, chunk) async for chunk in chunks])

    pure_time.play(main())
    assert b"".join(chunk for _, chunk in seen) == b"....\nend"
    assert [at for at, chunk in seen if chunk == b"."] == [1, 2, 3]


def test_the_end_of_an_instance_does_not_eat_the_last_line():
    world = OpenWorld()

    async def writer() -> None:
        world.put("a\nlast words")
        await asyncio.sleep(5)
        world.eci.groups.clear()

    assert follow(world, writer) == ["a", "last words"]


# --- what we have to say ---------------------------------------------------------------------------------------------


def test_what_we_say_does_not_eat_what_was_asked_for():
    lines = [f"line {number}" for number in range(2500)]
    assert read(LogOptions(limit_bytes=10), *lines) == "line 500\nl"
    left = "\n".join(lines[500:]) + "\n"
    assert read(LogOptions(limit_bytes=100_000), *lines) == f"{left}{MISSING_BEFORE}\n"
    assert read(LogOptions(limit_bytes=len(left)), *lines) == left
    assert read(LogOptions(limit_bytes=len(left) + 5), *lines) == left
