"""Storage beyond a group: what is taken, who may hold a disk, and that files stay (eci.md 2.1)."""

import json

import pytest

from fakes.cloud import images
from fakes.cloud.errors import ApiError
from tests.fakes.cloud.sdk import Acs
from tests.fakes.cloud.test_process import needs_sandbox
from tests.fakes.cloud.world import World, reasons


def flex(driver, **options):
    return {
        "Volume__1__Name": "v",
        "Volume__1__Type": "FlexVolume",
        "Volume__1__FlexVolume__Driver": f"alicloud/{driver}",
        "Volume__1__FlexVolume__Options": json.dumps(options),
    }


def nfs(**fields):
    return {
        "Volume__1__Name": "v",
        "Volume__1__Type": "NFSVolume",
        **{f"Volume__1__NFSVolume__{name}": text for name, text in fields.items()},
    }


def login(number=1, **fields):
    return {f"ImageRegistryCredential__{number}__{name}": text for name, text in fields.items()}


BUCKET = {"bucket": "b", "url": "u"}


@pytest.mark.parametrize(
    "volume",
    [
        nfs(Server="s", Path="/"),
        flex("disk", volumeId="d-1"),
        flex("disk", volumeSize="20"),
        flex("nas", server="s", options="nolock"),
        flex("oss", **BUCKET, akId="i", akSecret="s"),
        flex("oss", **BUCKET, ramRole="r"),
        login(Server="a.b:5000", UserName="u", Password="p"),
    ],
)
def test_taken(volume):
    assert World().create(**volume)


@pytest.mark.parametrize(
    ("volume", "name"),
    [
        (nfs(Server="s"), "Volume.1.NFSVolume.Path"),
        (nfs(Path="/"), "Volume.1.NFSVolume.Server"),
        (flex("cpfs"), "Volume.1.FlexVolume.Driver"),
        (flex("disk"), "Volume.1.FlexVolume.Options.volumeId"),
        (flex("disk", volumeSize="19"), "Volume.1.FlexVolume.Options.volumeSize"),
        (flex("disk", volumeSize="x"), "Volume.1.FlexVolume.Options.volumeSize"),
        (flex("disk", volumeId=1), "Volume.1.FlexVolume.Options"),
        ({**flex("disk"), "Volume__1__FlexVolume__Options": "{"}, "Volume.1.FlexVolume.Options"),
        ({**flex("disk"), "Volume__1__FlexVolume__Options": "[]"}, "Volume.1.FlexVolume.Options"),
        (flex("nas"), "Volume.1.FlexVolume.Options.server"),
        (flex("oss", bucket="b"), "Volume.1.FlexVolume.Options.url"),
        (flex("oss", **BUCKET, akId="i"), "Volume.1.FlexVolume.Options.akId"),
        (login(UserName="u", Password="p"), "ImageRegistryCredential.1.Server"),
        (login(Server="a.b"), "ImageRegistryCredential.1.UserName"),
        (login(Server="https://a.b", UserName="u"), "ImageRegistryCredential.1.Server"),
        ({**login(Server="a.b", UserName="u"), **login(2, Server="a.b", UserName="v")}, "registry"),
    ],
)
def test_refused(volume, name):
    with pytest.raises(ApiError) as raised:
        World().create(**volume)
    assert name in raised.value.message


def test_a_disk_is_one_groups_at_a_time():
    world = World("[[rule]]\nimage = '*'\nduration_s = 1000")
    first = world.create(**flex("disk", volumeId="d-1"))
    second = world.create(**flex("disk", volumeId="d-1"), ContainerGroupName="default-other")
    other = world.create(**flex("disk", volumeId="d-2"), ContainerGroupName="default-third")
    world.run(60)
    assert [first.status, second.status, other.status] == ["Running", "Pending", "Running"]
    (event,) = [each for each in second.events if each.reason == "FailedAttachVolume"]
    assert event.message == f"AttachVolume.Attach failed: disk d-1 is attached to instance {first.id}"
    assert event.count > 1
    world.service.lifecycle.delete(first, world.clock.now(), force=True)
    world.run(20)
    assert second.status == "Running"


def test_a_disk_is_free_when_its_group_has_ended():
    world = World("[[rule]]\nimage = '*'\nduration_s = 10")
    first = world.create(**flex("disk", volumeId="d-1"))
    world.run(20)
    second = world.create(**flex("disk", volumeId="d-1"), ContainerGroupName="default-other")
    world.run(5)
    assert (first.status, second.status) == ("Succeeded", "Running")
    assert "FailedAttachVolume" not in reasons(second)


# --- real files and pulls ---------------------------------------------------------------------------------------------

IMAGES = """
[[image]]
name = "sh"
command = ["sh"]
pull_s = 0

[[image]]
name = "registry.example.com/private"
command = ["true"]
login = "robot:a:b"
pull_s = 0
"""


@pytest.fixture
async def acs(start, tmp_path):
    cloud = await start(runtime="process", images=IMAGES, state_dir=tmp_path / "state")
    return Acs(cloud.endpoint)


async def create(acs, image, **parameters):
    base = {"ContainerGroupName": "default-job", "RestartPolicy": "Never"}
    base |= {"Container__1__Name": "main", "Container__1__Image": image}
    return (await acs.action("CreateContainerGroup", **base, **parameters))["ContainerGroupId"]


async def ended(acs, script, volume, **mount):
    """How a group with the volume at /data ended, and what it wrote."""
    words = {f"Container__1__Command__{number}": word for number, word in enumerate(("sh", "-c", script), 1)}
    mounted = {"Name": "v", "MountPath": "/data", **mount}
    mounts = {f"Container__1__VolumeMount__1__{name}": text for name, text in mounted.items()}
    group_id = await create(acs, "sh", **words, **mounts, **volume)
    return (await acs.until(group_id, "Succeeded", "Failed"))["Status"], await acs.log(group_id)


@needs_sandbox
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (flex("disk", volumeId="d-1"), flex("disk", volumeId="d-1")),
        (nfs(Server="s", Path="/a"), flex("nas", server="s", path="/a", vers="3")),
        (flex("oss", **BUCKET, ramRole="r"), flex("oss", **BUCKET, akId="i", akSecret="s")),
    ],
)
async def test_files_outlive_their_group(acs, first, second):
    script = "mkdir /data/pg && chmod 700 /data/pg && echo kept > /data/pg/x"
    assert (await ended(acs, script, first))[0] == "Succeeded"
    status, log = await ended(acs, "stat -c %a /data && cat /data/x", second, SubPath="pg")
    assert (status, log.split()) == ("Succeeded", ["700", "kept"])


@needs_sandbox
@pytest.mark.parametrize(
    "volume", [flex("disk", volumeSize="20"), flex("disk", volumeId="d-2"), nfs(Server="t", Path="/a")]
)
async def test_other_storage_has_other_files(acs, volume):
    assert (await ended(acs, "touch /data/x", volume))[0] == "Succeeded"
    other = {"Volume__1__FlexVolume__Options": '{"volumeId":"d-3"}', "Volume__1__NFSVolume__Path": "/b"}
    changed = {**volume, **{name: text for name, text in other.items() if name in volume}}
    assert await ended(acs, "ls /data", changed) == ("Succeeded", "")


@needs_sandbox
async def test_a_link_does_not_lead_out_of_its_volume(acs):
    volume = nfs(Server="s", Path="/a")
    assert (await ended(acs, "ln -s / /data/out", volume))[0] == "Succeeded"
    status, _ = await ended(acs, "ls /data", volume, SubPath="out/etc")
    assert status == "Failed"


def test_where_an_image_comes_from():
    assert [images.registry(name) for name in ("a", "a/b:1", "a.b/c", "a:1/c", "localhost/c")] == [
        "docker.io",
        "docker.io",
        "a.b",
        "a:1",
        "localhost",
    ]


@pytest.mark.parametrize(
    ("user", "password", "pulled"), [("robot", "a:b", True), ("robot", "a", False), (None, None, False)]
)
async def test_an_image_may_want_a_login(acs, user, password, pulled):
    given = login(Server="registry.example.com", UserName=user, Password=password) if user else {}
    group_id = await create(acs, "registry.example.com/private:1", **given)
    if pulled:
        await acs.until(group_id, "Succeeded")
    else:
        group = await acs.until_container(group_id, Reason="ErrImagePull")
        assert group["Containers"][0]["CurrentState"]["Message"].endswith("401 Unauthorized")


async def test_an_image_that_is_not_there_and_may_not_be_pulled(acs):
    group_id = await create(acs, "nowhere", Container__1__ImagePullPolicy="Never")
    group = await acs.until_container(group_id, Reason="ErrImageNeverPull")
    message = 'Container image "nowhere" is not present with pull policy of Never'
    assert group["Containers"][0]["CurrentState"]["Message"] == message
