"""The view of the machine one container gets, as arguments for bubblewrap; and the same, poorer, without bubblewrap.

bubblewrap cannot make a mount point inside a read-only root. So the root is not bound as a whole: its entries are,
one by one, on an empty writable root, and where a mount point is missing the directories above it are laid out anew.
The host's own `/tmp`, `/run` and `/var/tmp` are never seen.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FRESH = ("/tmp", "/run", "/var/tmp")
_SETPRIV = "/usr/bin/setpriv"
_REPLACED = frozenset({"/tmp", "/run", "/proc", "/dev"})
# What container runtimes leave to root inside a container.
_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "SETFCAP",
]


@dataclass(frozen=True, slots=True)
class Mount:
    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Sandbox:
    """All that makes up one container's view. root: a directory whose entries become the container's `/`."""

    root: Path
    mounts: Sequence[Mount]
    environment: Mapping[str, str]
    workdir: str = "/"
    hostname: str = "localhost"
    uid: int = 0
    gid: int = 0
    read_only_root: bool = False
    binds: Sequence[str] = ()
    capabilities: Sequence[str] = field(default_factory=tuple)


def working_bubblewrap() -> str | None:
    """The path of bubblewrap, if it is there and this machine lets it make a container's view."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return None
    box = Sandbox(Path("/"), [], {"PATH": DEFAULT_PATH})
    with Path(os.devnull).open("wb") as sink:
        words = [bwrap, *bubblewrap_arguments(box, info_fd=sink.fileno()), "--", "true"]
        files = (sink.fileno(),)
        try:
            tried = subprocess.run(
                words, pass_fds=files, env=box.environment, capture_output=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return bwrap if tried.returncode == 0 else None


def bubblewrap_arguments(box: Sandbox, *, info_fd: int) -> list[str]:
    """Everything between `bwrap` and `--`. The namespaces end with the caller, whatever ends it."""
    targets = {resolve(box.root, mount.target): mount for mount in box.mounts}
    workdir = resolve(box.root, box.workdir)
    return [
        *("--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *("--hostname", box.hostname, "--info-fd", str(info_fd)),
        *_identity(box),
        *_skeleton(box.root, "/", {target: mount.source for target, mount in targets.items()}, workdir),
        *("--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run"),
        *(("--perms", "1777", "--tmpfs", "/var/tmp") if Path(f"{box.root}/var/tmp").is_dir() else ()),
        *(word for path in _hidden(box) for word in ("--ro-bind", path, path)),
        *(word for folder in _parents(box.root, targets) for word in ("--perms", "0755", "--dir", folder)),
        *(word for target in sorted(targets) for word in _bind(target, targets[target])),
        *(() if os.path.lexists(f"{box.root}/{workdir}") else ("--dir", workdir)),
        *(("--remount-ro", "/") if box.read_only_root else ()),
        *("--chdir", box.workdir),
    ]


def become(box: Sandbox) -> list[str]:
    """What goes before a command in the view, so that it runs as its user: with this user's own rights to files.

    Where that cannot be had, the view has a user namespace, in which it is only called so.
    """
    if not _switches_user(box):
        return []
    return [_SETPRIV, "--reuid", str(box.uid), "--regid", str(box.gid), "--clear-groups", "--"]


def _switches_user(box: Sandbox) -> bool:
    return os.geteuid() == 0 and (box.uid, box.gid) != (0, 0) and Path(f"{box.root}{_SETPRIV}").is_file()


def resolve(root: Path, path: str) -> str:
    """Where a container's path really is, following the links inside its root. Missing parts stay as they are."""
    done: list[str] = []
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    for _ in range(255):
        if not todo:
            break
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        here = Path(root, *done, part)
        if not here.is_symlink():
            done.append(part)
            continue
        link = str(here.readlink())
        if link.startswith("/"):
            done.clear()
        todo += [piece for piece in link.split("/") if piece not in ("", ".")][::-1]
    return "/" + "/".join(done)


def find_program(box: Sandbox, name: str) -> bool:
    """Whether the container would find this program; a kubelet reports the lack of it before anything starts."""
    if "/" in name:
        paths = [os.path.join(box.workdir, name)]  # noqa: PTH118 - a path of the container, not of this machine
    else:
        paths = [f"{folder}/{name}" for folder in box.environment.get("PATH", DEFAULT_PATH).split(":")]
    return any(_on_host(box, path).is_file() for path in paths)


def _on_host(box: Sandbox, path: str) -> Path:
    resolved = resolve(box.root, path)
    for mount in sorted(box.mounts, key=lambda item: -len(item.target)):
        target = resolve(box.root, mount.target)
        if resolved == target or resolved.startswith(f"{target.rstrip('/')}/"):
            return Path(f"{mount.source}/{resolved[len(target) :]}") if resolved != target else mount.source
    return Path(f"{box.root}/{resolved}")


def _identity(box: Sandbox) -> Iterator[str]:
    if os.geteuid() == 0 and ((box.uid, box.gid) == (0, 0) or _switches_user(box)):
        # True root, so that it may serve port 80; without what would let it out.
        yield from ("--cap-drop", "ALL")
        for name in (*_CAPABILITIES, *box.capabilities):
            yield from ("--cap-add", f"CAP_{name}")
    else:
        yield from ("--unshare-user", "--uid", str(box.uid), "--gid", str(box.gid))


def _skeleton(root: Path, folder: str, targets: Mapping[str, Path], workdir: str) -> Iterator[str]:
    """Bind the entries of one directory of the root, going down only where a mount point has to be made."""
    with os.scandir(f"{root}{folder}") as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{folder.rstrip('/')}/{entry.name}"
        if path in _REPLACED or path in targets:
            continue
        if entry.is_symlink():
            yield from ("--symlink", str(Path(entry.path).readlink()), path)
        elif entry.is_dir(follow_symlinks=False) and _must_open(root, path, targets, workdir):
            yield from ("--dir", path)
            yield from _skeleton(root, path, targets, workdir)
        else:
            yield from ("--ro-bind", entry.path, path)


def _must_open(root: Path, path: str, targets: Mapping[str, Path], workdir: str) -> bool:
    inside = [target for target in targets if target.startswith(f"{path}/")]
    lacking = any(not _same_kind(Path(f"{root}{target}"), targets[target]) for target in inside)
    return lacking or (workdir.startswith(f"{path}/") and not Path(f"{root}{workdir}").is_dir())


def _same_kind(place: Path, source: Path) -> bool:
    return place.exists() and place.is_dir() == source.is_dir()


def _hidden(box: Sandbox) -> Iterator[str]:
    """Host paths that an image needs and that a fresh directory would hide, or that its root does not have."""
    for path in box.binds:
        is_hidden = any(path == fresh or path.startswith(f"{fresh}/") for fresh in FRESH)
        if Path(path).exists() and (is_hidden or str(box.root) != "/"):
            yield path


def _parents(root: Path, targets: Mapping[str, Mount]) -> list[str]:
    """Directories above mount points that do not exist yet; bubblewrap alone would close them to other users."""
    found = set()
    for target in targets:
        folder = target.rpartition("/")[0]
        while folder:
            if not Path(f"{root}{folder}").is_dir() or folder.startswith(FRESH):
                found.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(found - _REPLACED)


def _bind(target: str, mount: Mount) -> tuple[str, str, str]:
    return ("--ro-bind" if mount.read_only else "--bind", str(mount.source), target)


def rewrite(text: str, mounts: Sequence[Mount]) -> str:
    """Without bubblewrap: point a text at the files themselves instead of their mount paths."""
    for mount in sorted(mounts, key=lambda item: -len(item.target)):
        place = text.find(mount.target)
        while place >= 0:
            end = place + len(mount.target)
            alone = end == len(text) or not (text[end].isalnum() or text[end] in "-_.")
            begins = place == 0 or not (text[place - 1].isalnum() or text[place - 1] in "-_./")
            if alone and begins:
                text = f"{text[:place]}{mount.source}{text[end:]}"
                end = place + len(str(mount.source))
            place = text.find(mount.target, end)
    return text
