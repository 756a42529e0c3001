"""Processes that end with us, however we end, with their output in files."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """One process and its log file, which it goes on with when it is started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        env: Mapping[str, str] | None = None,
        dies_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        """dies_by: the signal it gets should we die without stopping it."""
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._dies_by = dies_by
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert not self.runs, f"{self.name} runs already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                preexec_fn=self._die_with_parent,
            )

    def _die_with_parent(self) -> None:
        _libc.prctl(PR_SET_PDEATHSIG, self._dies_by)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last run, once it has ended; negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    def tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, *, grace_s: float = 15.0) -> float:
        """SIGTERM, then SIGKILL after the grace. Returns the seconds that it took."""
        began = time.monotonic()
        if self._process is not None and self.runs:
            self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when it is gone."""
        if self._process is not None and self.runs:
            self._process.kill()
            self._process.wait()
