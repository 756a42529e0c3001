"""How containers are kept apart from this machine, as far as it and this user allow; and the requests for it.

Either in namespaces of their own: made by root, who then has a container runtime's capabilities in them, or by anybody
in a user namespace. Or as plain processes: started by root they run as users that own nothing here, a new one for each
group, and never as root; started by anybody else they are this user's, with all that he may do.
"""

import asyncio
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fakes.cloud import rights, syscalls
from fakes.cloud.launcher import Failure, Launcher, Program
from fakes.cloud.parameters import Json
from fakes.cloud.sandbox import DEFAULT_PATH, Sandbox, rewrite, view

_NAMES = {"NET_ADMIN": rights.NET_ADMIN, "NET_RAW": rights.NET_RAW}
_OF_THE_NETWORK = rights.NET_ADMIN | rights.NET_RAW
_CONTAINER = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWPID
_FIRST_USER, _USERS = 1_983_000_000, 1 << 16
_NOBODY = 65534
_TRIAL_S = 20.0


class Impossible(Exception):
    """Containers can be run here in no way that is safe."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """kind: `root` and `user` are namespaces made by root, or in a user namespace; `plain` has none.

    base: an empty directory, over which containers' roots are mounted in namespaces of their own. why_plain: why
    there are no namespaces. users: the first user and how many there are, for plain processes of root; else None.
    """

    kind: Literal["root", "user", "plain"]
    base: Path
    why_plain: str = ""
    users: tuple[int, int] | None = None

    @property
    def is_sandboxed(self) -> bool:
        return self.kind != "plain"

    def describe(self) -> str:
        """For people: as what the pods' commands run on their machine."""
        files = "their files are programs of this machine, read-only"
        if self.kind == "root":
            return f"in namespaces of each container's own, with a container's capabilities, not with root's; {files}"
        if self.kind == "user":
            return f"in namespaces of each container's own, as {_me()} but without this user's files; {files}"
        who = f"as {_me()}, with all that this user may do"
        if self.users is not None:
            who = f"as users without rights ({self.users[0]} and up), never as root"
        return f"NO SANDBOX ({self.why_plain}): plain processes that see this machine, {who}"

    def user_of(self, number: int) -> int | None:
        """The user of the number-th group's plain processes; None = whoever the fake cloud is."""
        return None if self.users is None else self.users[0] + number % self.users[1]

    def run(self, box: Sandbox, words: Sequence[str], *, linked: bool, joins: bool, user: int | None) -> Json:
        """The request for a container's first process. joins: it is to be in the PID namespace of a holder.

        user: of plain processes.
        """
        request = self._common(box, words, linked=linked, user=user)
        if self.kind == "plain":
            return {**request, "kind": "plain"}
        return {
            **request,
            "kind": "run",
            "join": joins,
            "view": list(view(box)),
            "hostname": box.hostname,
            "kernel": [
                (name.translate(str.maketrans("./", "/.")), value)
                for name, value in box.kernel
                if linked or not name.startswith("net.")  # else this machine's own, and only checked by name
            ],
            "outside": [0, 0] if joins else [os.geteuid(), os.getegid()],
        }

    def enter(self, box: Sandbox, words: Sequence[str], *, linked: bool, user: int | None) -> Json:
        """The request for one more process in a container."""
        kind = "enter" if self.is_sandboxed else "plain-enter"
        return {**self._common(box, words, linked=linked, user=user), "kind": kind}

    def hold(self) -> Json:
        """The request for a process that holds a PID namespace for several containers."""
        request = self._common(Sandbox(Path("/"), [], {}), [], linked=True, user=None)
        outside = [os.geteuid(), os.getegid()]
        return {
            **request,
            "kind": "hold",
            "view": [["proc", "/proc"]],
            "outside": outside,
            "capabilities": 0,
            "uid": 0,
            "gid": 0,
        }

    def flags(self, request: Json) -> int:
        """Of the `clone` for a request."""
        if request["kind"] not in ("run", "hold") or request.get("join"):
            return 0
        return _CONTAINER | (syscalls.CLONE_NEWUSER if self.kind == "user" else 0)

    def _common(self, box: Sandbox, words: Sequence[str], *, linked: bool, user: int | None) -> Json:
        is_plain = self.kind == "plain"
        mask = rights.DEFAULT_CAPABILITIES
        for name in box.capabilities:
            mask |= _NAMES.get(name, 0)
        if self.kind == "root" and not linked:
            mask &= ~_OF_THE_NETWORK  # it would be this machine's
        variables: Mapping[str, str] = {"TERM": "xterm", **box.environment} if box.terminal else box.environment
        if is_plain:
            words = [rewrite(word, box.mounts) for word in words]
            variables = {name: rewrite(value, box.mounts) for name, value in variables.items()}
        return {
            "words": list(words),
            "environment": dict(variables),
            "directory": _plain_directory(box) if is_plain else box.workdir,
            "uid": (os.geteuid() if user is None else user) if is_plain else box.uid,
            "gid": (os.getegid() if user is None else user) if is_plain else box.gid,
            "capabilities": 0 if is_plain else mask,
            "bounded": not is_plain or user is not None,
            "switch": self.kind == "root" or (is_plain and user is not None),
            "filter": self.kind == "root",
            "no_new_privileges": is_plain,
            "user_namespace": self.kind == "user",
            "terminal": box.terminal,
            "base": str(self.base),
            "control_groups": list(box.control_groups),
            "limits": {"RLIMIT_DATA": box.memory_bytes} if box.memory_bytes else {},
        }


async def choose(launcher: Launcher, base: Path, *, sandbox: bool) -> Isolation:
    """The strictest of what works here, each tried just now. sandbox: False skips namespaces. Raises Impossible."""
    base.mkdir(parents=True, exist_ok=True)
    why = "none is wanted"
    if sandbox:
        for candidate in (*([Isolation("root", base)] if os.geteuid() == 0 else []), Isolation("user", base)):
            failure = await _try(launcher, candidate)
            if failure is None:
                return candidate
            why = f"no namespaces can be made here: {failure.message}"
    users = _users() if os.geteuid() == 0 else None
    plain = Isolation("plain", base, why, users)
    failure = await _try(launcher, plain)
    if failure is not None:
        raise Impossible(
            f"containers cannot be run here: {why}; and as plain processes of a user without rights neither: "
            f"{failure.message}. The runtime `simulated` runs nothing on this machine"
        )
    return plain


async def _try(launcher: Launcher, isolation: Isolation) -> Failure | None:
    ended: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def on_exit(code: int, failure: Failure | None) -> None:
        if not ended.done():
            ended.set_result(failure or (Failure(f"a first trial ended with {code}", code) if code else None))

    program = Program(on_started=lambda: None, on_exit=on_exit)
    box = Sandbox(Path("/"), [], {"PATH": DEFAULT_PATH})
    request = isolation.run(box, [], linked=False, joins=False, user=isolation.user_of(0))
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        launcher.start({**request, "files": []}, isolation.flags(request), [null, null, null], program)
        async with asyncio.timeout(_TRIAL_S):
            return await ended
    except TimeoutError:
        program.kill()
        return Failure("a first trial took too long", 128)
    except OSError as error:
        return Failure(str(error), 128)
    finally:
        os.close(null)


def _plain_directory(box: Sandbox) -> str:
    folder = rewrite(box.workdir, box.mounts)
    return folder if Path(folder).is_dir() else "/"


def _users() -> tuple[int, int]:
    """Users for groups: such as nobody has, or where we are root of a user namespace, whom it has."""
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    has_all = any(int(first) <= _FIRST_USER and int(first) + int(n) >= _FIRST_USER + _USERS for first, _, n in ranges)
    return (_FIRST_USER, _USERS) if has_all else (_NOBODY, 1)


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
