"""Networks of the groups' own: addresses that answer, ports that do not collide, and nothing left of them.

Where this user may make none the same tests hold the fake to this machine's network, which is then what groups have.
"""

import asyncio
import ipaddress
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from fakes.cloud import netlink
from fakes.cloud.lifecycle import Settings
from fakes.cloud.network import Network
from tests.fakes.cloud.sdk import Acs, eventually
from tests.fakes.cloud.test_cli import none_left, program
from tests.fakes.cloud.test_process import command_probe, create, needs_sandbox, shell
from tests.thorough import THOROUGH, thorough


def may():
    """Whether this user may make namespaces and links."""
    capabilities = int(re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)
    unshared = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    return unshared and bool(capabilities >> CAP_NET_ADMIN & 1)


CAP_NET_ADMIN = 12
MAY = may()
OUR_NAMESPACE = str(Path("/proc/self/ns/net").readlink())
IMAGES = '[[image]]\nname = "sh"\npull_s = 0\n'
ANSWER = """
import http.server, os, sys
class Name(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/end":
            os._exit(0)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[2].encode())
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
try:
    server = http.server.HTTPServer(("", int(sys.argv[1])), Name)
except OSError as error:
    sys.exit(f"taken: {error}")
print("up", flush=True)
server.serve_forever()
"""
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"


@pytest.fixture
async def acs(start, mode):
    cloud = await start(runtime="process", images=IMAGES, network=mode)
    client = Acs(cloud.endpoint)
    client.cloud = cloud
    client.linked = cloud.network is not None
    assert client.linked == (MAY and mode == "auto")
    return client


@pytest.fixture(params=["auto", "host"])
def mode(request):
    return request.param


@pytest.fixture
def port():
    """One that is free on this machine too, for groups that share its network."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def python(script, *arguments, container="Container__1"):
    words = ["python3", "-c", script, *map(str, arguments)]
    return {f"{container}__Command__{number}": word for number, word in enumerate(words, 1)}


async def serving(acs, name, port, **more):
    """A group that answers its name at a port, as (id, address at which it can be reached)."""
    group_id = await create(acs, image="python", name=name, **python(ANSWER, port, name), **more)
    await acs.until_log(group_id, "up")
    return group_id, (await acs.group(group_id))["IntranetIp"] if acs.linked else "127.0.0.1"


async def fetch(host, port, data=None, *, path="", within=30):
    def get():
        return urllib.request.urlopen(f"http://{host}:{port}{path}", data, timeout=within).read().decode()

    return await asyncio.to_thread(get)


async def inside(acs, group_id, *command):
    group = acs.cloud.service.store.get(group_id)
    result = await acs.cloud.service.runtime.exec(group, group.container("main"), command, timeout_s=60)
    return result.output.decode()


async def test_two_groups_may_have_the_same_port_where_each_has_its_own_network(acs, port):
    first, host = await serving(acs, "first", port)
    assert await fetch(host, port) == "first"
    if not acs.linked:
        second = await create(acs, image="python", name="second", **python(ANSWER, port, "second"))
        await acs.until(second, "Failed")
        assert "taken" in await acs.log(second)
        return
    second, other = await serving(acs, "second", port)
    assert host != other
    assert [await fetch(host, port), await fetch(other, port)] == ["first", "second"]
    assert await inside(acs, first, "python3", "-c", FETCH, f"http://{other}:{port}") == "second\n"
    assert await inside(acs, second, "python3", "-c", FETCH, f"http://127.0.0.1:{port}") == "second\n"


async def test_containers_of_a_group_share_localhost(acs, port):
    asking = f"""
import sys, time, urllib.request
while True:
    try:
        print("heard", urllib.request.urlopen("http://localhost:{port}", timeout=30).read().decode())
        sys.exit()
    except OSError:
        time.sleep(0.05)
"""
    more = {"Container__2__Name": "other", "Container__2__Image": "python"}
    group_id, _ = await serving(acs, "pair", port, **more, **python(asking, container="Container__2"))
    await acs.until_log(group_id, "heard pair", container="other")


@needs_sandbox
async def test_a_group_s_own_name_leads_to_itself(acs):
    more = {"HostName": "box", "HostAliase__1__Ip": "10.1.2.3", "HostAliase__1__Hostname__1": "db"}
    script = "hostname; cat /etc/hostname; cat /etc/hosts; getent ahostsv4 box | head -1"
    group_id = await create(acs, **shell(script), **more)
    ip = (await acs.until(group_id, "Succeeded"))["IntranetIp"]
    own = ip if acs.linked else "127.0.0.1"
    *lines, found = (await acs.log(group_id)).splitlines()
    assert found.split()[0] == own
    names = [["127.0.0.1", "localhost"], ["::1", "localhost", "ip6-localhost", "ip6-loopback"], [ip, "box"]]
    if not acs.linked:
        names = [["127.0.0.1", "localhost", "box"], names[1]]
    assert [line.split() for line in lines] == [["box"], ["box"], *names, ["10.1.2.3", "db"]]


async def test_a_group_reaches_what_listens_on_this_machine_s_addresses(acs):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        host = str(ipaddress.ip_network(acs.cloud.network.cidr)[1]) if acs.linked else "127.0.0.1"
        script = f"import socket; print(socket.create_connection(('{host}', {port}), 5).getsockname()[0])"
        group_id = await create(acs, image="python", **python(script))
        group = await acs.until(group_id, "Succeeded")
        assert await acs.log(group_id) == f"{group['IntranetIp'] if acs.linked else host}\n"


async def test_other_machines_are_out_of_reach_and_that_is_said_at_once(acs):
    """On this machine's own network the group has all its interfaces, and reaches what it reaches."""
    group_id = await create(acs, **shell("cat /proc/net/dev; exec sleep 100"))
    await acs.until_log(group_id, "lo:")
    await acs.until(group_id, "Running")
    seen = set(re.findall(r"^ *(\S+):", await acs.log(group_id), re.MULTILINE))
    if not acs.linked:
        assert seen >= {name for name in interfaces() if not name.startswith("vk")}
        return
    assert seen == {"lo", "eth0"}
    script = "import socket; socket.create_connection(('203.0.113.1', 9), 60)"
    begun = time.monotonic()
    assert "Network is unreachable" in await inside(acs, group_id, "python3", "-c", script)
    assert time.monotonic() - begun < 45, "not after the minute that it would wait"


@pytest.mark.parametrize("kind", ["TcpSocket__Port", "HttpGet__Port"])
async def test_probes_go_to_the_group_s_address(acs, kind, port):
    probe = {f"Container__1__ReadinessProbe__{kind}": port, "Container__1__ReadinessProbe__PeriodSeconds": 1}
    group_id, _ = await serving(acs, "probed", port, **probe)

    async def ready():
        return (await acs.group(group_id))["Containers"][0]["Ready"]

    await eventually(ready)


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("user", ["0", "1000"])
async def test_commands_run_in_the_network_of_their_container(start, sandbox, user, mode):
    cloud = await start(runtime="process", images=IMAGES, network=mode, sandbox=sandbox)
    acs = Acs(cloud.endpoint)
    acs.cloud = cloud
    # Not by /proc/1/fd/1: the sandbox's first process is not the container's, and closed to other users than root.
    more = command_probe("Readiness", "readlink /proc/self/ns/net > /tmp/probed; false") if sandbox else {}
    more["Container__1__SecurityContext__RunAsUser"] = user
    group_id = await create(acs, **shell("readlink /proc/self/ns/net; exec sleep 100"), **more)
    own = (await acs.until_log(group_id, "]\n")).partition("\n")[0]
    await acs.until(group_id, "Running")
    assert await inside(acs, group_id, "readlink", "/proc/self/ns/net") == f"{own}\n"
    assert (own == OUR_NAMESPACE) == (cloud.network is None)
    group = cloud.service.store.get(group_id)
    command = ["readlink", "/proc/self/ns/net"]
    process = await cloud.service.runtime.exec_stream(group, group.container("main"), command, tty=True, stdin=False)
    assert (await process.read())[1].strip() == own.encode()
    await process.wait()
    process.kill()

    async def probed():
        return await inside(acs, group_id, "cat", "/tmp/probed") == f"{own}\n"

    if sandbox:
        await eventually(probed)


async def test_traffic_is_counted(acs, port):
    group_id, host = await serving(acs, "counted", port)
    await fetch(host, port, b"x" * 300_000)

    async def counted():
        records = (await acs.action("DescribeContainerGroupMetric", ContainerGroupId=group_id))["Records"]
        figures = records[-1]["Network"]["Interfaces"][0] if records else {}
        assert figures.get("Name", "eth0") == "eth0"
        if not acs.linked:
            return figures and figures["RxBytes"] == figures["TxBytes"] == 0
        return figures and 300_000 < figures["RxBytes"] < 400_000 and 0 < figures["TxBytes"] < 100_000

    await eventually(counted)


@pytest.mark.parametrize("end", ["ends", "is deleted", "vanishes"])
async def test_a_group_s_network_goes_when_the_group(acs, end, port):
    group_id, host = await serving(acs, "short", port, TerminationGracePeriodSeconds=0)
    links = links_of(acs.cloud.network)
    assert len(links) == (1 if acs.linked else 0)
    if end == "ends":
        with pytest.raises(OSError, match="without response"):
            await fetch(host, port, path="/end")
    elif end == "is deleted":
        await acs.action("DeleteContainerGroup", ContainerGroupId=group_id)
    else:
        acs.cloud.service.lifecycle.vanish(acs.cloud.service.store.get(group_id), acs.cloud.service.timers.clock.now())

    async def gone():
        try:
            await fetch(host, port, within=1)
        except OSError:
            return not links_of(acs.cloud.network)
        return False

    await eventually(gone)


def links_of(network):
    """The names of the links at a network's bridge, as this machine lists them."""
    if network is None:
        return []
    return [name for name in interfaces() if name.startswith(f"vk{socket.if_nametoindex(network.bridge)}-")]


def interfaces():
    return {line.partition(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]}


@thorough
async def test_a_hundred_groups_begin_nearly_as_fast(start):
    """Twice each, and the better time of each, since the machine has other work."""
    many, took = 100 if THOROUGH else 40, {}
    for mode in ("host", "auto") * 2:
        cloud = await start(
            runtime="process", images=IMAGES, network=mode, rate_limits=False, settings=Settings(start_delay_s=0.0)
        )
        acs = Acs(cloud.endpoint)
        begun = time.monotonic()
        await asyncio.gather(*(create(acs, name=f"job-{n}", **shell("exec sleep 1000")) for n in range(many)))

        async def all_run(cloud=cloud):
            return all(group.status == "Running" for group in cloud.service.store)

        await eventually(all_run, within=90)
        took[mode] = min(time.monotonic() - begun, took.get(mode, 60.0))
        assert len(links_of(cloud.network)) == (many if cloud.network else 0)
        assert len({group.ip for group in cloud.service.store}) == many
    assert took["auto"] < 2 * took["host"] + 10


def own_range():
    """A network for tests that no other run of them is likely to take."""
    return f"198.18.{random.randrange(64) * 4}.0/22"


async def test_a_network_that_is_in_use_is_not_taken(start, capsys):
    cidr = own_range()
    first = await start(runtime="process", cidr=cidr)
    if first.network is None:
        assert "addresses are on paper" in capsys.readouterr().err
        with pytest.raises(OSError, match="no networks of their own"):
            await start(runtime="process", network="netns")
        return
    assert first.network.cidr == cidr
    smaller = str(next(ipaddress.ip_network(cidr).subnets(2)))
    for taken in (cidr, smaller, str(ipaddress.ip_network(cidr).supernet(3))):
        with pytest.raises(OSError, match=f"{taken} is in use"):
            await start(runtime="process", network="netns", cidr=taken)
    second = await start(runtime="process", cidr=smaller)
    assert second.network is None
    assert f"the network {smaller} is in use on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cidr", "message"), [("10.64.0.0/31", "no room"), ("fd00::/64", "not an IPv4"), ("10.64.0.1/12", "host bits")]
)
async def test_a_network_that_cannot_be(start, cidr, message):
    with pytest.raises((OSError, ValueError), match=message if MAY else "no networks|host bits"):
        await start(runtime="process", network="netns", cidr=cidr)


def test_many_at_once_get_networks_apart():
    def build(_):
        try:
            return Network()
        except OSError:
            return None

    with ThreadPoolExecutor(8) as threads:
        networks = [network for network in threads.map(build, range(16)) if network]
    for network in networks:
        network.close()
    ranges = [ipaddress.ip_network(network.cidr) for network in networks]
    assert len(ranges) == (16 if MAY else 0)
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)


def of(pid):
    """What there is of the networks of a process: bridges, and rules by the names of their bridges."""
    with closing(netlink.Kernel()) as kernel:
        there = [*interfaces(), *kernel.refusals()] if MAY else interfaces()
    return [name for name in there if re.fullmatch(rf"vkbr{pid}(-\d+)?", name)]


def namespaces():
    """Those in which something runs."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(entry.readlink()))
        except OSError:
            continue
    return found


async def test_an_end_in_the_middle_of_a_burst(start):
    """The fixture ends the cloud, and holds us to what is left."""
    cloud = await start(runtime="process", images=IMAGES, rate_limits=False, settings=Settings(start_delay_s=0.0))
    acs = Acs(cloud.endpoint)
    await asyncio.gather(*(create(acs, name=f"job-{n}", **shell("exec sleep 1000")) for n in range(40)))

    async def some_run():
        return any(group.status == "Running" for group in cloud.service.store)

    await eventually(some_run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_is_left_of_an_ended_fake_goes_with_the_next_start(number):
    marker = f"98767{os.getpid()}{int(number)}"
    options = ("--runtime", "process", "--start-delay", "0")
    async with program(*options) as (living, _), program(*options) as (process, endpoint):
        acs = Acs(endpoint)
        script = f"readlink /proc/self/ns/net; echo up; exec sleep {marker}"
        group_id = await create(acs, image="busybox", **shell(script))
        own = (await acs.until_log(group_id, "up")).splitlines()[0]
        assert own in namespaces()
        assert len(of(process.pid)) == (2 if MAY else 0)
        process.send_signal(number)
        await process.wait()
        await none_left(marker)
        if MAY:
            assert own not in namespaces()
            assert len(of(process.pid)) == (2 if number == signal.SIGKILL else 0)
        async with program(*options) as (third, _):
            assert not of(process.pid)
            assert len(of(living.pid)) == len(of(third.pid)) == (2 if MAY else 0)
            third.terminate()
            await third.wait()
            assert not of(third.pid)
        living.terminate()
        await living.wait()


def test_a_stranger_s_bridge_of_a_like_name_stays():
    """It lacks the alias that tells ours."""
    name = f"vkbr{os.getpid()}-77"
    if not MAY:
        with pytest.raises(OSError, match="not permitted"):
            Network()
        return
    with closing(netlink.Kernel()) as kernel:
        kernel.ask(*netlink.new_bridge(name, alias="somebody's", hardware=b"\2\0\0\0\0\1"))
        try:
            with closing(Network()):
                assert name in interfaces()
        finally:
            kernel.ask(netlink.delete_link(socket.if_nametoindex(name)))
