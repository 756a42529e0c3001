"""The process runtime: commands really run, in their own view, and really end."""

import asyncio
import base64
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from aliyunsdkcore.acs_exception.exceptions import ServerException

from fakes.cloud import isolation
from fakes.cloud.launcher import Launcher
from tests.fakes.cloud.sdk import Acs, eventually

IMAGES = """
[[image]]
name = "sh"
command = ["sh", "-c", "echo default command"]
env = {{ FROM_IMAGE = "yes", BOTH = "image" }}
pull_s = 0

[[image]]
name = "entry"
entrypoint = ["echo", "entry"]
command = ["default"]
pull_s = 0

[[image]]
name = "rooted"
root = "{root}"
command = ["/bin/hello"]
pull_s = 0

[[image]]
name = "library"
env = {{ LIB = "/nowhere:{root}/lib" }}
pull_s = 0

[[image]]
name = "private"
fail = "401 Unauthorized"
pull_s = 0
"""


async def chosen(folder, **options):
    launcher = Launcher()
    try:
        return await isolation.choose(launcher, Path(folder), **{"sandbox": True, **options})
    finally:
        launcher.close()


def _trial():
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(chosen(folder))


HERE = _trial()
HAS_SANDBOX = HERE.is_sandboxed
needs_sandbox = pytest.mark.skipif(
    not HAS_SANDBOX,
    reason=f"{HERE.why_plain}; run as root, or let users have user namespaces: sysctl user.max_user_namespaces=10000 "
    "kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0, those that there are",
)
# Without namespaces of its own a program is this user's, and no process 1, which alone outlives a SIGTERM unhandled.
HOME = "/root" if HAS_SANDBOX else os.path.expanduser("~")  # noqa: PTH111
UNHANDLED = 137 if HAS_SANDBOX else 143


@pytest.fixture
async def acs(start, tmp_path):
    (tmp_path / "bin").mkdir()
    cloud = await start(runtime="process", images=IMAGES.format(root=tmp_path), state_dir=tmp_path / "state")
    client = Acs(cloud.endpoint)
    client.cloud = cloud
    return client


def shell(script, **more):
    return {
        "Container__1__Command__1": "sh",
        "Container__1__Command__2": "-c",
        "Container__1__Command__3": script,
        **more,
    }


async def create(acs, *, image="sh", name="default-job", policy="Never", **parameters):
    base = {"ContainerGroupName": name, "RestartPolicy": policy}
    base |= {"Container__1__Name": "main", "Container__1__Image": image}
    return (await acs.action("CreateContainerGroup", **base, body=None, **parameters))["ContainerGroupId"]


async def finish(acs, **parameters):
    """Run a group to its end; the group and its log."""
    group_id = await create(acs, **parameters)
    group = await acs.until(group_id, "Succeeded", "Failed")
    return group, await acs.log(group_id)


def state(group, number=0):
    return group["Containers"][number]["CurrentState"]


def config_files(path, **files):
    volume = {"Volume__1__Name": "cfg", "Volume__1__Type": "ConfigFileVolume"}
    for number, (name, text) in enumerate(files.items(), 1):
        base = f"Volume__1__ConfigFileVolume__ConfigFileToPath__{number}__"
        volume[f"{base}Path"] = name
        volume[f"{base}Content"] = base64.b64encode(text.encode()).decode()
    return {**volume, "Container__1__VolumeMount__1__Name": "cfg", "Container__1__VolumeMount__1__MountPath": path}


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [("exit 0", 0, "Succeeded"), ("exit 42", 42, "Failed"), ("sh -c 'kill -SEGV $$'; exit $?", 139, "Failed")],
)
async def test_exit_codes(acs, script, code, status):
    group, _ = await finish(acs, **shell(script))
    assert (group["Status"], state(group)["ExitCode"]) == (status, code)


async def test_events_of_a_plain_pod(acs):
    group, _ = await finish(
        acs, **shell("true"), **config_files("/var/run/secrets/kubernetes.io/serviceaccount", token="t")
    )
    assert [event["Reason"] for event in group["Events"]] == [
        "SuccessfulMountVolume",
        "Pulling",
        "Pulled",
        "Created",
        "Started",
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"image": "sh"}, "default command\n", id="the image's command"),
        pytest.param({"image": "entry"}, "entry default\n", id="entrypoint and command"),
        pytest.param({"image": "entry", "Container__1__Arg__1": "arg"}, "entry arg\n", id="arguments"),
        pytest.param(
            {"image": "entry", "Container__1__Command__1": "pwd"}, "/\n", id="command alone drops the image's"
        ),
        pytest.param(
            {"image": "docker.io/library/entry:1.2", "Container__1__WorkingDir": "/usr"},
            "entry default\n",
            id="long name",
        ),
    ],
)
async def test_what_is_run(acs, parameters, expected):
    assert (await finish(acs, **parameters))[1] == expected


async def test_the_environment_is_the_container_s_and_the_image_s_only(acs):
    os.environ["OF_THE_FAKE"] = "secret"
    variables = {
        "Container__1__EnvironmentVar__1__Key": "BOTH",
        "Container__1__EnvironmentVar__1__Value": "container",
        "Container__1__EnvironmentVar__2__Key": "IP",
        "Container__1__EnvironmentVar__2__FieldRef__FieldPath": "status.podIP",
        "Container__1__EnvironmentVar__3__Key": "EMPTY",
        "Container__1__EnvironmentVar__3__Value": "",
    }
    group, log = await finish(acs, **shell("env"), **variables)
    found = dict(line.split("=", 1) for line in log.splitlines())
    assert found["BOTH"] == "container"
    assert found["IP"] == group["IntranetIp"]
    assert found["HOSTNAME"] == "default-job"
    assert set(found) == {"PATH", "HOSTNAME", "FROM_IMAGE", "BOTH", "IP", "EMPTY", "PWD", "HOME"}
    assert found["HOME"] == HOME


@needs_sandbox
@pytest.mark.parametrize("path", ["/var/run/secrets/kubernetes.io/serviceaccount", "/etc/new/deep", "/opt", "/tmp/x"])
async def test_files_are_at_their_mount_paths_and_the_rest_is_still_there(acs, path):
    script = f"cat {path}/a {path}/sub/b; ls /etc/passwd /usr/bin/env; touch {path}/c || echo read-only"
    parameters = config_files(path, a="A\n", **{"sub/b": "B\n"})
    _, log = await finish(acs, **shell(script), **parameters)
    assert [line for line in log.splitlines() if "touch" not in line] == [
        "A",
        "B",
        "/etc/passwd",
        "/usr/bin/env",
        "read-only",
    ]
    assert not exists("/etc/new")


@needs_sandbox
async def test_one_file_by_sub_path_over_a_file_of_the_root(acs):
    parameters = config_files("/etc/passwd", a="mine\n", b="other\n")
    parameters["Container__1__VolumeMount__1__SubPath"] = "a"
    _, log = await finish(acs, **shell("cat /etc/passwd; ls /etc/group"), **parameters)
    assert log == "mine\n/etc/group\n"


@needs_sandbox
async def test_modes_of_files(acs):
    parameters = config_files("/cfg", a="A", b="B")
    parameters["Volume__1__ConfigFileVolume__DefaultMode"] = "0640"
    parameters["Volume__1__ConfigFileVolume__ConfigFileToPath__2__Mode"] = "0755"
    _, log = await finish(acs, **shell("stat -Lc %a /cfg/a /cfg/b"), **parameters)
    assert log == "640\n755\n"


@needs_sandbox
async def test_an_empty_dir_is_shared_and_init_containers_come_first(acs):
    volume = {"Volume__1__Name": "s", "Volume__1__Type": "EmptyDirVolume"}
    init = {"InitContainer__1__Name": "init", "InitContainer__1__Image": "sh"}
    init |= {f"InitContainer__1__Command__{n}": word for n, word in enumerate(["sh", "-c", "echo made > /s/x"], 1)}
    mounts = {}
    for prefix in ("InitContainer__1", "Container__1"):
        mounts |= {f"{prefix}__VolumeMount__1__Name": "s", f"{prefix}__VolumeMount__1__MountPath": "/s"}
    group, log = await finish(acs, **shell("cat /s/x; echo more > /s/y && ls /s"), **volume, **init, **mounts)
    assert log == "made\nx\ny\n"
    assert group["InitContainers"][0]["CurrentState"]["ExitCode"] == 0


@needs_sandbox
async def test_own_processes_tmp_host_name_and_directory(acs):
    script = "echo $$; ls /proc | grep -c '^[0-9]'; ls -A /tmp; hostname; pwd; touch /top && echo writable"
    more = {"Container__1__WorkingDir": "/work/dir", "HostName": "box"}
    _, log = await finish(acs, **shell(script), **more)
    pid, processes, *rest = log.splitlines()
    assert int(pid) < 10
    assert int(processes) < 10
    assert rest == ["box", "/work/dir", "writable"]


@needs_sandbox
async def test_user_hosts_and_resolver(acs):
    more = {
        "Container__1__SecurityContext__RunAsUser": "1000",
        "HostAliase__1__Ip": "10.1.2.3",
        "HostAliase__1__Hostname__1": "db",
        "DnsPolicy": "None",
        "DnsConfig__NameServer__1": "10.96.0.10",
        "DnsConfig__Search__1": "svc.local",
        "DnsConfig__Option__1__Name": "ndots",
        "DnsConfig__Option__1__Value": "5",
    }
    _, log = await finish(acs, **shell("id -u; grep db /etc/hosts; cat /etc/resolv.conf"), **more)
    assert log == "1000\n10.1.2.3\tdb\nnameserver 10.96.0.10\nsearch svc.local\noptions ndots:5\n"


@needs_sandbox
async def test_a_read_only_root(acs):
    more = {"Container__1__SecurityContext__ReadOnlyRootFilesystem": "true"}
    _, log = await finish(acs, **shell("touch /x || echo refused; touch /tmp/x && echo tmp"), **more)
    assert log.splitlines()[-2:] == ["refused", "tmp"]


def exists(path):
    return Path(path).exists()


def copy_shell(root):
    """Make a root with nothing but a shell and its libraries."""
    libraries = re.findall(r"/\S+", subprocess.check_output(["ldd", "/bin/sh"], text=True))
    for source in ["/bin/sh", *libraries]:
        (root / source[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / source[1:])


@needs_sandbox
async def test_an_image_with_its_own_root(acs, tmp_path):
    copy_shell(tmp_path)
    hello = tmp_path / "bin" / "hello"
    hello.write_text("#!/bin/sh\nread line < /own; echo $line; test -e /usr/bin/env || echo no host\n")
    hello.chmod(0o755)
    (tmp_path / "own").write_text("mine\n")
    assert (await finish(acs, image="rooted"))[1] == "mine\nno host\n"


async def test_a_program_that_is_not_there_never_starts(acs):
    group, _ = await finish(acs, Container__1__Command__1="no-such-program")
    ended = state(group)
    assert group["Status"] == "Failed"
    if HAS_SANDBOX:
        assert (ended["ExitCode"], ended["Reason"], ended["StartTime"]) == (128, "StartError", "")
        assert 'exec: "no-such-program"' in ended["Message"]
        assert "Started" not in [event["Reason"] for event in group["Events"]]


@pytest.mark.parametrize(("image", "text"), [("nowhere.example.com/x:1", "not found"), ("private", "401 Unauthorized")])
async def test_an_image_that_cannot_be_pulled(acs, image, text):
    group_id = await create(acs, image=image)
    group = await acs.until_container(group_id, Reason="ImagePullBackOff")
    assert group["Status"] == "Pending"
    assert text in state(group)["Message"]
    assert {"Failed", "BackOff"} <= {event["Reason"] for event in group["Events"]}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exec sleep 1000", UNHANDLED, id="no handler, which a process 1 is not ended without"),
        pytest.param("trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.05; done", 5, id="handler"),
        pytest.param("trap '' TERM; echo up; while :; do sleep 0.05; done", 137, id="deaf"),
    ],
)
async def test_termination(acs, script, code):
    group_id = await create(acs, **shell(script), TerminationGracePeriodSeconds=1)
    await acs.until(group_id, "Running")
    if "up" in script:
        await acs.until_log(group_id, "up")
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    group = await acs.until_container(group_id, State="Terminated")
    assert (group["Status"], state(group)["ExitCode"]) == ("Terminating", code)
    assert "Killing" in [event["Reason"] for event in group["Events"]]
    await acs.until(group_id, None)


async def test_restarts_and_the_log_of_the_run_before(acs):
    group_id = await create(acs, policy="OnFailure", **shell("echo run $RANDOM $$; date +%N; exit 1"))
    group = await acs.until_container(group_id, Reason="CrashLoopBackOff")
    container = group["Containers"][0]
    assert (container["RestartCount"], container["PreviousState"]["ExitCode"]) == (1, 1)
    assert await acs.log(group_id, LastTime=True) == await acs.log(group_id) != ""


async def test_no_run_before_the_first(acs):
    group_id = await create(acs, **shell("exec sleep 100"))
    await acs.until(group_id, "Running")
    with pytest.raises(ServerException, match="no previous run"):
        await acs.log(group_id, LastTime=True)


async def test_a_log_grows_while_the_process_writes_and_shows_whole_lines(acs):
    script = "echo one; printf half; sleep 0.4; echo ' whole'; sleep 0.4; printf end"
    group_id = await create(acs, **shell(script))
    assert await acs.until_log(group_id, "one") == "one\n"
    assert await acs.until_log(group_id, "whole") == "one\nhalf whole\n"
    await acs.until(group_id, "Succeeded")
    assert await acs.log(group_id) == "one\nhalf whole\nend"


async def test_log_windows(acs):
    group_id = await create(acs, **shell("seq 1 5000; echo oops >&2"))
    await acs.until(group_id, "Succeeded")
    assert len((await acs.log(group_id)).splitlines()) == 500
    assert (await acs.log(group_id, Tail=2)).splitlines()[-1] in ("oops", "5000")
    stamped = (await acs.log(group_id, Tail=2000, Timestamps=True)).splitlines()
    assert len(stamped) == 2000
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in stamped)
    since = await acs.log(group_id, Tail=2000, StartTime=stamped[-3].split(" ")[0])
    assert len(since.splitlines()) == 3
    for bad in ({"Tail": 2001}, {"Tail": 0}, {"LimitBytes": (1 << 20) + 1}, {"StartTime": "noon"}):
        with pytest.raises(ServerException, match="InvalidParameter"):
            await acs.log(group_id, **bad)


async def test_update_of_config_files_reaches_the_running_container(acs):
    script = "while ! grep -q new /cfg/a; do sleep 0.05; done; echo seen; exec sleep 100"
    group_id = await create(acs, policy="Always", **shell(script), **config_files("/cfg", a="old"))
    await acs.until(group_id, "Running")
    files = config_files("/cfg", a="new")
    volume = {key: value for key, value in files.items() if key.startswith("Volume")}
    await acs.action("UpdateContainerGroup", ContainerGroupId=group_id, UpdateType="IncrementalUpdate", **volume)
    await acs.until_log(group_id, "seen")
    assert (await acs.until(group_id, "Running"))["Containers"][0]["RestartCount"] == 0


@needs_sandbox
async def test_an_update_changes_whole_volumes_and_leaves_single_files_mounted_alone(acs):
    script = "while ! test -e /cfg/c; do sleep 0.05; done; echo $(ls /cfg) $(cat /cfg/a) $(cat /one); exec sleep 100"
    single = {"Name": "cfg", "MountPath": "/one", "SubPath": "a"}
    mounted = {f"Container__1__VolumeMount__2__{key}": value for key, value in single.items()}
    group_id = await create(acs, policy="Always", **shell(script), **config_files("/cfg", a="1", b="1"), **mounted)
    await acs.until(group_id, "Running")
    new = {key: value for key, value in config_files("/cfg", a="2", c="2").items() if key.startswith("Volume")}
    await acs.action("UpdateContainerGroup", ContainerGroupId=group_id, UpdateType="IncrementalUpdate", **new)
    await acs.until_log(group_id, "a c 2 1")
    assert (await acs.until(group_id, "Running"))["Containers"][0]["RestartCount"] == 0


async def test_restart_clears_the_empty_dir(acs):
    volume = {"Volume__1__Name": "s", "Volume__1__Type": "EmptyDirVolume"}
    mount = {"Container__1__VolumeMount__1__Name": "s", "Container__1__VolumeMount__1__MountPath": "/s"}
    group_id = await create(
        acs,
        policy="Always",
        **shell("ls /s; touch /s/x; echo up; exec sleep 100"),
        **volume,
        **mount,
        TerminationGracePeriodSeconds=1,
    )
    await acs.until_log(group_id, "up")
    await acs.action("RestartContainerGroup", ContainerGroupId=group_id)

    async def restarted():
        return (await acs.group(group_id))["Containers"][0]["RestartCount"] == 1

    await eventually(restarted)
    group = await acs.until(group_id, "Running")
    assert await acs.until_log(group_id, "up") == "up\n"
    assert group["Containers"][0]["PreviousState"]["ExitCode"] == UNHANDLED


async def test_real_figures(acs):
    group_id = await create(acs, **shell("while :; do :; done"))
    await acs.until(group_id, "Running")
    async with asyncio.timeout(60):
        while True:
            answer = await acs.action("DescribeContainerGroupMetric", ContainerGroupId=group_id)
            record = (answer["Records"] or [{"CPU": {"UsageCoreNanoSeconds": 0}}])[-1]
            if record["CPU"]["UsageCoreNanoSeconds"] > 10**8:
                break
            await asyncio.sleep(0.2)
    assert record["Memory"]["WorkingSet"] > 100_000
    assert record["Containers"][0]["CPU"]["UsageNanoCores"] > 0


async def test_a_burst_is_carried(acs):
    """A hundred groups at once; each runs and tells its own name."""
    ids = await asyncio.gather(*(create(acs, name=f"job-{n}", **shell(f"echo job-{n}")) for n in range(100)))
    for group_id in ids:
        await acs.until(group_id, "Succeeded", within=90)
    logs = await asyncio.gather(*(acs.log(group_id) for group_id in ids))
    assert logs == [f"job-{n}\n" for n in range(100)]


async def test_plain_processes_without_a_sandbox(start, tmp_path):
    cloud = await start(
        runtime="process", sandbox=False, images=IMAGES.format(root=tmp_path), state_dir=tmp_path / "state"
    )
    acs = Acs(cloud.endpoint)
    group, log = await finish(acs, **shell("cat /cfg/a; echo $X; exit 3"), **config_files("/cfg", a="A\n"))
    assert (log, state(group)["ExitCode"]) == ("A\n\n", 3)
    group_id = await create(acs, **shell("sleep 1000 & echo up; exec sleep 1001"))
    await acs.until_log(group_id, "up")
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    group = await acs.until_container(group_id, State="Terminated")
    assert state(group)["ExitCode"] == 143


def command_probe(kind, script, **more):
    probe = {f"Container__1__{kind}Probe__Exec__Command__{n}": word for n, word in enumerate(["sh", "-c", script], 1)}
    probe |= {f"Container__1__{kind}Probe__{name}": value for name, value in {"PeriodSeconds": 1, **more}.items()}
    return probe


async def ready(acs, group_id):
    return (await acs.group(group_id))["Containers"][0]["Ready"]


@needs_sandbox
async def test_readiness_by_command(acs):
    group_id = await create(
        acs, **shell("sleep 1; touch /tmp/ready; exec sleep 100"), **command_probe("Readiness", "test -e /tmp/ready")
    )
    await acs.until(group_id, "Running")
    assert not await ready(acs, group_id)
    await eventually(lambda: ready(acs, group_id))
    assert "Unhealthy" in [event["Reason"] for event in (await acs.group(group_id))["Events"]]


@needs_sandbox
async def test_liveness_restarts(acs):
    more = command_probe("Liveness", "test ! -e /tmp/sick", FailureThreshold=1)
    script = "trap 'exit 7' TERM; sleep 0.5; touch /tmp/sick; while :; do sleep 0.05; done"
    group_id = await create(acs, policy="Always", **shell(script), **more)

    async def restarted():
        return (await acs.group(group_id))["Containers"][0]["RestartCount"] > 0

    await eventually(restarted)
    assert (await acs.group(group_id))["Containers"][0]["PreviousState"]["ExitCode"] == 7


@pytest.mark.parametrize("kind", ["TcpSocket__Port", "HttpGet__Port"])
async def test_readiness_by_port(acs, kind, unused_tcp_port_of_nobody):
    port = unused_tcp_port_of_nobody
    serve = f"import http.server as h; h.HTTPServer(('', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    words = {"Container__1__Command__1": "python3", "Container__1__Command__2": "-c", "Container__1__Command__3": serve}
    probe = {f"Container__1__ReadinessProbe__{kind}": port, "Container__1__ReadinessProbe__PeriodSeconds": 1}
    group_id = await create(acs, image="python:3.11", **words, **probe)
    await eventually(lambda: ready(acs, group_id), within=90)


@pytest.fixture
def unused_tcp_port_of_nobody():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@needs_sandbox
@pytest.mark.parametrize("first", ["echo begun > /tmp/x", "sleep 1; echo begun > /tmp/x"])
async def test_hooks_one_after_the_other(acs, first):
    hooks = {}
    for name, script in (("PostStart", first), ("PreStop", "echo bye >> /tmp/x")):
        for number, word in enumerate(["sh", "-c", script], 1):
            hooks[f"Container__1__Lifecycle{name}HandlerExec__{number}"] = word
    script = "trap 'cat /tmp/x; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    group_id = await create(acs, **shell(script), **hooks)
    await acs.until_log(group_id, "up")
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    await acs.until_container(group_id, State="Terminated")
    assert await acs.log(group_id) == "up\nbegun\nbye\n"


@needs_sandbox
async def test_a_hook_after_the_start_that_never_ends_costs_a_stop_no_more_than_its_grace(acs):
    words = {f"Container__1__LifecyclePostStartHandlerExec__{n}": w for n, w in enumerate(["sleep", "1000"], 1)}
    script = "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    group_id = await create(acs, **shell(script), **words, TerminationGracePeriodSeconds=2)
    await acs.until_log(group_id, "up")
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    await acs.until_container(group_id, State="Terminated")


async def test_hooks_by_http_and_port(acs, unused_tcp_port_of_nobody):
    """The container writes down who came: the one hook with its header, the other only as a connection."""
    port = unused_tcp_port_of_nobody
    listen = (
        "import socket, sys\n"
        f"server = socket.create_server(('', {port}))\n"
        "while True:\n"
        "    peer, _ = server.accept(); text = peer.recv(4096).decode()\n"
        "    print([line for line in text.splitlines() if line.startswith(('GET', 'X-A'))], flush=True)\n"
        "    peer.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n'); peer.close()\n"
    )
    prefix = "Container__1__Lifecycle"
    hooks = {
        f"{prefix}PreStopHandlerHttpGetPort": port,
        f"{prefix}PreStopHandlerHttpGetPath": "/bye",
        f"{prefix}PreStopHandlerHttpGetHttpHeader__1__Name": "X-A",
        f"{prefix}PreStopHandlerHttpGetHttpHeader__1__Value": "1",
    }
    words = {f"Container__1__Command__{n}": word for n, word in enumerate(["python3", "-c", listen], 1)}
    probe = {"Container__1__ReadinessProbe__TcpSocket__Port": port, "Container__1__ReadinessProbe__PeriodSeconds": 1}
    group_id = await create(acs, image="python:3.11", **words, **hooks, **probe, TerminationGracePeriodSeconds=2)
    await eventually(lambda: ready(acs, group_id), within=90)
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    await acs.until_container(group_id, State="Terminated")
    assert "['GET /bye HTTP/1.0', 'X-A: 1']" in await acs.log(group_id)


@pytest.mark.parametrize(
    "hook",
    [
        {"LifecyclePreStopHandlerHttpGetPort": 0},
        {"LifecyclePreStopHandlerHttpGetPath": "/"},
        {"LifecyclePreStopHandlerTcpSocketPort": 65536},
        {"LifecyclePreStopHandlerTcpSocketPort": 80, "LifecyclePreStopHandlerExec__1": "true"},
        {"LifecyclePostStartHandlerHttpGetPort": 80, "LifecyclePostStartHandlerHttpGetScheme": "FTP"},
    ],
)
async def test_a_hook_that_says_nothing_clear_is_refused(acs, hook):
    with pytest.raises(ServerException, match="Lifecycle"):
        await create(acs, **{f"Container__1__{name}": value for name, value in hook.items()})


@needs_sandbox
async def test_the_python_image_has_both_names(acs):
    words = {
        "Container__1__Command__1": "python",
        "Container__1__Command__2": "-c",
        "Container__1__Command__3": "print(6*7)",
    }
    assert (await finish(acs, image="python", **words))[1] == "42\n"


@needs_sandbox
async def test_no_file_of_the_runtime_is_open_inside(acs):
    _, log = await finish(acs, **shell("ls /proc/self/fd | tr '\\n' ' '"))
    assert log == "0 1 2 3 "


@needs_sandbox
async def test_what_an_image_s_variables_name_is_seen_even_below_tmp(acs, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "module").write_text("here\n")
    (tmp_path / "other").write_text("hidden\n")
    _, log = await finish(acs, image="library", **shell("cat ${LIB#*:}/module; ls ${LIB#*:}/../other || echo not seen"))
    assert log.startswith("here\n")
    assert log.endswith("not seen\n")


def mounts_below(folder):
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {folder}/" in line]


@needs_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make file systems")
async def test_a_volume_in_memory_has_its_size_and_survives_no_end(acs, tmp_path):
    volume = {"Volume__1__Name": "m", "Volume__1__Type": "EmptyDirVolume"}
    volume |= {"Volume__1__EmptyDirVolume__Medium": "Memory", "Volume__1__EmptyDirVolume__SizeLimit": "8Mi"}
    mount = {"Container__1__VolumeMount__1__Name": "m", "Container__1__VolumeMount__1__MountPath": "/m"}
    script = "stat -f -c '%T %b %S' /m; stat -c %a /m; touch /m/x; exec sleep 100"
    group_id = await create(acs, **shell(script), **volume, **mount, TerminationGracePeriodSeconds=1)

    kind, mode = (await acs.until_log(group_id, "777\n")).splitlines()
    assert mounts_below(tmp_path)
    assert kind.split()[0] == "tmpfs"
    assert int(kind.split()[1]) * int(kind.split()[2]) == 8 << 20
    assert mode == "777"
    await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)

    async def gone():
        return not mounts_below(tmp_path)

    await eventually(gone, within=90)
