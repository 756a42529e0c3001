"""How one container is kept apart: the command lines that make its namespaces and enter them again.

A container sees this host's programs and files, but for people's, under layers of its own (overlayfs): what it writes
stays in its instance. Its root is changed whole (pivot_root) before anything that its pod names is made or mounted, so
no path and no link of a tenant's leads out. It has processes, mounts, hostname and IPC of its own in a user namespace,
in which root is whoever runs the provider, without rights over the host; it shares the host's network. So it may read
what the provider's user may read: this is for pods that you trust as much as that user.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ENTERED = "entered"  # a file in the container's directory, written to when all is ready for its program
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
# A user namespace gets no file system of processes where the host's own is covered in part, as in a container.
TRIAL = (*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /tmp && mkdir /tmp/proc && mount -t proc proc /tmp/proc")
ENTER = ("nsenter", "--user", "--mount", "--pid", "--ipc", "--uts", "--root", "--wd", "--preserve-credentials")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Each of the host's directories under a layer of its own, since a user namespace may not layer over what has mounts in
# it; such a one is left out, and so is what belongs to people.
_LAYERS = """
for path in /*; do
  name=${{path#/}}
  case $name in proc|sys|dev|tmp|run|root|home|lost+found) continue ;; esac
  if [ -L "$path" ]; then cp -P "$path" {root}/"$name"
  elif [ -d "$path" ]; then
    mkdir -p {root}/"$name" {own}/up/"$name" {own}/work/"$name"
    layers="userxattr,lowerdir=$path,upperdir="{own}"/up/$name,workdir="{own}"/work/$name"
    mount -t overlay overlay -o "$layers" {root}/"$name" 2>/dev/null || :
  fi
done"""
_HOST, _STAGED = "/.host", "/.staged"  # of the new root, until the container's program begins
_SCRATCH = ("/tmp", "/run")  # noqa: S108 - empty ones, inside the container


def environment(container: Json) -> Mapping[str, str]:
    return {"PATH": PATH, "HOME": "/", **dict(container["env"])}


def program(container: Json) -> Sequence[str]:
    """What to run, in place of the image's own entry point, which nobody knows here."""
    return [*container["command"], *container["args"]]


def script(container: Json, spec: Json, directory: Path) -> str:
    """What the first process in the new namespaces does, for `sh`. directory: the instance's."""
    own = directory / container["name"]
    root, state = shlex.quote(str(own / "root")), shlex.quote(str(directory.parent))
    lines = [
        "set -e",
        f"exec 3> {shlex.quote(str(own / ENTERED))}",
        f"mount -t tmpfs tmpfs {root}",
        _LAYERS.format(root=root, own=shlex.quote(str(own))),
        f"[ ! -d {root}{state} ] || mount -t tmpfs tmpfs {root}{state}",
        f"mkdir -p {root}/proc {root}/sys {root}/dev {root}/root {root}/home",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs tmpfs {root}/dev",
        f"cd {root}/dev; mkdir shm pts; cd /",
        f"mount -t devpts devpts {root}/dev/pts -o newinstance,ptmxmode=0666",
        f"ln -s pts/ptmx {root}/dev/ptmx; ln -s /proc/self/fd {root}/dev/fd",
        *(f"touch {root}/dev/{name}; mount --bind /dev/{name} {root}/dev/{name}" for name in _DEVICES),
        *(f"mkdir -p {root}{path}; mount -t tmpfs tmpfs {root}{path}" for path in _SCRATCH),
        f"mkdir -p {root}{_HOST} {root}{_STAGED}; cd {root}; pivot_root . .{_HOST}; cd /",
    ]
    # From here on every path is one of the container's own, wherever its links lead: nothing of the host is left but
    # what was put aside under _STAGED.
    sources = [str(own / "message"), *(str(directory / "volumes" / each["volume"]) for each in container["mounts"])]
    for number, source in enumerate(sources):
        lines += _put_aside(f"{_HOST}{shlex.quote(source)}", f"{_STAGED}/{number}")
    lines += [f"umount -l {_HOST}; rmdir {_HOST}", *_mounted(f"{_STAGED}/0", container["message_path"])]
    for number, mount in enumerate(container["mounts"], start=1):
        sub_path = f"/{mount['sub_path']}" if mount["sub_path"] else ""
        source = f"{_STAGED}/{number}{shlex.quote(sub_path)}" if sub_path else f"{_STAGED}/{number}"
        lines += _mounted(source, mount["path"], read_only=mount["read_only"])
    lines += [f"umount -l {_STAGED}/*; rm -rf {_STAGED}"]
    lines += [f"hostname {shlex.quote(spec['hostname'])}"] if spec["hostname"] else []
    lines += [
        _file("/etc/hosts", spec["hosts"]),
        *([_file("/etc/resolv.conf", spec["resolver"])] if spec["resolver"] else []),
    ]
    lines += ["mount -o remount,bind,ro /"] if container["read_only_root"] else []
    variables = [f"{name}={value}" for name, value in environment(container).items()]
    words = ["env", "-i", *variables, "/bin/sh", "-c", 'cd "$0" && exec "$@"', container["working_dir"] or "/"]
    lines.append(f"echo >&3; exec 3>&-; exec {shlex.join([*words, *program(container)])}")
    return "\n".join(lines) + "\n"


def enter(pid: int, container: Json, command: Sequence[str]) -> Sequence[str]:
    """Runs a command in the namespaces of a running container. pid: of its first process."""
    variables = [f"{name}={value}" for name, value in environment(container).items()]
    place = container["working_dir"] or "/"
    return [
        *ENTER,
        "--target",
        str(pid),
        "--",
        "env",
        "-i",
        *variables,
        "/bin/sh",
        "-c",
        'cd "$0" && exec "$@"',
        place,
        *command,
    ]


def _put_aside(source: str, staged: str) -> list[str]:
    made = f"if [ -d {source} ]; then mkdir {staged}; else touch {staged}; fi"
    return [made, f"mount --bind {source} {staged}"]


def _mounted(source: str, path: str, *, read_only: bool = False) -> list[str]:
    target, parent = shlex.quote(path), shlex.quote(str(Path(path).parent))
    made = f"if [ -d {source} ]; then mkdir -p {target}; else mkdir -p {parent}; [ -e {target} ] || touch {target}; fi"
    lines = [made, f"mount --bind {source} {target}"]
    return [*lines, f"mount -o remount,bind,ro {target}"] if read_only else lines


def _file(path: str, text: str) -> str:
    return f"rm -f {path}; printf %s {shlex.quote(text)} > {path}"
