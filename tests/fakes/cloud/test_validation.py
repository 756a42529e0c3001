"""What CreateContainerGroup refuses, row by row, and which size a group gets."""

import base64

import pytest

from fakes.cloud.errors import ApiError
from fakes.cloud.group import SCHEDULING
from tests.fakes.cloud.world import World, flat

FILE = {"Volume__1__Name": "v", "Volume__1__Type": "ConfigFileVolume"}
ONE_FILE = {"Volume__1__ConfigFileVolume__ConfigFileToPath__1__Path": "a"}
CONTENT = "Volume__1__ConfigFileVolume__ConfigFileToPath__1__Content"
SECOND = {"Container__2__Name": "b", "Container__2__Image": "i"}


def many(prefix, count, **members):
    return {f"{prefix}__{n}__{key}": value.format(n=n) for n in range(1, count + 1) for key, value in members.items()}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"ContainerGroupName": None}, "MissingParameter", id="no name"),
        pytest.param({"ContainerGroupName": "Web"}, "InvalidParameter", id="capital in the name"),
        pytest.param({"ContainerGroupName": "-web"}, "InvalidParameter", id="name begins with a dash"),
        pytest.param({"ContainerGroupName": "w" * 129}, "InvalidParameter", id="name too long"),
        pytest.param({"RegionId": None}, "MissingParameter", id="no region"),
        pytest.param({"RegionId": "mars-1"}, "InvalidParameter.NotFound", id="unknown region"),
        pytest.param({"ZoneId": "cn-hangzhou-z"}, "InvalidParameter.NotFound", id="unknown zone"),
        pytest.param({"Container__1__Name": None}, "MissingParameter", id="container without a name"),
        pytest.param({"Container__1__Image": None}, "MissingParameter", id="container without an image"),
        pytest.param({"Container__1__Image": "i" * 256}, "InvalidParameter.LengthExceeded", id="image too long"),
        pytest.param({"RestartPolicy": "Sometimes"}, "InvalidParameter", id="restart policy"),
        pytest.param(
            {"HostSecurityContext__Sysctl__1__Name": "kernel.shm_rmid_forced"}, "InvalidParameter", id="kernel setting"
        ),
        pytest.param(
            {"SecurityContext__Sysctl__1__Name": "net.core.somaxconn"}, "InvalidParameter", id="unsafe kernel setting"
        ),
        pytest.param({"HostAliase__1__Hostname__1": "a"}, "MissingParameter", id="host without address"),
        pytest.param(
            {"HostAliase__1__Ip": "1.1.1.1"} | {f"HostAliase__1__Hostname__{n}": "a" for n in range(1, 52)},
            "InvalidParameter.LengthExceeded",
            id="51 names of a host",
        ),
        pytest.param(
            {"Container__1__SecurityContextRunAsGroup": "-1"}, "InvalidParameter.ValueExceeded", id="negative group"
        ),
        pytest.param(
            {"Container__1__SecurityContext__ReadOnlyRootFilesystem": "false"}, "InvalidParameter", id="writable root"
        ),
        pytest.param({"Container__1__TerminationMessagePath": "x"}, "InvalidParameter", id="last words"),
        pytest.param({"Container__1__TerminationMessagePolicy": "Never"}, "InvalidParameter", id="last words' policy"),
        pytest.param(SECOND | {"Container__2__Name": "web"}, "InvalidParameter.DuplicatedName", id="two of a name"),
        pytest.param(
            {"InitContainer__1__Name": "web", "InitContainer__1__Image": "i"},
            "InvalidParameter.DuplicatedName",
            id="init container of the same name",
        ),
        pytest.param(
            many("Container", 21, Name="c{n}", Image="i"), "InvalidParameter.LengthExceeded", id="21 containers"
        ),
        pytest.param(
            many("Volume", 21, Name="v{n}", Type="EmptyDirVolume"), "InvalidParameter.LengthExceeded", id="21 volumes"
        ),
        pytest.param(
            many("Volume", 2, Name="v", Type="EmptyDirVolume"),
            "InvalidParameter.DuplicatedVolumeName",
            id="two volumes",
        ),
        pytest.param({"Volume__1__Name": "v", "Volume__1__Type": "Tape"}, "InvalidParameter", id="volume type"),
        pytest.param({"Volume__1__Name": "v"}, "MissingParameter", id="volume without a type"),
        pytest.param(
            {"Volume__1__Name": "v", "Volume__1__Type": "HostPathVolume", "Volume__1__HostPathVolume__Path": "/"},
            "Forbidden.OnlyForInvitedTest",
            id="host path",
        ),
        pytest.param(FILE | ONE_FILE | {CONTENT: "%%"}, "InvalidParameter", id="content is no base64"),
        pytest.param(
            FILE | ONE_FILE | {CONTENT: base64.b64encode(bytes(32 * 1024 + 1)).decode()},
            "InvalidParameter.LengthExceeded",
            id="file over 32 KiB",
        ),
        pytest.param(
            FILE | {"Volume__1__ConfigFileVolume__ConfigFileToPath__1__Path": "../x"}, "InvalidParameter", id="path out"
        ),
        pytest.param(
            FILE | ONE_FILE | {"Volume__1__ConfigFileVolume__DefaultMode": "9"}, "InvalidParameter", id="mode"
        ),
        pytest.param(
            {"Container__1__VolumeMount__1__Name": "v", "Container__1__VolumeMount__1__MountPath": "/v"},
            "InvalidParameter",
            id="mount of no volume",
        ),
        pytest.param(
            FILE | {"Container__1__VolumeMount__1__Name": "v", "Container__1__VolumeMount__1__MountPath": "v"},
            "InvalidParameter",
            id="relative mount path",
        ),
        pytest.param({"Container__1__EnvironmentVar__1__Key": "1A"}, "InvalidParameter", id="variable name"),
        pytest.param(
            {
                "Container__1__EnvironmentVar__1__Key": "A",
                "Container__1__EnvironmentVar__1__FieldRef__FieldPath": "metadata.name",
            },
            "InvalidParameter",
            id="field path",
        ),
        pytest.param({"Container__1__Port__1__Port": "65536"}, "InvalidParameter.ValueExceeded", id="port"),
        *(
            pytest.param(
                {f"Container__1__LivenessProbe__{name}": value for name, value in probe.items()}, code, id=what
            )
            for probe, code, what in (
                ({"Exec__Command__1": "a", "TcpSocket__Port": "80"}, "InvalidParameter", "probe that asks twice"),
                ({"TcpSocket__Port": "80", "SuccessThreshold": "2"}, "InvalidParameter", "liveness after two answers"),
                ({"TcpSocket__Port": "0"}, "InvalidParameter.ValueExceeded", "probe of no port"),
                ({"HttpGet__Port": "80", "HttpGet__Scheme": "FTP"}, "InvalidParameter", "probe by ftp"),
                (
                    {"TcpSocket__Port": "80", "InitialDelaySeconds": "-1"},
                    "InvalidParameter.ValueExceeded",
                    "early probe",
                ),
                ({f"Exec__Command__{n}": "a" for n in range(1, 22)}, "InvalidParameter.LengthExceeded", "long command"),
            )
        ),
        pytest.param({"Container__1__Cpu": "x"}, "InvalidParameter", id="no number"),
        pytest.param({"Container__1__Cpu": "-1"}, "InvalidParameter.ValueExceeded", id="less than none"),
        pytest.param({"Container__1__Tty": "maybe"}, "InvalidParameter", id="no boolean"),
        pytest.param({"Container__x__Name": "web"}, "InvalidParameter", id="no number of an item"),
        pytest.param({"Cpu": "3", "Memory": "6"}, "InvalidParameter.CPU.Memory", id="no such size"),
        pytest.param({"Cpu": "128", "Memory": "256"}, "InvalidParameter.CPU.Memory", id="over the largest size"),
        pytest.param({"Cpu": "2"}, "MissingParameter", id="cpu without memory"),
        pytest.param(
            {"Cpu": "2", "Memory": "4", "Container__1__Cpu": "4"}, "InvalidParameter.CPU.Memory", id="does not fit"
        ),
        pytest.param({"Container__1__Cpu": "65"}, "InvalidParameter.CPU.Memory", id="sum over the largest"),
        pytest.param(
            {"Cpu": "6", "Memory": "6", "SpotStrategy": "SpotAsPriceGo"}, "InvalidSpotCpuMemorySpec", id="spot size"
        ),
        pytest.param({"SpotStrategy": "SpotWithPriceLimit"}, "MissingParameter", id="spot without a limit"),
        pytest.param(
            {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": "0.1234"}, "InvalidParameter", id="four decimals"
        ),
        pytest.param({"SpotStrategy": "Cheap"}, "InvalidParameter", id="spot strategy"),
        pytest.param(many("Tag", 21, Key="k{n}", Value="v"), "NumberExceed.Tags", id="21 tags"),
        pytest.param({"Tag__1__Key": "acs:x"}, "InvalidParameter", id="reserved tag"),
        pytest.param({"Tag__1__Key": "k" * 65}, "InvalidParameter.LengthExceeded", id="tag key"),
        pytest.param({"Container__1__Gpu": "1"}, "InvalidParameter", id="a GPU of no type"),
        pytest.param(
            {"Container__1__Gpu": "2", "InstanceType": "ecs.gn6i-c4g1.xlarge"}, "InvalidParameter", id="a GPU too many"
        ),
        pytest.param({"InstanceType": "ecs.warp9"}, "InvalidInstanceTypeForEciBuy", id="instance type"),
        pytest.param({"DryRun": "True"}, "DryRunOperation", id="dry run of a good request"),
        pytest.param({"ClientToken": "t" * 65}, "InvalidParameter", id="token too long"),
        pytest.param(
            {"Container__1__SecurityContextPrivileged": "true"}, "Forbidden.OnlyForInvitedTest", id="privileged"
        ),
        pytest.param(
            {"Container__1__LivenessProbe__PeriodSeconds": "3"}, "InvalidParameter", id="probe that probes nothing"
        ),
    ],
)
def test_refused(changes, code):
    world = World()
    with pytest.raises(ApiError) as caught:
        world.create(**changes)
    assert caught.value.code == code
    assert len(world.service.store) == 0


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        pytest.param({}, (2, 4), id="nothing asked"),
        pytest.param({"Container__1__Cpu": "16", "Container__1__Memory": "32"}, (16, 32), id="the founding Job"),
        pytest.param({"Container__1__Cpu": "7", "Container__1__Memory": "13"}, (8, 14), id="rounded up"),
        pytest.param({"Container__1__Cpu": "3", "Container__1__Memory": "6"}, (4, 6), id="rounded up in cpu only"),
        pytest.param(
            {"Container__1__Cpu": "7", "Container__1__Memory": "13", "RegionId": "cn-hongkong"},
            (8, 16),
            id="fewer sizes in a smaller region",
        ),
        pytest.param(
            {"Container__1__Cpu": "7", "Container__1__Memory": "13", "SpotStrategy": "SpotAsPriceGo"},
            (8, 16),
            id="fewer sizes for spot",
        ),
        pytest.param({"Container__1__Memory": "0.5"}, (0.25, 0.5), id="memory only"),
        pytest.param({"Container__1__Cpu": "0.1"}, (0.25, 0.5), id="cpu only"),
        pytest.param({"Cpu": "4", "Memory": "8", "Container__1__Cpu": "1"}, (4, 8), id="the group's own size"),
        pytest.param({"InstanceType": "ecs.c6.xlarge"}, (4, 8), id="instance type"),
        pytest.param({"InstanceType": "ecs.gn6i-c4g1.xlarge", "Container__1__Gpu": "1"}, (4, 15), id="one GPU"),
        pytest.param({"InstanceType": "ecs.gn6i-c24g1.12xlarge", "Container__1__Gpu": "2"}, (48, 186), id="two GPUs"),
        pytest.param(
            SECOND | {"Container__1__Cpu": "2", "Container__1__Memory": "4", "Container__2__Cpu": "2.25"},
            (6, 6),
            id="sum",
        ),
        pytest.param(
            {"InitContainer__1__Name": "i", "InitContainer__1__Image": "i", "InitContainer__1__Cpu": "8"},
            (8, 4),
            id="a large init container",
        ),
        pytest.param(
            {
                "Container__1__Cpu": "8",
                "Container__1__EnvironmentVar__1__Key": "__ECI_RESOURCE_IGNORE__",
                "Container__1__EnvironmentVar__1__Value": "TRUE",
            },
            (2, 4),
            id="ignored container",
        ),
    ],
)
def test_size(changes, size):
    group = World().create(**changes)
    assert (group.cpu, group.memory_gib) == size


def test_accepted_at_its_limits():
    whole = base64.b64encode(bytes(32 * 1024)).decode()
    group = World().create(
        **many("Container", 20, Name="c{n}", Image="i"),
        **(FILE | ONE_FILE | {CONTENT: whole}),
        **many("Tag", 20, Key="k{n}", Value="v" * 128),
        ContainerGroupName="w" * 128,
    )
    assert group.status == SCHEDULING


def test_the_same_token_gives_the_same_group_also_after_its_end_and_refuses_another_request():
    world = World()
    first = world.create(ClientToken="t", Container__1__Name="web")
    world.run(3600)
    again = world.service.create(flat(ClientToken="t", SignatureNonce="other", Timestamp="later"))
    assert again == {"ContainerGroupId": first.id}
    with pytest.raises(ApiError, match="IdempotentParameterMismatch"):
        world.create(ClientToken="t", ContainerGroupName="other")
    world.run(24 * 3600)
    assert world.create(ClientToken="t") is not first
