"""What a container of this host's cloud gets to, whatever its pod names: nothing outside of its own root."""

import subprocess
from pathlib import Path

import pytest

from tests.contract.cloud.host import cannot_be_local
from vk_provider.cloud.local import sandbox

MOST_S = 30
pytestmark = pytest.mark.skipif(bool(cannot_be_local()), reason=cannot_be_local())


def ran(directory: Path, command: str, *mounts: tuple[str, str], message_path: str = "/dev/termination-log") -> str:
    """What it prints. mounts: subPath and mountPath, all of one volume."""
    instance = directory / "state" / "instance"
    for part in ("up", "work", "root"):
        (instance / "main" / part).mkdir(parents=True)
    (instance / "main" / "message").touch()
    volume = instance / "volumes" / "v"
    volume.mkdir(parents=True)
    (volume / "up").symlink_to("../" * 20 + str(directory / "outside").lstrip("/"))
    container = {
        "name": "main",
        "command": ["sh", "-c", command],
        "args": [],
        "env": [],
        "mounts": [{"volume": "v", "sub_path": sub, "path": path, "read_only": False} for sub, path in mounts],
        "message_path": message_path,
        "read_only_root": False,
        "working_dir": "",
    }
    script = instance / "main" / "run.sh"
    script.write_text(sandbox.script(container, {"hostname": "h", "hosts": "", "resolver": ""}, instance))
    done = subprocess.run(
        [*sandbox.UNSHARE, "sh", str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_S,
        env={"PATH": sandbox.PATH},
    )
    return done.stdout + done.stderr


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that no container is to touch."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "kept").write_text("as it was")
    return made


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["kept"] and (outside / "kept").read_text() == "as it was"


def test_a_mount_path_that_climbs_out_stays_inside(tmp_path: Path, outside: Path) -> None:
    said = ran(tmp_path, "echo began", ("", "/../../" + "../" * 20 + str(outside / "made").lstrip("/")))
    assert "began" in said
    assert untouched(outside)


def test_a_message_path_that_climbs_out_stays_inside(tmp_path: Path, outside: Path) -> None:
    ran(tmp_path, "echo began", message_path="/" + "../" * 20 + str(outside / "made").lstrip("/"))
    assert untouched(outside)


def test_a_sub_path_over_a_link_to_the_host_stays_inside(tmp_path: Path, outside: Path) -> None:
    said = ran(tmp_path, "echo x > /data/kept; echo y > /data/made; ls /data", ("up", "/data"))
    assert untouched(outside), said


def test_a_mount_below_a_link_of_the_host_is_there(tmp_path: Path) -> None:
    """/var/run, where tokens of ServiceAccounts are mounted, leads to /run on most hosts."""
    assert "there" in ran(tmp_path, "[ -d /var/run/secrets/x ] && echo there", ("", "/var/run/secrets/x"))


def test_root_in_a_container_does_not_climb_out_of_it(tmp_path: Path, outside: Path) -> None:
    """A second chroot ends outside of the first; of a root that was changed whole, nothing is outside."""
    program = (
        "import os; os.mkdir('/tmp/jail'); os.chroot('/tmp/jail'); "
        "[os.chdir('..') for _ in range(64)]; os.chroot('.'); "
        f"print('seen' if os.path.exists({str(outside)!r}) else 'hidden')"
    )
    said = ran(tmp_path, f'python3 -c "{program}"')
    assert "hidden" in said, said
    assert untouched(outside)
