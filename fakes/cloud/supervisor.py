"""Stands over one container's processes where bubblewrap is absent, so that none survives: `python supervisor.py CMD…`.

Runs as a program of its own. It adopts every descendant, dies with its parent, passes SIGTERM to the command, and
when the command has ended, or SIGINT says "now", kills all that is left. Exit code: the command's, or 128 + signal.
Imports nothing of the package, since it starts once for each container.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _descendants(pid: int) -> list[int]:
    try:
        direct = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return direct + [deeper for child in direct for deeper in _descendants(child)]


def _kill_all() -> None:
    while found := _descendants(os.getpid()):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _end_at_once(*_: object) -> None:
    _kill_all()
    os._exit(137)


def main(command: list[str]) -> int:
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, _end_at_once)
    prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"supervisor: {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    _kill_all()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
