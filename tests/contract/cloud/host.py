"""Whether this host can be a cloud."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

from vk_provider.cloud.local import sandbox


@cache
def cannot_be_local() -> str:
    """Why not; empty = it can."""
    if missing := [each for each in ("unshare", "nsenter") if shutil.which(each) is None]:
        return f"this host has no {' and no '.join(missing)}"
    trial = subprocess.run(sandbox.TRIAL, capture_output=True, text=True, check=False)
    return f"no namespaces can be made here: {trial.stderr.splitlines()[0]}" if trial.returncode else ""
