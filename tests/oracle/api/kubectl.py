"""Runs kubectl as people do: with input that comes in its time, with a terminal, and with an end to patience."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WITHOUT_WEBSOCKETS = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
Feed = Sequence[tuple[float, bytes]]  # after so many seconds, this


@dataclass(frozen=True, slots=True)
class Ended:
    """code: None where it still went on after its time."""

    code: int | None
    out: bytes
    err: bytes


class Kubectl:
    def __init__(self, program: str, kubeconfig: Path, namespace: str) -> None:
        self._words = [program, "--namespace", namespace]
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig), "TERM": "xterm"}

    def start(self, line: str, *, terminal: str = "", spdy: bool = False) -> subprocess.Popen[bytes]:
        """terminal: whether it has one, and perhaps its size, as in "101 x 37"."""
        words = [*self._words, *shlex.split(line)]
        if terminal:
            columns, _, rows = terminal.partition(" x ")
            size = f"stty cols {columns} rows {rows}; " if rows else ""
            words = ["script", "-qefc", size + shlex.join(words), "/dev/null"]
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={**self._env, **(WITHOUT_WEBSOCKETS if spdy else {})},
        )


def finish(process: subprocess.Popen[bytes], feed: Feed | None = (), *, seconds: float = 20) -> Ended:
    """Its end, or that it is cut off after so long. feed: None keeps its input open."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = bytearray(), bytearray()
    threads = [_reading(process.stdout, out), _reading(process.stderr, err)]
    if feed is not None:
        threading.Thread(target=_give, args=(process.stdin, feed), daemon=True).start()
    code: int | None
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
        end(process)
    for each in threads:
        each.join(2)
    return Ended(code, bytes(out), bytes(err))


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to all of it, then SIGKILL."""
    for signal_ in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_)
            process.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _reading(file: IO[bytes], into: bytearray) -> threading.Thread:
    def read() -> None:
        while data := os.read(file.fileno(), 65536):
            into.extend(data)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _give(stdin: IO[bytes], feed: Feed) -> None:
    try:
        for after, data in feed:
            time.sleep(after)  # the time in which people type is part of the call
            while data:
                data = data[os.write(stdin.fileno(), data) :]
        stdin.close()
    except (OSError, ValueError):
        pass  # it ended before
