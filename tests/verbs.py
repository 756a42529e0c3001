"""`vk-provider status | explain | doctor | instances` as somebody types them: in a terminal, into a pipe, as JSON."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import published, terminals

PROGRAMS = Path(sys.executable).parent
COLUMNS = 80


class Verbs:
    """env: the settings that the verbs are given, beside what this process has of others'.

    took_s, cpu_s: of the last one that was piped: by the clock, and its processor time.
    """

    def __init__(self, kubeconfig: Path, env: Mapping[str, str]) -> None:
        others = {key: value for key, value in os.environ.items() if not key.startswith(("ECI_", "VK_", "KUBE"))}
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        self.env = {**others, "KUBECONFIG": str(kubeconfig), "PATH": path, **env}
        self.took_s = self.cpu_s = 0.0

    def piped(self, *words: str, code: int = 0, program: str = "vk-provider") -> str:
        """What a pipe gets: no colour, no line broken for a terminal's sake."""
        began_s, before_s = time.monotonic(), _cpu_s()
        done = subprocess.run(
            [_path(program), *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.took_s, self.cpu_s = time.monotonic() - began_s, _cpu_s() - before_s
        assert done.returncode == code, done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout or done.stderr

    def shown(self, *words: str, code: int = 0) -> str:
        """What a terminal of 80 columns shows, without its colours."""
        ended, text = terminals.shown([_path("vk-provider"), *words], env=self.env, columns=COLUMNS)
        assert ended == code, text
        plain = terminals.plain(text)
        assert "\x1b" not in plain, "nothing steers the terminal but colours"
        assert terminals.widest(text) <= COLUMNS, [line for line in plain.splitlines() if len(line) > COLUMNS]
        return plain

    def document(self, *words: str, code: int = 0) -> Any:
        """What `-o json` prints, which is as it is published."""
        return published.document(words[0], self.piped(*words, "-o", "json", code=code))


def _cpu_s() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _path(program: str) -> str:
    own = PROGRAMS / program
    return str(own) if own.exists() else program
