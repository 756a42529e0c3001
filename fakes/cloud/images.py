"""What an image name stands for on this machine: a root directory or the host's, and the defaults of an image.

The images file is TOML, a list of tables `[[image]]`:

| key        | meaning                                                                                          |
|------------|--------------------------------------------------------------------------------------------------|
| name       | glob. Without `/` it is matched against the last part of the image's path, so that                |
|            | `registry.example.com/library/perl:5.36` is `perl`; with `/`, against the whole path. Without `:` |
|            | any tag or digest fits; with it, the tag is matched too (no tag counts as `latest`)               |
| root       | a directory that is the container's `/`, or `"host"` (default): the host's, read-only              |
| entrypoint | list of words, as in an image                                                                    |
| command    | list of words, as in an image                                                                    |
| env        | table of variables                                                                               |
| user       | number, or `number:number`                                                                       |
| workdir    | absolute path; default `/`                                                                       |
| binds      | more host paths to be seen, read-only, at the same place; with the host's root also those that   |
|            | env, entrypoint and command name are seen, even where a fresh /tmp or /run would hide them       |
| pull_s     | seconds a pull takes; default 0.5                                                                |
| size_bytes | what the event of the pull reports                                                               |
| fail       | text: the pull fails with it                                                                     |
| cached     | true: an image cache has it, so that a pull takes place only where the policy is `Always`        |
| login      | `user:password`: the pull fails without just this login for the image's registry                  |

The file's entries come before the built-in ones, and the first that fits is taken.
"""

import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fakes.cloud.sandbox import FRESH

HOST = "host"


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    root: str = HOST
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    binds: Sequence[str] = ()
    pull_s: float = 0.5
    size_bytes: int = 0
    fail: str = ""
    cached: bool = False
    login: str = ""
    lacks: str = ""  # what keeps this host from playing it; not of the file

    def host_paths(self) -> list[str]:
        """The host's paths the container must see beside its root: `binds`, and what its variables and words name."""
        if self.root != HOST:
            return list(self.binds)
        texts = [*self.entrypoint, *self.command, *(part for value in self.env.values() for part in value.split(":"))]
        return [*self.binds, *(text for text in texts if text.startswith("/") and text not in FRESH)]

    def matches(self, reference: str) -> bool:
        path, tag = split_reference(reference)
        wanted, _, wanted_tag = self.name.partition(":")
        if "/" not in wanted:
            path = path.rpartition("/")[2]
        return fnmatchcase(path, wanted) and (not wanted_tag or fnmatchcase(tag, wanted_tag))


class ImagesError(Exception):
    """The images file cannot be used; the message names the entry and the fault."""


def split_reference(reference: str) -> tuple[str, str]:
    """Path and tag of an image name: `a:5000/b/c:1@sha256:…` gives `a:5000/b/c`, `1`. No tag is `latest`."""
    name, _, digest = reference.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag or digest or "latest"


def registry(reference: str) -> str:
    """The host, with its port, that an image comes from; the public hub's for a name without one."""
    first, slash, _ = split_reference(reference)[0].partition("/")
    return first if slash and (set(first) & set(".:") or first == "localhost") else "docker.io"


def load(text: str) -> list[Image]:
    """The entries of an images file, in order. Raises ImagesError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImagesError(f"not TOML: {error}") from error
    unknown = set(document) - {"image"}
    if unknown:
        raise ImagesError(f"unknown key {min(unknown)!r}; only [[image]] tables are read")
    return [_image(number, table) for number, table in enumerate(document.get("image", []), 1)]


def find(images: Sequence[Image], reference: str) -> Image | None:
    return next((image for image in images if image.matches(reference)), None)


# By program: the package of Debian and Ubuntu that has it.
_PACKAGES = {"perl": "perl", "sh": "dash", "python3": "python3", "nginx": "nginx-light"}


def built_in(own_programs: Path) -> list[Image]:
    """The images this host can play. own_programs: a directory of ours, for `python`.

    One whose program this host lacks is known too, and says what it wants.
    """
    found = [
        _of_program("perl", Image("perl", command=("perl", "-de0"), size_bytes=336_000_000)),
        _of_program("sh", Image("busybox", command=("sh",), size_bytes=2_200_000)),
        _of_program("sh", Image("pause", command=("sh", "-c", "while :; do sleep 3600; done"), size_bytes=300_000)),
        _of_program("nginx", Image("nginx", command=("nginx", "-g", "daemon off;"), size_bytes=68_000_000)),
    ]
    python = _python()
    if python is None:
        return [*found, _of_program("python3", Image("python", command=("python3",)))]
    own_programs.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (own_programs / name).unlink(missing_ok=True)
        (own_programs / name).symlink_to(python)
    path = f"{own_programs}:{python.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    binds = (str(own_programs), *((sys.base_prefix,) if python.is_relative_to(sys.base_prefix) else ()))
    return [
        *found,
        Image("python", command=("python3",), env={"PATH": path}, binds=binds, size_bytes=373_000_000),
    ]


def _of_program(program: str, image: Image) -> Image:
    if shutil.which(program):
        return image
    lacks = (
        f"this machine has no {program}, which stands for the image {image.name} here "
        f"(Debian, Ubuntu: apt-get install {_PACKAGES[program]})"
    )
    return replace(image, lacks=lacks)


def _python() -> Path | None:
    """A python3 that works without a virtual environment's files: the one this program's was made from."""
    own = Path(sys.base_prefix, "bin", "python3")
    if own.exists():
        return own
    other = shutil.which("python3")
    return Path(other) if other else None


_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "root": str,
    "entrypoint": list,
    "command": list,
    "env": dict,
    "user": (str, int),
    "workdir": str,
    "binds": list,
    "pull_s": (int, float),
    "size_bytes": int,
    "fail": str,
    "cached": bool,
    "login": str,
}


def _image(number: int, table: Mapping[str, Any]) -> Image:
    label = f"image {number} ({table.get('name', 'no name')})"
    if not table.get("name"):
        raise ImagesError(f"{label}: the key 'name' is missing")
    for key, value in table.items():
        if key not in _TYPES:
            known = ", ".join(item.name for item in fields(Image) if item.name in _TYPES)
            raise ImagesError(f"{label}: unknown key {key!r}; known are {known}")
        if not isinstance(value, _TYPES[key]):
            raise ImagesError(f"{label}: {key} has the wrong type")
    root = table.get("root", HOST)
    if root != HOST and not Path(root).is_dir():
        raise ImagesError(f'{label}: root {root!r} is neither "host" nor a directory')
    values = dict(table)
    if "user" in values:
        values["user"] = str(values["user"])
    values["env"] = {key: str(value) for key, value in table.get("env", {}).items()}
    for key in ("entrypoint", "command", "binds"):
        values[key] = tuple(str(word) for word in table.get(key, ()))
    return Image(**values)
