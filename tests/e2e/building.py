"""What every way of building a control plane needs: to run a command, to report progress, to give up with advice."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class CannotBuild(Exception):
    """There is no control plane here and none can be made; the message says what to do."""


def say(text: str) -> None:
    sys.stdout.write(f"e2e: {text}\n")
    sys.stdout.flush()


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What it prints on stdout. Silent unless it fails. Raises CannotBuild with the end of its output."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise CannotBuild(f"{' '.join(command[:2])} … failed with code {done.returncode}:\n{said}")
    return done.stdout
