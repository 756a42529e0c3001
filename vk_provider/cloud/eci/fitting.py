"""What the cluster and we add to a pod, cut to the room that ECI's limits leave beside what its owner asked for.

Links to Services, the mark of a sidecar, the volume with the ServiceAccount's token and the cluster's search domains
are nobody's wish: a pod never fails for them. They are left out, the least useful first, and one notice names them.
What the owner wrote himself is never touched; where that is too much, `request` refuses it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.model.workload import Container, Dns, File, FromPodIP, HostAlias, Notice, Volume, Workload
from vk_provider.translate.environment import VARIABLE_NAME

MAX_ENV = 240
MAX_VOLUMES = 20
MAX_FILE_BYTES = 32 * 1024
MAX_DNS_ITEMS = 20
MAX_ALIASES, MAX_NAMES_OF_ALIAS = 100, 50
# Linux gives a program 2 MiB for its words and its environment together; no link shall bring a container near that.
MAX_PROGRAM_BYTES = 1 << 20
LEFT_OUT = "AdditionsLeftOut"
_MOST_NAMES = 10  # in the notice, whose event holds 1,024 characters


@dataclass(slots=True)
class _Left:
    """What found no room."""

    links: dict[str, None] = field(default_factory=dict)  # names, each once, however many containers lack it
    marks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def fitted(workload: Workload) -> tuple[Workload, Sequence[Notice]]:
    """The workload without what finds no room, and the notice about that; the same one where all of it does."""
    left = _Left()
    volumes = fitted_volumes(workload.volumes, left)
    gone = frozenset(left.volumes)
    made = replace(
        workload,
        containers=tuple(_container(each, gone, left) for each in workload.containers),
        init_containers=tuple(_container(each, gone, left) for each in workload.init_containers),
        volumes=volumes,
        dns=_resolver(workload.dns, left),
        host_aliases=_aliases(workload.host_aliases, left),
    )
    message = "; ".join(_words(left))
    if not message:
        return workload, ()
    return made, (Notice(LEFT_OUT, f"added by the cluster and left out, for an instance has no room: {message}"),)


def fitted_volumes(volumes: Sequence[Volume], left: _Left | None = None) -> Sequence[Volume]:
    """The volumes that an instance has: the same for a create and for each update of its files."""
    left = _Left() if left is None else left
    over = len(volumes) - MAX_VOLUMES
    added = [each.name for each in volumes if each.added]
    left.volumes.extend(added[max(0, len(added) - over) :] if over > 0 else ())
    return tuple(_volume(each, left) for each in volumes if each.name not in left.volumes)


def _volume(volume: Volume, left: _Left) -> Volume:
    if not volume.added or all(_fits(file) for file in volume.files or ()):
        return volume
    left.files.extend(f"{file.path} of {volume.name}" for file in volume.files or () if not _fits(file))
    return replace(volume, files=tuple(file for file in volume.files or () if _fits(file)))


def _fits(file: File) -> bool:
    return len(file.content) <= MAX_FILE_BYTES


def _container(container: Container, gone: frozenset[str], left: _Left) -> Container:
    made = _with_room(container, left) if container.added_env else container
    if made.sidecar and len(_others(made)) >= MAX_ENV:
        left.marks.append(made.name)
    if not gone or not any(mount.volume in gone for mount in made.mounts):
        return made
    return replace(made, mounts=tuple(mount for mount in made.mounts if mount.volume not in gone))


def variables(container: Container) -> Sequence[tuple[str, str | FromPodIP]]:
    """What the container is given. A sidecar says so in its environment, where there is room: it then ends with the
    others (eci.md 5.2); else the provider sees to that."""
    if not container.sidecar:
        return container.env
    others = _others(container)
    return (*others, WORDS.sidecar_mark) if len(others) < MAX_ENV else others


def _others(container: Container) -> Sequence[tuple[str, str | FromPodIP]]:
    return tuple(each for each in container.env if each[0] != WORDS.sidecar_mark[0])


def _with_room(container: Container, left: _Left) -> Container:
    added = set(container.added_env)
    own = [each for each in container.env if each[0] not in added]
    values = {key: value for key, value in container.env if isinstance(value, str)}
    room = MAX_ENV - len(own) - (1 if container.sidecar else 0)
    room_bytes = MAX_PROGRAM_BYTES - sum(_size(key, values.get(key, "")) for key, _ in own)
    room_bytes -= sum(len(word) for word in (*container.command, *container.args))
    kept: set[str] = set()
    for key in container.added_env:
        size = _size(key, values.get(key, ""))
        if room > 0 and size <= room_bytes and VARIABLE_NAME.fullmatch(key):
            kept.add(key)
            room, room_bytes = room - 1, room_bytes - size
        else:
            left.links[key] = None
    if len(kept) == len(added):
        return container
    env = tuple(each for each in container.env if each[0] not in added or each[0] in kept)
    return replace(container, env=env, added_env=tuple(key for key in container.added_env if key in kept))


def _size(key: str, value: str) -> int:
    return len(key) + 2 + len(value) * (1 if value.isascii() else 4)


def _resolver(dns: Dns | None, left: _Left) -> Dns | None:
    if dns is None:
        return None
    searches = _cut(dns.searches, dns.added_searches, left.searches)
    kept = _cut([name for name, _ in dns.options], dns.added_options, left.options)
    if len(searches) == len(dns.searches) and len(kept) == len(dns.options):
        return dns
    return replace(dns, searches=searches, options=tuple(each for each in dns.options if each[0] in kept))


def _aliases(aliases: Sequence[HostAlias], left: _Left) -> Sequence[HostAlias]:
    own = [each for each in aliases if not each.added]
    lines = sum(-(-len(each.hostnames) // MAX_NAMES_OF_ALIAS) for each in own)
    if len(own) == len(aliases) or lines < MAX_ALIASES:
        return aliases
    left.names.extend(name for each in aliases if each.added for name in each.hostnames[:1])
    return own


def _cut(items: Sequence[str], added: Sequence[str], left: list[str]) -> Sequence[str]:
    """Without the last of those that were added, as far as there are too many."""
    over = len(items) - MAX_DNS_ITEMS
    if over <= 0 or not added:
        return items
    left.extend(added[max(0, len(added) - over) :])
    return tuple(each for each in items if each not in left)


def _words(left: _Left) -> Iterator[str]:
    if left.links:
        yield (
            f"variables of Services {_listed([*left.links])} (ECI takes {MAX_ENV} variables a container, names of 128"
            " letters, digits and _; with enableServiceLinks: false there are none)"
        )
    if left.volumes:
        yield (
            f"volume {_listed(left.volumes)} with the ServiceAccount's token (ECI takes {MAX_VOLUMES} volumes; one"
            " less of the pod's own makes room)"
        )
    if left.files:
        yield f"file {_listed(left.files)} (ECI takes {MAX_FILE_BYTES} bytes a file)"
    if left.marks:
        yield f"the mark of sidecar {_listed(left.marks)}, which the provider ends instead of the cloud"
    if left.names:
        yield f"{_listed(left.names)} in /etc/hosts (ECI takes {MAX_ALIASES} lines)"
    if left.searches or left.options:
        yield f"of the resolver {_listed([*left.searches, *left.options])} (ECI takes {MAX_DNS_ITEMS} of each kind)"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
