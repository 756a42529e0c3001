"""The program alone: what it prints, how it ends, and that nothing of it is left."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.cloud import cli, images, scenario
from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_process import create, needs_sandbox, shell

BANNER = "fake ECI cloud (stand-in for local use) listening on "


@asynccontextmanager
async def program(*arguments):
    """The running program and the address it printed; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fakes", "cloud", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert line.startswith(BANNER), (line, await process.stderr.read() if not line else "")
        yield process, line.removeprefix(BANNER).strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def processes_with(text):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def none_left(text):
    async def none():
        return not processes_with(text)

    await eventually(none)


async def running_group(acs, marker):
    script = f"(sleep {marker} & setsid sleep {marker} &) ; echo up; exec sleep {marker}"
    group_id = await create(acs, image="busybox", **shell(script), TerminationGracePeriodSeconds=1)
    await acs.until_log(group_id, "up")
    return group_id


@needs_sandbox
@pytest.mark.parametrize(
    ("number", "sandbox"),
    [
        pytest.param(signal.SIGTERM, "--sandbox", id="asked to end"),
        pytest.param(signal.SIGKILL, "--sandbox", id="killed"),
        pytest.param(signal.SIGKILL, "--no-sandbox", id="killed, plain processes"),
    ],
)
async def test_nothing_survives_the_end(number, sandbox, tmp_path):
    marker = f"98765{os.getpid()}{int(number)}{len(sandbox)}"
    ready = tmp_path / "ready.json"
    options = ("--runtime", "process", "--start-delay", "0", sandbox, "--ready-file", str(ready))
    async with program(*options) as (process, endpoint):
        assert json.loads(ready.read_text()) == {"endpoint": endpoint}
        await running_group(Acs(endpoint), marker)

        async def all_begun():  # a container runs before its own child does
            return len(processes_with(marker)) >= 3

        await eventually(all_begun)
        process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), 10)
        assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        await none_left(marker)


@needs_sandbox
async def test_a_deleted_group_leaves_no_process_and_no_file(tmp_path):
    marker = f"98766{os.getpid()}"
    async with program("--runtime", "process", "--start-delay", "0", "--state-dir", str(tmp_path)) as (_, endpoint):
        acs = Acs(endpoint)
        group_id = await running_group(acs, marker)
        assert (tmp_path / "groups" / group_id).exists()
        await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
        await acs.until(group_id, None)
        await none_left(marker)

        async def swept():
            return not (tmp_path / "groups" / group_id).exists()

        await eventually(swept)


async def test_what_a_killed_one_left_is_removed_by_the_next():
    async with program("--runtime", "process") as (first, _):
        first.kill()
        await first.wait()
    assert left_by(first.pid)
    async with program("--runtime", "process") as (second, _):
        assert not left_by(first.pid)
        second.terminate()
        await second.wait()
    assert not left_by(second.pid)


def left_by(pid):
    return list(Path(tempfile.gettempdir()).glob(f"fake-eci-{pid}-*"))


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--images", "[[image]]\ncolour = 'red'\nname = 'x'", "unknown key 'colour'"),
        ("--images", "[[image]]\nroot = 'host'", "'name' is missing"),
        ("--images", "[[image]]\nname = 'x'\nroot = '/no/such/place'", "neither"),
        ("--images", "image", "not TOML"),
        ("--scenario", "[[rule]]\nduration = 3", "unknown key 'duration'"),
        ("--scenario", "[[rule]]\nduration_s = 'long'", "wrong value"),
    ],
)
async def test_a_file_that_cannot_be_used(tmp_path, option, text, message):
    file = tmp_path / "file.toml"
    file.write_text(text)
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    with pytest.raises(SystemExit, match=message):
        await cli.serve(parser.parse_args([option, str(file)]))


async def test_the_journal_is_also_a_file(tmp_path):
    journal = tmp_path / "journal"
    async with program("--journal", str(journal)) as (_, endpoint):
        await Acs(endpoint).action("ListUsage")
    assert json.loads(journal.read_text().splitlines()[0])["action"] == "ListUsage"


@pytest.mark.parametrize(
    ("name", "reference", "fits"),
    [
        ("perl", "perl", True),
        ("perl", "docker.io/library/perl:5.36-slim", True),
        ("perl", "registry.example.com:5000/a/perl@sha256:00", True),
        ("perl", "perlish", False),
        ("perl*", "perlish:1", True),
        ("a/perl", "perl", False),
        ("docker.io/*/perl", "docker.io/library/perl", True),
        ("perl:5.*", "perl:5.36", True),
        ("perl:5.*", "perl:4", False),
        ("perl:latest", "perl", True),
    ],
)
def test_image_names(name, reference, fits):
    assert images.Image(name).matches(reference) is fits


def test_the_file_s_images_come_before_the_built_in_ones(tmp_path):
    known = [*images.load("[[image]]\nname = 'busybox'\nfail = 'no'"), *images.built_in(tmp_path)]
    assert images.find(known, "busybox").fail == "no"
    assert images.find(images.built_in(tmp_path), "busybox:1.36").fail == ""
    assert images.find(known, "unheard-of") is None


def test_an_empty_scenario_plays_the_default():
    assert scenario.load("")._rules == [scenario.DEFAULT]
