"""A group's files on this machine: one directory with its volumes, its own /etc files and its logs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fakes.cloud import storage, tmpfs
from fakes.cloud.group import Container, Group
from fakes.cloud.parameters import Json
from fakes.cloud.sandbox import Mount
from fakes.cloud.validation import file_bytes

TERMINATION_PATH = "/dev/termination-log"


class GroupFiles:
    """Lays out and finds the files of one group.

    shared: where file systems, buckets and disks live, beyond any group. linked: the group's address is real.
    owner: the user whose processes read them as they lie, or None where they are mounted for them.
    """

    def __init__(self, root: Path, shared: Path, *, linked: bool, owner: int | None) -> None:
        self._owner = owner
        self.root = root
        self._shared = shared
        self._linked = linked

    def create(self, group: Group) -> None:
        for name in ("volumes", "etc", "logs"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for volume in group.spec.get("Volume", []):
            # Where we write, and clear away what we wrote, nobody else may: his links would be followed.
            _make(self._volume_path(volume), mode=0o755 if volume["Type"] == "ConfigFileVolume" else 0o777)
            scratch = volume.get("EmptyDirVolume", {})
            if scratch.get("Medium", "").lower() == "memory":
                tmpfs.mount(self._volume_path(volume), scratch.get("SizeLimit", ""))
        for container in group.everyone:
            self.last_words(container).touch()
            self.last_words(container).chmod(0o666)
        self.write_config_files(group)
        for name, text in _etc_files(group, self._linked).items():
            (self.root / "etc" / name).write_text(text)
        if self._owner is not None:
            self._give_to(group, self._owner)

    def _give_to(self, group: Group, owner: int) -> None:
        """Let this user, and none but him, come here: he has the scratch volumes, and may read the files.

        All other directories stay ours, so that he puts nothing of his where we write.
        """
        os.chown(self.root, -1, owner)
        self.root.chmod(0o710)
        for volume in group.spec.get("Volume", []):
            folder = self._volume_path(volume)
            if volume["Type"] == "EmptyDirVolume":
                os.chown(folder, owner, owner)
            elif volume["Type"] == "ConfigFileVolume":
                for path in folder.rglob("*"):
                    if path.is_file() and not path.is_symlink():
                        os.chown(path, owner, owner)

    def write_config_files(self, group: Group) -> None:
        """Bring every config file to what the group's spec says, a volume at a time and each as a whole."""
        mounts = [mount for container in group.everyone for mount in container.spec.get("VolumeMount", [])]
        pinned = {mount["Name"] for mount in mounts if mount.get("SubPath")}
        for volume in group.spec.get("Volume", []):
            if volume["Type"] == "ConfigFileVolume":
                folder = self._volume_path(volume)
                folder.mkdir(exist_ok=True)
                _write_config(folder, _config_files(volume), pinned=volume["Name"] in pinned)

    def clear_scratch(self, group: Group) -> None:
        for volume in group.spec.get("Volume", []):
            if volume["Type"] == "EmptyDirVolume":
                folder = self._volume_path(volume)
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(exist_ok=True)
                folder.chmod(0o777)
                if self._owner is not None:
                    os.chown(folder, self._owner, self._owner)

    def remove(self) -> None:
        tmpfs.unmount_below(self.root)
        shutil.rmtree(self.root, ignore_errors=True)

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
            whole = self._volume_path(volume)
            source = whole / mount.get("SubPath", "")
            if mount.get("SubPath"):
                source = source.resolve()  # of a config file: as it is now, whatever comes to stand there later
                if not source.is_relative_to(whole.resolve()):
                    # A container may have left a link there.
                    raise OSError(f"failed to prepare subPath of volume {mount['Name']}: it leads out of the volume")
            _make(source, mode=0o777)
            within = None if volume["Type"] == "ConfigFileVolume" else whole.resolve()
            fixed = volume["Type"] == "ConfigFileVolume" or volume.get("NFSVolume", {}).get("ReadOnly", False)
            yield Mount(source, mount["MountPath"], read_only=fixed or mount.get("ReadOnly", False), within=within)

    def _volume_path(self, volume: Json) -> Path:
        beyond = storage.place(volume)
        return self.root / "volumes" / str(volume["Name"]) if beyond is None else self._shared / beyond


def _make(folder: Path, *, mode: int) -> None:
    """The mode is for a new one; later its rights are whose files they are."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(mode)


_Files = dict[str, tuple[bytes, int]]  # path → content and mode
_NOW = "..data"


def _config_files(volume: Json) -> _Files:
    config = volume.get("ConfigFileVolume", {})
    return {
        item["Path"]: (
            file_bytes(item, f"ConfigFileToPath.{number}"),
            int(item.get("Mode") or config.get("DefaultMode") or "0644", 8),
        )
        for number, item in enumerate(config.get("ConfigFileToPath", []), 1)
    }


def _write_config(folder: Path, files: _Files, *, pinned: bool) -> None:
    """All files of one state lie in a directory of its own, behind one link that is swapped, as a kubelet has it:
    whoever reads sees all of the old or all of the new. pinned: parts of the old are mounted by themselves, so keep it.
    """
    now = folder / _NOW
    old = folder / now.readlink().name if now.is_symlink() else None  # one of ours, wherever a link may lead
    if old is not None and _written(old) == files:
        return
    fresh = folder / f"..{1 + sum(1 for entry in folder.glob('..*') if entry.is_dir() and not entry.is_symlink())}"
    while fresh.exists():
        fresh = fresh.with_name(f"{fresh.name}+")
    fresh.mkdir()
    for name, (content, mode) in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    shown = {Path(name).parts[0] for name in files}
    for name in shown:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path(_NOW, name))
    draft = folder / "..draft"
    draft.symlink_to(fresh.name)
    draft.replace(now)
    for entry in folder.iterdir():
        if entry.name not in shown and not entry.name.startswith(".."):
            entry.unlink()
    if old is not None and not pinned:
        shutil.rmtree(old)


def _written(folder: Path) -> _Files:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def hostname(group: Group) -> str:
    return str(group.spec.get("HostName") or group.name)[:63].rstrip("-.")


def _etc_files(group: Group, linked: bool) -> dict[str, str]:
    name = hostname(group)
    # On this machine's network its own name must lead back here, not to its address on paper.
    names, own = ("localhost", f"{group.ip}\t{name}\n") if linked else (f"localhost {name}", "")
    hosts = f"127.0.0.1\t{names}\n::1\tlocalhost ip6-localhost ip6-loopback\n{own}"
    for alias in group.spec.get("HostAliase", []):
        hosts += "\t".join([alias["Ip"], *alias.get("Hostname", [])]) + "\n"
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
