"""What an instance is on disk: one directory, of which the driver writes the spec and a supervisor the status.

| entry         | what it is                                                        | who writes it |
|---------------|-------------------------------------------------------------------|---------------|
| `spec.json`   | owner, containers, policy; what makes the directory an instance   | driver        |
| `status.json` | the supervisor's pid, and of each container its runs              | supervisor    |
| `deleting`    | it was asked to go                                                | driver        |
| `volumes/`    | one directory a volume, with its files                            | driver        |
| `NAME/`       | of a container: `log.N` of run N, its termination message, layers | supervisor    |

Files are replaced as a whole, so that no reader sees half of one.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SPEC, STATUS, DELETING = "spec.json", "status.json", "deleting"


def read(path: Path) -> Json | None:
    """None where there is no such file, or nothing that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, content: Json) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(content))
    new.chmod(0o600)
    new.replace(path)


def remove(directory: Path) -> None:
    """The spec goes last but one: what has none is no instance, however much of it is left."""
    with suppress(OSError):
        (directory / SPEC).unlink()
    shutil.rmtree(directory, ignore_errors=True)


def started_at_tick(pid: int) -> int | None:
    """When a process began, in ticks since boot, which tells it from a later one of the same pid; None = it has ended.

    Source: proc(5), /proc/PID/stat: the fields after the name, which stands in the last parentheses.
    """
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after[0] in "ZX" else int(after[19])


def is_running(status: Json) -> bool:
    """Whether the supervisor that wrote the status is there."""
    tick = started_at_tick(int(status.get("pid") or 0))
    return tick is not None and tick == status.get("tick")


def child_of(pid: int) -> int | None:
    """The one child of a process, as of `unshare --fork`; None while it has none."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return None


def log_path(directory: Path, container: str, run: int) -> Path:
    return directory / container / f"log.{run}"


def run_dir(state: str) -> Path:
    """Where the instances are; made, for us alone, where it is not there."""
    path = Path(state).expanduser() / "instances"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
