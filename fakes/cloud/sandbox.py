"""The view of the machine one container gets, as steps for `mounts.View`; and the same, poorer, where there is none.

The root is made anew: the entries of the image's root are shown on an empty one, so that mount points can be made
anywhere and a container may write new entries. Of this machine's own root only programs and their settings are shown,
and of those what every user of the machine may read: no `/root`, no `/home`, no `/etc/shadow`, and its `/tmp`, `/run`
and `/var` are fresh ones.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FRESH = ("/tmp", "/run", "/var/tmp")
_REPLACED = frozenset({"/tmp", "/run", "/proc", "/dev", "/sys"})
_SHOWN = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt", "nix", "gnu")
_BARE = ("/boot", "/home", "/media", "/mnt", "/srv")  # directories that a root has, shown empty
_VARIABLE = ("cache", "lib", "log", "spool")  # of /var: programs want their directories there, and get empty ones
_PRIVATE_BELOW = {"/etc": 16, "/opt": 3, "/usr/local": 3}  # where private files are looked for, and how deep
_PRIVATE_KEPT_S = 60.0
Step = list[str | int | bool]
_private: tuple[float, list[str]] = (-_PRIVATE_KEPT_S, [])


@dataclass(frozen=True, slots=True)
class Mount:
    """within: what source must not lead out of, for something a container can write there; None = nothing."""

    source: Path
    target: str
    read_only: bool
    within: Path | None = None


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
    kernel: Sequence[tuple[str, str]] = ()  # settings of its own namespaces: names with dots, and values
    terminal: bool = False
    control_groups: Sequence[str] = ()  # directories of those that it is in
    memory_bytes: int = 0  # where no control group limits it; 0 = no limit


def view(box: Sandbox) -> Iterator[Step]:
    """The steps that make a container's root, outermost first."""
    targets = {resolve(box.root, mount.target): mount for mount in box.mounts}
    workdir = resolve(box.root, box.workdir)
    yield from _skeleton(box.root, "/", {target: mount.source for target, mount in targets.items()}, workdir)
    if _is_host(box.root):
        yield from _rest_of_host()
    yield ["proc", "/proc"]
    yield ["dev", "/dev"]
    yield ["sys", "/sys"]
    for path in FRESH:
        if path != "/var/tmp" or _is_host(box.root) or Path(f"{box.root}{path}").is_dir():
            yield ["tmpfs", path, 0o755 if path == "/run" else 0o1777]
    for path in _hidden(box):
        yield ["bind", path, path, True, ""]
    for target in sorted(targets):
        mount = targets[target]
        yield ["bind", str(mount.source), target, mount.read_only, str(mount.within or "")]
    yield ["dir", workdir, 0o755]
    if box.read_only_root:
        yield ["seal"]


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


def _is_host(root: Path) -> bool:
    return str(root) == "/"


def _skeleton(root: Path, folder: str, targets: Mapping[str, Path], workdir: str) -> Iterator[Step]:
    """Bind the entries of one directory of the root, going down only where a mount point has to be made."""
    private = frozenset(private_files()) if _is_host(root) else frozenset()
    with os.scandir(f"{root}{folder}") as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{folder.rstrip('/')}/{entry.name}"
        if path in _REPLACED or path in targets or path in private:
            continue
        if folder == "/" and _is_host(root) and entry.name not in _SHOWN:
            continue
        if entry.is_symlink():
            yield ["link", str(Path(entry.path).readlink()), path]
        elif entry.is_dir(follow_symlinks=False) and _must_open(root, path, targets, workdir):
            yield ["dir", path, 0o755]
            yield from _skeleton(root, path, targets, workdir)
        else:
            yield ["bind", entry.path, path, True, ""]
            for hidden in sorted(each for each in private if each.startswith(f"{path}/")):
                yield ["hide", hidden]


def _rest_of_host() -> Iterator[Step]:
    """What a root has beside programs, without what is in it."""
    for path in _BARE:
        yield ["dir", path, 0o755]
    yield ["dir", "/root", 0o700]
    for kind in _VARIABLE:
        yield ["dir", f"/var/{kind}", 0o755]
        with suppress(OSError), os.scandir(f"/var/{kind}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield ["dir", f"/var/{kind}/{entry.name}", 0o755]
    yield ["link", "/run", "/var/run"]
    yield ["link", "/run/lock", "/var/lock"]


def private_files() -> Sequence[str]:
    """Of this machine's settings and programs those that not every user may read; of a closed directory only itself."""
    global _private
    made, found = _private
    if time.monotonic() - made > _PRIVATE_KEPT_S:
        found = [path for folder, depth in _PRIVATE_BELOW.items() for path in _closed(folder, depth)]
        _private = (time.monotonic(), found)
    return found


def _closed(folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                wanted = 0o005 if entry.is_dir() else 0o004
                if entry.stat(follow_symlinks=False).st_mode & wanted != wanted:
                    yield entry.path
                elif depth > 1 and entry.is_dir():
                    yield from _closed(entry.path, depth - 1)
    except OSError:
        return


def _must_open(root: Path, path: str, targets: Mapping[str, Path], workdir: str) -> bool:
    inside = [target for target in targets if target.startswith(f"{path}/")]
    lacking = any(not _same_kind(Path(f"{root}{target}"), targets[target]) for target in inside)
    return lacking or (workdir.startswith(f"{path}/") and not Path(f"{root}{workdir}").is_dir())


def _same_kind(place: Path, source: Path) -> bool:
    return place.exists() and place.is_dir() == source.is_dir()


def _hidden(box: Sandbox) -> Iterator[str]:
    """This machine's paths that an image needs and that its root does not have, or that would not be seen."""
    for path in box.binds:
        parts = Path(path).parts
        is_seen = _is_host(box.root) and len(parts) > 1 and parts[1] in _SHOWN
        if Path(path).exists() and not is_seen:
            yield path


def rewrite(text: str, mounts: Sequence[Mount]) -> str:
    """Without a view: point a text at the files themselves instead of their mount paths."""
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
