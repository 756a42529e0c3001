"""What a container's processes may do on this machine: the first one, and each that enters it, tried from inside."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aliyunsdkcore.acs_exception.exceptions import ServerException

from fakes.cloud import images, rights
from fakes.cloud.memory import Memory
from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_cli import program
from tests.fakes.cloud.test_process import (
    HERE,
    chosen,
    config_files,
    create,
    finish,
    needs_sandbox,
    shell,
    state,
)

IMAGES = '[[image]]\nname = "sh"\npull_s = 0\n[[image]]\nname = "rooted"\nroot = "{root}"\npull_s = 0\n'
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="what root does differently is tried by root only")
needs_namespaces_of_root = pytest.mark.skipif(HERE.kind != "root", reason="only root's namespaces have it")
USER = {"Container__1__SecurityContext__RunAsUser": "1000"}
HOLDS = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
async def acs(start, tmp_path):
    return await client(start, tmp_path)


@pytest.fixture
async def plain(start, tmp_path):
    return await client(start, tmp_path, sandbox=False)


async def client(start, tmp_path, **options):
    (tmp_path / "root").mkdir()
    cloud = await start(
        runtime="process", images=IMAGES.format(root=tmp_path / "root"), state_dir=tmp_path / "state", **options
    )
    made = Acs(cloud.endpoint)
    made.cloud = cloud
    return made


async def enter(acs, group_id, *command, container="main"):
    group = acs.cloud.service.store.get(group_id)
    result = await acs.cloud.service.runtime.exec(group, group.container(container), command, timeout_s=10)
    return result.output.decode()


async def both(acs, script, **more):
    """What a script says as a container's first process, and what one says that enters the container."""
    group_id = await create(acs, **shell(f"{script}\n{HOLDS}"), **more)
    first = (await acs.until_log(group_id, "up\n")).removesuffix("up\n")
    return first, await enter(acs, group_id, "sh", "-c", script)


RIGHTS = """
grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|SigIgn|SigBlk):' /proc/self/status
for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done
cat /proc/self/limits /proc/self/cgroup; umask; pwd; readlink /proc/self/root; env | grep -v '^_=' | sort
"""


@needs_sandbox
@pytest.mark.parametrize("more", [{}, USER], ids=["root", "a user"])
async def test_who_enters_has_just_the_rights_of_the_first_process(acs, more):
    first, entered = await both(acs, RIGHTS, **more)
    assert entered == first


async def test_plain_processes_that_enter_have_them_too(plain):
    first, entered = await both(plain, RIGHTS.replace("limits /proc/self/", ""))
    assert entered == first


def effective(status):
    return int(re.search(r"CapEff:\s*(\w+)", status)[1], 16)


@needs_sandbox
async def test_root_in_a_container_has_a_container_runtime_s_capabilities(acs):
    first, entered = await both(acs, "grep Cap /proc/self/status")
    expected = rights.DEFAULT_CAPABILITIES
    if acs.cloud.network is None and HERE.kind == "root":
        expected &= ~(rights.NET_ADMIN | rights.NET_RAW)
    assert effective(first) == effective(entered) == expected


@needs_namespaces_of_root
async def test_nobody_gets_rights_over_this_machine_s_own_network(start, tmp_path):
    acs = await client(start, tmp_path, network="host")
    more = {"Container__1__SecurityContext__Capability__Add__1": "NET_ADMIN"}
    for status in await both(acs, "grep Cap /proc/self/status", **more):
        assert not effective(status) & (rights.NET_ADMIN | rights.NET_RAW)


HOSTILE = {
    "mount": "mount -t tmpfs none /mnt",
    "bind": "mount --bind /etc /mnt",
    "remount": "mount -o remount,rw,bind /usr",
    "block device": "mknod /tmp/b b 8 0",
    "character device": "mknod /tmp/c c 1 1",
    "namespace": "unshare --mount true",
    "pivot": "chroot /proc/1/root mount -t tmpfs none /mnt",
    "kernel settings": "echo 1 > /proc/sys/kernel/panic",
    "magic keys": "echo h > /proc/sysrq-trigger",
    "memory of the kernel": "head -c 1 /proc/kcore | grep -q .",
    "programs": "touch /usr/bin/mine",
    "settings": ": >> /etc/passwd",
    "passwords": "grep -q . /etc/shadow",
    "home of root": "ls -A /root | grep -q .",
    "homes": "ls -A /home | grep -q .",
    "host name": "hostname mine",
    "clock": "date -s @$(date +%s)",
    "control groups": "find /sys/fs/cgroup -name cgroup.procs -writable | grep -q .",
    "modules": "ls /proc/1/root/boot | grep -q .",
    "nested": "unshare --user --map-root-user sh -c 'umount /etc/shadow && grep -q . /etc/shadow'",
}


@needs_sandbox
async def test_what_would_lead_out_is_refused(acs):
    script = "\n".join(f"if ({trial}) >/dev/null 2>&1; then echo '{name}: done'; fi" for name, trial in HOSTILE.items())
    assert await both(acs, script) == ("", "")


@needs_sandbox
async def test_what_is_made_beside_this_machine_s_settings_is_not_made_on_it(acs):
    """Where `/etc` has no `hosts` to mount over, as in a sandbox that tests are run in, a container has one of its own
    with this machine's files in it, and may add to that."""
    await both(acs, "touch /etc/vk-provider-was-here 2>/dev/null; true")
    assert not Path("/etc/vk-provider-was-here").exists()  # noqa: ASYNC240


@needs_sandbox
async def test_no_process_and_no_file_of_this_machine_is_seen(acs, tmp_path):
    (tmp_path / "secret").write_text("mine")
    count = "set -- /proc/[0-9]*; echo $#"  # no ls: a process that ends after the glob would be an error's line
    first, entered = await both(acs, f"{count}; cat {tmp_path}/secret 2>&1; ls /proc/self/fd | tr '\\n' ' '")
    for told in (first, entered):
        processes, missing, files = told.splitlines()
        assert int(processes) < 8
        assert "No such file" in missing
        assert files.strip() == "0 1 2 3"


async def test_sigpipe_and_its_like_are_as_a_program_expects_them(acs, plain_too):
    for each in (acs, plain_too):
        _, log = await finish(each, **shell("grep -E 'Sig(Ign|Blk)' /proc/self/status"))
        # 32 and 33 are the C library's own; whoever started the tests may have left them blocked.
        ours = ~(1 << 31 | 1 << 32)
        assert [int(line.split()[1], 16) & ours for line in log.splitlines()] == [0, 0]


@pytest.fixture
async def plain_too(start, tmp_path_factory):
    return await client(start, tmp_path_factory.mktemp("plain"), sandbox=False)


# --- without namespaces ---


@needs_root
async def test_plain_processes_of_root_are_users_without_rights_and_each_group_s_another(plain):
    said = []
    for name in ("one", "two"):
        first, entered = await both(plain, "grep -E 'Uid|CapEff|NoNewPrivs' /proc/self/status", name=name)
        assert entered == first
        users = set(re.search(r"Uid:(.*)", first)[1].split())
        assert users.isdisjoint({"0"})
        assert effective(first) == 0
        assert re.search(r"NoNewPrivs:\s*1", first)
        said.append(users)
    assert said[0] != said[1]


@needs_root
async def test_plain_processes_of_root_see_neither_its_files_nor_other_groups_(plain, tmp_path):
    volume = {"Volume__1__Name": "s", "Volume__1__Type": "EmptyDirVolume"}
    mount = {"Container__1__VolumeMount__1__Name": "s", "Container__1__VolumeMount__1__MountPath": "/scratch"}
    group_id = await create(plain, **shell(f"echo mine > /scratch/x; readlink -f /scratch; {HOLDS}"), **volume, **mount)
    place = (await plain.until_log(group_id, "up")).splitlines()[0]
    assert await enter(plain, group_id, "cat", "/scratch/x") == "mine\n"
    _, log = await finish(plain, name="other", **shell(f"cat {place}/x /etc/shadow; ls /root"))
    assert log.count("ermission denied") == 3


@needs_root
async def test_plain_processes_of_root_read_their_files_and_put_nothing_in_their_place(plain, tmp_path):
    """A link of theirs would be followed by the fake cloud, which is root."""
    precious = tmp_path / "precious" / "file"
    precious.parent.mkdir()
    precious.touch()
    files = config_files("/cfg", open="1", closed="2")
    files["Volume__1__ConfigFileVolume__ConfigFileToPath__2__Mode"] = "0400"
    script = "cat /cfg/open /cfg/closed; for p in /cfg/x /cfg/..data/x /cfg/../x /cfg/../../x; do touch $p; done"
    group_id = await create(
        plain, **shell(f"{script} 2>/dev/null; ln -sfn {precious.parent} /cfg/..data; {HOLDS}"), **files
    )
    assert (await plain.until_log(group_id, "up")).startswith("12")
    new = {key: value for key, value in config_files("/cfg", open="3", closed="4").items() if key.startswith("Volume")}
    await plain.action("UpdateContainerGroup", ContainerGroupId=group_id, UpdateType="IncrementalUpdate", **new)
    assert await enter(plain, group_id, "sh", "-c", "cat /cfg/*") == "43"
    assert await enter(plain, group_id, "sh", "-c", "find /cfg/.. /cfg/../.. -name x 2>/dev/null") == ""
    assert precious.exists()


@needs_root
async def test_who_may_run_containers_in_no_safe_way_refuses_and_names_another(tmp_path):
    """Root without any capability: no namespaces, and no other user to become."""
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    words = [*bare, sys.executable, "-m", "fakes", "cloud", "--port", "0", "--runtime", "process"]
    ended = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "containers cannot be run here" in ended.stderr
    assert "simulated" in ended.stderr


@pytest.mark.parametrize("sandbox", [True, False])
async def test_it_is_said_how_containers_run(tmp_path, sandbox):
    options = ("--runtime", "process", "--sandbox" if sandbox else "--no-sandbox")
    async with program(*options) as (process, _):
        told = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
    here = await chosen(tmp_path, sandbox=sandbox)
    assert told == f"how containers run: {here.describe()}\n"
    assert ("NO SANDBOX" in told) == (not here.is_sandboxed)
    assert not (IS_ROOT and not sandbox) or "never as root" in told


async def test_bubblewrap_makes_no_difference(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await chosen(tmp_path / "empty")).kind == HERE.kind


def ordinary():
    """The words with which this machine's nobody runs a Python that has what the fake cloud needs; None if none."""
    if not IS_ROOT or shutil.which("setpriv") is None:
        return None
    packages = ":".join(path for path in sys.path if path.endswith("site-packages"))
    for python in (sys.executable, "/usr/bin/python3"):
        become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp", "TMPDIR=/tmp")
        words = [*become, "PYTHONDONTWRITEBYTECODE=1", f"PYTHONPATH={packages}", python]
        if subprocess.run([*words, "-c", "import fakes.cloud.cli"], capture_output=True, check=False).returncode == 0:
            return words
    return None


AS_ANYBODY = """
import asyncio
from fakes.cloud.cli import Options, run
from tests.fakes.cloud.sdk import Acs
from tests.fakes.cloud.test_sandbox import RIGHTS, USER, both, shell, HOLDS, IMAGES

async def main():
    images = IMAGES.format(root="/usr")
    async with run(Options(runtime="process", images=images)) as cloud:
        print(cloud.containers)
        acs = Acs(cloud.endpoint)
        acs.cloud = cloud
        second = {key.replace("__1__", "__2__", 1): value for key, value in {**shell(HOLDS), **USER}.items()}
        second |= {"Container__2__Name": "other", "Container__2__Image": "sh"}
        for more in ({}, USER, {**second, "ShareProcessNamespace": True}):
            first, entered = await both(acs, f"cat /proc/1/comm; {RIGHTS}", **more)
            print(first.split()[0], first == entered)
        assert "CapEff:\t00000000a80425fb" in first

asyncio.run(main())
"""


async def test_an_ordinary_user_has_the_same_sandbox():
    words = ordinary()
    if words is None:
        pytest.skip("there is no Python here that the user nobody could run this with")
    ended = await asyncio.to_thread(
        subprocess.run, [*words, "-c", AS_ANYBODY], capture_output=True, text=True, timeout=60, check=False
    )
    banner, *told = ended.stdout.splitlines() or [""]
    if "NO SANDBOX" in banner:
        pytest.skip(f"ordinary users can have no sandbox here: {banner}")
    assert "as nobody but without this user's files" in banner, ended.stderr
    assert told == ["sh True", "sh True", "pause True"], ended.stderr


# --- process 1 ---


@needs_sandbox
async def test_process_1_is_the_program_and_has_its_signals(acs):
    script = "trap 'echo heard' HUP; echo up; while :; do sleep 0.05; done"
    group_id = await create(acs, **shell(script), TerminationGracePeriodSeconds=1)
    await acs.until_log(group_id, "up")
    assert await enter(acs, group_id, "cat", "/proc/1/comm") == "sh\n"
    await enter(acs, group_id, "sh", "-c", "kill -HUP 1")
    await acs.until_log(group_id, "heard")
    await enter(acs, group_id, "sh", "-c", "kill -TERM 1")  # which it has no handler for
    await enter(acs, group_id, "sh", "-c", "kill -KILL 1")  # which nobody inside may send to process 1
    assert (await acs.group(group_id))["Status"] == "Running"


@pytest.mark.parametrize("sandbox", [True, False])
async def test_what_entered_ends_with_the_container(start, tmp_path, sandbox):
    acs = await client(start, tmp_path, sandbox=sandbox)
    group_id = await create(acs, **shell("echo up; sleep 0.5; exit 4"))
    await acs.until_log(group_id, "up")
    assert await asyncio.wait_for(enter(acs, group_id, "sleep", "98762"), 8) == ""
    assert state(await acs.until(group_id, "Failed"))["ExitCode"] == 4


@needs_sandbox
async def test_containers_that_share_their_processes(acs):
    second = {"Container__2__Name": "other", "Container__2__Image": "sh"}
    second |= {f"Container__2__Command__{n}": word for n, word in enumerate(["sh", "-c", f"cd /tmp; {HOLDS}"], 1)}
    script = "setsid sleep 98761 & echo up; while ! test -e /tmp/end; do sleep 0.05; done; exit 3"
    group_id = await create(acs, **shell(script), **second, ShareProcessNamespace=True)
    await acs.until_log(group_id, "up")
    await acs.until_log(group_id, "up", container="other")
    seen = "cat /proc/1/comm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    told = await enter(acs, group_id, "sh", "-c", seen, container="other")
    assert told.startswith("pause\n")
    assert "sleep 98761" in told
    assert "sleep 98761" in await enter(acs, group_id, "sh", "-c", seen)
    assert await enter(acs, group_id, "sh", "-c", "ls -A /proc/1/root/ 2>/dev/null | grep -v proc") == ""
    await enter(acs, group_id, "touch", "/tmp/end")

    async def gone():
        return "sleep 98761" not in await enter(acs, group_id, "sh", "-c", seen, container="other")

    await eventually(gone)
    group = await acs.group(group_id)
    assert (state(group)["ExitCode"], state(group, 1)["State"]) == (3, "Running")


# --- streams ---


@pytest.mark.parametrize("words", [["cat"], ["sh"]])
async def test_a_container_with_standard_input_waits_for_it(acs, words):
    command = {f"Container__1__Command__{n}": word for n, word in enumerate(words, 1)}
    group_id = await create(acs, **command, Container__1__Stdin=True, TerminationGracePeriodSeconds=1)
    await acs.until(group_id, "Running")
    await enter(acs, group_id, "sh", "-c", "sleep 0.3")
    assert (await acs.group(group_id))["Status"] == "Running"
    assert (await finish(acs, name="without", **command))[0]["Status"] == "Succeeded"


@needs_sandbox
async def test_a_container_with_a_terminal_has_one(acs):
    more = {"Container__1__Tty": True, "Container__1__Stdin": True, "Container__1__StdinOnce": True}
    _, log = await finish(acs, **shell("tty; test -t 0 && test -t 1 && echo all; echo $TERM"), **more)
    assert log.replace("\r\n", "\n") == "/dev/pts/0\nall\nxterm\n"


# --- programs that cannot be run ---

RUNC = 'OCI runtime exec failed: exec failed: unable to start container process: exec: "'
MISSING = [
    ("no-such-program", 'no-such-program": executable file not found in $PATH'),
    ("/no/such", '/no/such": stat /no/such: no such file or directory'),
    ("/etc/passwd", '/etc/passwd": permission denied'),
    ("/tmp", '/tmp": permission denied'),
]


@needs_sandbox
@pytest.mark.parametrize(("name", "said"), MISSING)
async def test_a_program_that_cannot_be_run_by_exec(acs, name, said):
    group_id = await create(acs, **shell(HOLDS))
    await acs.until_log(group_id, "up")
    with pytest.raises(ServerException) as caught:
        await acs.action(
            "ExecContainerCommand",
            ContainerGroupId=group_id,
            ContainerName="main",
            Command=json.dumps([name]),
            Sync=True,
            Stdin=False,
        )
    assert f"{RUNC}{said}" in caught.value.get_error_msg()


@needs_sandbox
@pytest.mark.parametrize(("name", "said"), MISSING)
async def test_a_program_that_cannot_be_run_by_a_container(acs, name, said):
    group, _ = await finish(acs, Container__1__Command__1=name)
    ended = state(group)
    assert (ended["ExitCode"], ended["Reason"]) == (128, "StartError")
    assert ended["Message"] == (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f'runc create failed: unable to start container process: exec: "{said}: unknown'
    )


@needs_sandbox
@pytest.mark.parametrize(("more", "home"), [({}, "/root"), ({"Container__1__SecurityContext__RunAsUser": "4242"}, "/")])
async def test_home_is_the_user_s(acs, more, home):
    assert await both(acs, "echo $HOME", **more) == (f"{home}\n", f"{home}\n")


def copy_program(root, program, *, mode):
    for path in [program, *re.findall(r"/\S+", subprocess.check_output(["ldd", program], text=True))]:
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / program[1:]).chmod(mode)


@needs_namespaces_of_root
async def test_a_set_uid_program_is_run_as_its_owner(acs, tmp_path):
    if os.statvfs(tmp_path).f_flag & os.ST_NOSUID:
        pytest.skip("temporary files are on a nosuid mount here; name another folder: TMPDIR=/var/tmp")
    copy_program(tmp_path / "root", shutil.which("id"), mode=0o4755)
    words = {"Container__1__Command__1": shutil.which("id")}
    group, log = await finish(acs, image="rooted", **words, **USER)
    assert "uid=1000" in log, group
    assert "euid=0" in log


async def test_an_image_whose_program_this_machine_lacks_says_so(start, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    acs = await client(start, tmp_path)
    group, _ = await finish(acs, image="nginx:1.27")
    assert "this machine has no nginx" in state(group)["Message"]
    assert "apt-get install nginx" in state(group)["Message"]
    assert "Pulled" in [event["Reason"] for event in group["Events"]]


def test_all_images_are_known_whatever_this_machine_has(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert {image.name for image in images.built_in(tmp_path)} >= {"perl", "busybox", "pause", "nginx", "python"}


# --- limits and settings ---

TAKES = "import sys; kept = bytearray(400 << 20); print('has', len(kept))"


def python(script):
    return {f"Container__1__Command__{n}": word for n, word in enumerate(["python3", "-c", script], 1)}


def has_control_groups():
    try:
        Memory().close()
    except OSError:
        return False
    return True


LITTLE = {"Container__1__Cpu": 0.25, "Container__1__Memory": 0.2}
needs_control_groups = pytest.mark.skipif(
    not has_control_groups(), reason="this user may make no control groups of memory; that takes root"
)


@needs_control_groups
async def test_who_takes_more_memory_than_its_limit_is_killed(acs):
    group, log = await finish(acs, image="python", **python(TAKES), **LITTLE)
    assert (state(group)["ExitCode"], state(group)["Reason"], log) == (137, "OOMKilled", "")


@needs_control_groups
async def test_a_child_that_is_killed_for_memory_is_the_container_s_reason(acs):
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TAKES!r}]); print('done')"
    group, log = await finish(acs, image="python", **python(script), **LITTLE)
    assert (state(group)["ExitCode"], state(group)["Reason"], log) == (0, "OOMKilled", "done\n")


@needs_control_groups
async def test_what_enters_counts_too(acs):
    group_id = await create(acs, image="python", **shell(HOLDS), **LITTLE)
    await acs.until_log(group_id, "up")
    group = acs.cloud.service.store.get(group_id)
    result = await acs.cloud.service.runtime.exec(
        group, group.container("main"), ["python3", "-c", TAKES], timeout_s=20
    )
    assert (result.code, result.output) == (137, b"")


async def test_where_there_are_no_control_groups_what_is_allocated_is_limited(start, tmp_path):
    acs = await client(start, tmp_path, control_groups=False)
    group, log = await finish(acs, image="python", **python(TAKES), **LITTLE)
    assert state(group)["ExitCode"] == 1
    assert "MemoryError" in log


def settings(**values):
    found = {}
    for number, (name, value) in enumerate(values.items(), 1):
        base = f"HostSecurityContext__Sysctl__{number}__"
        found |= {f"{base}Name": name.replace("__", "."), f"{base}Value": value}
    return found


def this_machine_s(setting):
    return Path("/proc/sys", setting).read_text()


@needs_namespaces_of_root
async def test_kernel_settings_are_made_for_the_container_alone(acs):
    before = this_machine_s("kernel/msgmax")
    first, entered = await both(acs, "cat /proc/sys/kernel/msgmax", **settings(kernel__msgmax="8191"))
    assert first == entered == "8191\n"
    assert this_machine_s("kernel/msgmax") == before


@needs_namespaces_of_root
@pytest.mark.parametrize(
    ("name", "value"), [("kernel__msgmax", "many"), ("net__core__somaxconn", "-5"), ("kernel__shmnope", "1")]
)
async def test_a_kernel_setting_that_cannot_be_is_told(acs, name, value):
    group, _ = await finish(acs, **shell("true"), **settings(**{name: value}))
    assert (state(group)["ExitCode"], state(group)["Reason"]) == (128, "StartError")
    assert name.replace("__", ".") in state(group)["Message"]


async def test_containers_start_again_when_the_spawner_has_ended(acs):
    assert (await finish(acs, **shell("true")))[0]["Status"] == "Succeeded"
    runtime = acs.cloud.service.runtime
    group_id = await create(acs, name="survivor", **shell(HOLDS))
    await acs.until_log(group_id, "up")
    os.kill(runtime._launcher._spawner.pid, signal.SIGKILL)
    assert (await finish(acs, name="next", **shell("true")))[0]["Status"] == "Succeeded"
    assert (await acs.group(group_id))["Status"] == "Running"
