"""What of a request is shown, row by row: nothing that came out of a Secret, and all else as it is."""

import base64

import pytest

from vk_provider.cloud.eci.redaction import masked

SECRETS = (b"hunter2hunter2", b"no", b'quo"ted', b"\xff\xfe\x00\x01", b"", b"hunter2hunter2 and more")
ENV = "Container.1.EnvironmentVar.2.Value"
FILE = "Volume.1.ConfigFileVolume.ConfigFileToPath.1.Content"


def encoded(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        pytest.param(ENV, "hunter2hunter2", "(secret)", id="a variable"),
        pytest.param(ENV, "db://u:hunter2hunter2@db", "db://u:(secret)@db", id="within a text"),
        pytest.param(ENV, "hunter2hunter2 and more", "(secret)", id="the longest that fits"),
        pytest.param(ENV, "no", "(secret)", id="a short one alone"),
        pytest.param(ENV, "nobody", "nobody", id="a short one by chance"),
        pytest.param(ENV, "", "", id="nothing"),
        pytest.param("InitContainer.3.Arg.1", "--key=hunter2hunter2", "--key=(secret)", id="an argument"),
        pytest.param("Container.1.Command.2", "hunter2hunter2", "(secret)", id="a command"),
        pytest.param("Volume.1.FlexVolume.Options", '{"k":"quo\\"ted"}', '{"k":"(secret)"}', id="options in JSON"),
        pytest.param(FILE, encoded(b"key: hunter2hunter2\n"), "(secret, 20 bytes)", id="a file"),
        pytest.param(FILE, encoded(b"\xff\xfe\x00\x01"), "(secret, 4 bytes)", id="bytes"),
        pytest.param(FILE, encoded(b"no"), "(secret, 2 bytes)", id="a short file"),
        pytest.param(FILE, encoded(b"nothing"), encoded(b"nothing"), id="a file of a ConfigMap"),
        pytest.param(FILE, "%%", "%%", id="no base64"),
        pytest.param("ImageRegistryCredential.1.Password", "whatever", "(secret)", id="a registry's password"),
        pytest.param("ImageRegistryCredential.1.Server", "hub", "hub", id="a registry's name"),
        pytest.param("ContainerGroupName", "no", "no", id="names are no values"),
    ],
)
def test_what_is_shown(name, text, shown):
    assert masked({name: text}, SECRETS) == {name: shown}
