"""Starts containers' processes: a small program of one thread beside the fake cloud, which forks for each of them.

It is asked over a socket: a message is the flags of the `clone`, its files are a request (JSON), a socket for what is
to be told, standard input, output and error, and any number more that the request names. The answer is a PID, or an
errno made negative. What is started is a child of whoever started the spawner, which therefore reaps it and cannot
mistake its PID; it dies with the spawner, and the spawner with its socket.

The copy makes its own sandbox (`_main`) and then runs the container's program in its place, so that a container's
process 1 is its program. What it has to say, each a message in JSON: `{"pid": N}`, another process that is the one
asked for; `{"terminal": true}` with the master's end of a terminal; `{"error": text, "code": N}`, why there is no
program. That its socket is closed without an error says that the program runs.
"""

import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from fakes.cloud import rights, syscalls
from fakes.cloud.mounts import View

NOT_FOUND, NOT_EXECUTABLE, FAILED = 127, 126, 128
MOST_FILES = 8
_NICENESS = 5  # so that a burst does not starve the service itself
_VIEW_KINDS = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
_FREE_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
Request = dict[str, Any]


class _Broken(Exception):
    """The program cannot be run. code: what a shell would end with for it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(descriptor: int) -> None:
    """Serve until the other end of the socket is closed; then kill everything that still runs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is for the fake cloud, and so is the rest
    os.umask(0o022)
    last = rights.last_capability()
    control = socket.socket(fileno=descriptor)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    running: dict[int, int] = {}
    is_open = True
    while is_open:
        for file, _ in waiting.poll():
            if file == descriptor:
                is_open = _serve(control, running, waiting, last)
            else:
                del running[file]
                waiting.unregister(file)
                os.close(file)
    for file, ending in running.items():
        with suppress(OSError):
            signal.pidfd_send_signal(file, ending)


def _serve(control: socket.socket, running: dict[int, int], waiting: select.poll, last: int) -> bool:
    """Start one process, and keep its pidfd in `running`, with the signal that ends it and all it has started.

    False when nobody asks any more.
    """
    message, files, _, _ = socket.recv_fds(control, 64, MOST_FILES)
    if not message:
        return False
    flags = int(message)
    try:
        pid = syscalls.clone(flags | syscalls.CLONE_PARENT)
    except OSError as error:
        pid = -(error.errno or errno.EIO)
    if pid == 0:
        _become(files, last, {*running, control.fileno()})
    for file in files:
        os.close(file)
    if pid > 0:
        with suppress(OSError):  # it has ended, and was reaped
            handle = os.pidfd_open(pid)
            # With the first process of a namespace all of it goes; who stands over plain ones has to kill them first.
            running[handle] = int(signal.SIGKILL if flags else signal.SIGINT)
            waiting.register(handle, select.POLLIN)
    control.send(b"%d" % pid)
    return True


def _become(files: list[int], last: int, ours: set[int]) -> NoReturn:
    """The copy. Nothing of the spawner's goes on from here; what fails is told."""
    for file in ours:
        os.close(file)
    for file in files:
        os.set_inheritable(file, False)
    request, told, *others = files
    teller = socket.socket(fileno=told)
    code = FAILED
    try:
        with open(request, encoding="utf-8") as document:  # noqa: PTH123
            document.seek(0)
            wanted = json.load(document)
        _KINDS[wanted["kind"]](wanted, teller, others, last)
    except _Broken as error:
        code = error.code
        _tell(teller, {"error": str(error), "code": code})
    except BaseException as error:
        _tell(teller, {"error": str(error) or repr(error), "code": code})
    os._exit(code)


def _tell(teller: socket.socket, message: Request, files: tuple[int, ...] = ()) -> None:
    with suppress(OSError):  # nobody listens any more
        socket.send_fds(teller, [json.dumps(message).encode()], files)


def _run(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    """A container's first process, in namespaces of its own."""
    if wanted["join"]:
        _pass_on(wanted, teller, files, last, _run_here)
    else:
        _run_here(wanted, teller, files, last)


def _run_here(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    _die_with_parent()
    stdio, more = files[:3], dict(zip(wanted["files"], files[3:], strict=False))
    _join_control_groups(wanted)
    if "network" in more:
        syscalls.setns(more["network"], syscalls.CLONE_NEWNET)
    if wanted["join"]:
        syscalls.unshare(_VIEW_KINDS)
    elif wanted["user_namespace"]:
        _map_user(wanted)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # before anything of the container's could look at us
    view = View(wanted["base"])
    view.build(wanted["view"])
    socket.sethostname(wanted["hostname"])
    _set_kernel(wanted)
    view.fix_kernel()
    view.enter()
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    if _is_nested(wanted, more):
        # Not before: what the kernel tells of a PID namespace is mounted by who is root of its owner.
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        _map_user(wanted)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    if wanted["join"]:
        _tell(teller, {"view": os.readlink("/proc/self/ns/mnt")})  # noqa: PTH115
    _begin(wanted, teller, stdio, last, terminal=wanted["terminal"])


def _enter(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    """One more process in a container, with all that its first one has."""
    _pass_on(wanted, teller, files, last, _enter_here)


def _enter_here(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    _die_with_parent()
    stdio, more = files[:3], dict(zip(wanted["files"], files[3:], strict=False))
    _join_control_groups(wanted)
    kinds = _VIEW_KINDS | (0 if wanted["user_namespace"] else syscalls.CLONE_NEWNET)
    syscalls.setns(more["container"], kinds | syscalls.CLONE_NEWCGROUP)
    if _is_nested(wanted, more):
        syscalls.setns(more["container"], syscalls.CLONE_NEWUSER)
    os.chdir("/")
    _begin(wanted, teller, stdio, last, terminal=wanted["terminal"])


def _is_nested(wanted: Request, more: dict[str, int]) -> bool:
    """Whether a container has a user of its own in the user namespace of a holder, where there is root alone."""
    return wanted["user_namespace"] and "holder" in more and (wanted["uid"], wanted["gid"]) != (0, 0)


def _pass_on(wanted: Request, teller: socket.socket, files: list[int], last: int, then: Callable[..., None]) -> None:
    """Go on in the PID namespace of the process `holder`, else `container`; only a child of us can be in it."""
    more = dict(zip(wanted["files"], files[3:], strict=False))
    there = more["holder"] if "holder" in more else more["container"]
    if wanted["user_namespace"]:
        syscalls.setns(there, syscalls.CLONE_NEWUSER)
    syscalls.setns(there, syscalls.CLONE_NEWPID)
    pid = syscalls.clone(syscalls.CLONE_PARENT)
    if pid:
        _tell(teller, {"pid": pid})
        os._exit(0)
    then(wanted, teller, files, last)


def _hold(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    """Process 1 of what several containers share: it does nothing but let orphans go, and sees nothing."""
    _die_with_parent()
    if wanted["user_namespace"]:
        _map_user(wanted)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.set_name("pause")
    for file in files:
        os.close(file)
    view = View(wanted["base"])
    view.build(wanted["view"])
    view.enter()
    rights.take(wanted, last)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # so that who is no root may enter its namespaces; it keeps nothing
    teller.close()  # that is to say: come in
    while True:
        signal.pause()


def _plain(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    """Where there are no namespaces: a process that stands over the container's, so that none of them survives.

    It adopts every descendant, passes SIGTERM on, and when the program has ended, or SIGINT says "now", kills all
    that is left. Exit code: the program's, or 128 + signal.
    """
    _join_control_groups(wanted)
    more = dict(zip(wanted["files"], files[3:], strict=False))
    if "network" in more:
        syscalls.setns(more["network"], syscalls.CLONE_NEWNET)
    os.setsid()
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, _end_at_once)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGINT)
    ours = os.getpid()
    child = os.fork()
    if child == 0:
        _die_with_parent()
        if os.getppid() != ours:
            os._exit(FAILED)
        _begin(wanted, teller, files[:3], last, terminal=wanted["terminal"])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    teller.close()
    for file in files:
        os.close(file)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    _kill_all()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _plain_enter(wanted: Request, teller: socket.socket, files: list[int], last: int) -> None:
    _die_with_parent()
    _join_control_groups(wanted)
    more = dict(zip(wanted["files"], files[3:], strict=False))
    if "network" in more:
        syscalls.setns(more["network"], syscalls.CLONE_NEWNET)
    _begin(wanted, teller, files[:3], last, terminal=wanted["terminal"])


_KINDS = {"run": _run, "enter": _enter, "hold": _hold, "plain": _plain, "plain-enter": _plain_enter}


def _begin(wanted: Request, teller: socket.socket, stdio: list[int], last: int, *, terminal: bool) -> NoReturn:
    """The end of every way in: streams, rights, and then the program."""
    with suppress(OSError):
        os.setsid()
    if terminal:
        _open_terminal(teller, stdio, wanted["uid"])
    for number, file in enumerate(stdio):
        os.dup2(file, number)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    for number in _FREE_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    rights.limit(wanted["limits"])
    rights.take(wanted, last)
    _die_with_parent()  # it is forgotten where the user changes
    try:
        os.chdir(wanted["directory"])
    except OSError as error:
        where = f'chdir to cwd ("{wanted["directory"]}") set in config.json failed'
        raise _Broken(f"{where}: {_why(error)}", FAILED) from error
    if not wanted["words"]:
        os._exit(0)  # only asked whether it can be done
    _execute(wanted["words"], wanted["environment"])


def _execute(words: list[str], environment: dict[str, str]) -> NoReturn:
    """As runc does it, with its words for what goes wrong."""
    name = words[0]
    environment.setdefault("HOME", _home())
    if "/" in name:
        found = name
        try:
            mode = os.stat(found).st_mode  # noqa: PTH116
        except OSError as error:
            raise _Broken(f'exec: "{name}": stat {name}: {_why(error)}', NOT_FOUND) from error
        if mode & 0o170000 == 0o040000 or not os.access(found, os.X_OK):
            raise _Broken(f'exec: "{name}": permission denied', NOT_EXECUTABLE)
    else:
        found = _find(name, environment.get("PATH", ""))
    try:
        os.execve(found, words, environment)
    except OSError as error:
        raise _Broken(f"exec {found}: {_why(error)}", NOT_EXECUTABLE) from error


def _find(name: str, path: str) -> str:
    broken = _Broken(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)
    for folder in path.split(":") if name else ():
        found = f"{folder}/{name}" if folder else name
        if os.path.isfile(found):  # noqa: PTH113
            if os.access(found, os.X_OK):
                return found
            broken = _Broken(f'exec: "{name}": permission denied', NOT_EXECUTABLE)
    raise broken


def _home() -> str:
    """As the container's /etc/passwd has it for its user, else the root."""
    with suppress(OSError), open("/etc/passwd", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        for line in file:
            fields = line.rstrip("\n").split(":")
            if len(fields) > 5 and fields[2] == str(os.getuid()) and fields[5]:
                return fields[5]
    return "/"


def _why(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO).lower()


def _open_terminal(teller: socket.socket, stdio: list[int], uid: int) -> None:
    """A terminal of the container's own, so that its name is right there; the other end is given away."""
    try:
        master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, 0x4004_5431, struct.pack("i", 0))  # TIOCSPTLCK
    slave = fcntl.ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY)  # TIOCGPTPEER
    with suppress(OSError):  # a user that is none here
        os.fchown(slave, uid, -1)
    _tell(teller, {"terminal": True}, (master,))
    os.close(master)
    stdio[:] = [slave, slave, slave]


def _map_user(wanted: Request) -> None:
    """In a new user namespace: the container's user stands for the one who runs the fake cloud."""
    uid, gid = wanted["outside"]
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{wanted['uid']} {uid} 1")
    _write("/proc/self/gid_map", f"{wanted['gid']} {gid} 1")


def _set_kernel(wanted: Request) -> None:
    for name, value in wanted["kernel"]:
        path = f"/proc/sys/{name}"
        try:
            _write(path, value)
        except PermissionError:
            if not wanted["user_namespace"]:
                raise
            # Who is no root outside may not set it; it was checked by name.
        except OSError as error:
            raise _Broken(f"write sysctl key {name.replace('/', '.')}: write {path}: {_why(error)}", FAILED) from error


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _join_control_groups(wanted: Request) -> None:
    for folder in wanted["control_groups"]:
        _write(f"{folder}/cgroup.procs", "0")


def _die_with_parent() -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    direct = []
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        direct = [int(word) for word in file.read().split()]
    return direct + [deeper for child in direct for deeper in _descendants(child)]


def _kill_all() -> None:
    while found := _descendants(os.getpid()):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _end_at_once(*_: object) -> None:
    _kill_all()
    os._exit(137)


if __name__ == "__main__":
    main(int(sys.argv[1]))
