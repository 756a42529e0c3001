"""A group's files on this machine: one directory with its volumes, its own /etc files and its logs."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fakes.cloud.group import Container, Group
from fakes.cloud.parameters import Json
from fakes.cloud.sandbox import Mount
from fakes.cloud.validation import file_bytes

TERMINATION_PATH = "/dev/termination-log"


class GroupFiles:
    """Lays out and finds the files of one group.

    shared: where network file systems live, beyond any group. linked: the group's address is real.
    """

    def __init__(self, root: Path, shared: Path, *, linked: bool) -> None:
        self.root = root
        self._shared = shared
        self._linked = linked

    def create(self, group: Group) -> None:
        for name in ("volumes", "etc", "logs"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for volume in group.spec.get("Volume", []):
            self._volume_path(volume).mkdir(parents=True, exist_ok=True)
            if volume["Type"] != "ConfigFileVolume":
                self._volume_path(volume).chmod(0o777)
        for container in group.everyone:
            self.last_words(container).touch()
            self.last_words(container).chmod(0o666)
        self.write_config_files(group)
        for name, text in _etc_files(group, self._linked).items():
            (self.root / "etc" / name).write_text(text)

    def write_config_files(self, group: Group) -> None:
        """Write every config file; one at a time is replaced as a whole, and what is no longer named goes."""
        for volume in group.spec.get("Volume", []):
            if volume["Type"] == "ConfigFileVolume":
                folder = self._volume_path(volume)
                folder.mkdir(exist_ok=True)
                _write_config(folder, volume.get("ConfigFileVolume", {}))

    def clear_scratch(self, group: Group) -> None:
        for volume in group.spec.get("Volume", []):
            if volume["Type"] == "EmptyDirVolume":
                folder = self._volume_path(volume)
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(exist_ok=True)
                folder.chmod(0o777)

    def log(self, container: Container, run: int) -> Path:
        return self.root / "logs" / f"{container.name}.{run}.log"

    def last_words(self, container: Container) -> Path:
        """The file in which a container may say why it ends."""
        return self.root / "etc" / f"termination.{container.name}"

    def mounts(self, group: Group, container: Container) -> Iterator[Mount]:
        for name in ("hosts", "hostname", "resolv.conf"):
            yield Mount(self.root / "etc" / name, f"/etc/{name}", read_only=True)
        path = container.spec.get("TerminationMessagePath") or TERMINATION_PATH
        yield Mount(self.last_words(container), path, read_only=False)
        volumes = {volume["Name"]: volume for volume in group.spec.get("Volume", [])}
        for mount in container.spec.get("VolumeMount", []):
            volume = volumes[mount["Name"]]
            source = self._volume_path(volume) / mount.get("SubPath", "")
            if not source.exists():
                source.mkdir(parents=True)
                source.chmod(0o777)
            fixed = volume["Type"] == "ConfigFileVolume" or volume.get("NFSVolume", {}).get("ReadOnly", False)
            yield Mount(source, mount["MountPath"], read_only=fixed or mount.get("ReadOnly", False))

    def _volume_path(self, volume: Json) -> Path:
        if volume["Type"] in ("EmptyDirVolume", "ConfigFileVolume"):
            return self.root / "volumes" / str(volume["Name"])
        key = repr(sorted(volume.get(volume["Type"], {}).items()))
        return self._shared / hashlib.sha256(key.encode()).hexdigest()[:16]


def _write_config(folder: Path, config: Json) -> None:
    wanted = set()
    for number, item in enumerate(config.get("ConfigFileToPath", []), 1):
        path = folder / item["Path"]
        wanted.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_bytes(file_bytes(item, f"ConfigFileToPath.{number}"))
        draft.chmod(int(item.get("Mode") or config.get("DefaultMode") or "0644", 8))
        draft.replace(path)
    for path in [entry for entry in folder.rglob("*") if entry.is_file()]:
        if path not in wanted:
            path.unlink()


def hostname(group: Group) -> str:
    return str(group.spec.get("HostName") or group.name)[:63].rstrip("-.")


def _etc_files(group: Group, linked: bool) -> dict[str, str]:
    name = hostname(group)
    # On this machine's network its own name must lead back here, not to its address on paper.
    names, own = ("localhost", f"{group.ip}\t{name}\n") if linked else (f"localhost {name}", "")
    hosts = f"127.0.0.1\t{names}\n::1\tlocalhost ip6-localhost ip6-loopback\n{own}"
    for alias in group.spec.get("HostAliase", []):
        hosts += f"{alias['Ip']}\t{' '.join(alias.get('Hostname', []))}\n"
    return {"hosts": hosts, "hostname": f"{name}\n", "resolv.conf": _resolver(group)}


def _resolver(group: Group) -> str:
    config = group.spec.get("DnsConfig", {})
    if group.spec.get("DnsPolicy") != "None" or not config:
        try:
            return Path("/etc/resolv.conf").read_text()
        except OSError:
            return ""
    lines = [f"nameserver {address}" for address in config.get("NameServer", [])]
    if config.get("Search"):
        lines.append(f"search {' '.join(config['Search'])}")
    options = [
        f"{item['Name']}:{item['Value']}" if item.get("Value") else item["Name"] for item in config.get("Option", [])
    ]
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)
