"""One program out of Go modules that a folder of ours pins by hash, built once and kept outside the checkout."""

import fcntl
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import modules
from tests.e2e.build import cache_folder
from tests.e2e.building import run, say


@dataclass(frozen=True, slots=True)
class GoProgram:
    """folder: has go.mod, go.sum, and the source if the program is ours. module: whose version is the program's.
    package: what is built; empty = the tests in the folder. variable: of the environment; names a program that is there
    already, empty = none does."""

    name: str
    folder: Path
    module: str
    package: str = ""
    variable: str = ""
    flags: str = "-s -w"

    def version(self) -> str:
        return modules.required(self.folder, self.module)

    def found(self) -> Path | None:
        """The one that the variable names, or the one that has been built."""
        named = os.environ.get(self.variable) if self.variable else None
        program = Path(named) if named else self._target()
        return program if program.exists() else None

    def program(self) -> Path:
        """Built where it is not there yet. Raises CannotBuild."""
        return self.found() or self._build()

    def _build(self) -> Path:
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"building-{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if there := self.found():
                return there  # by another, while we waited for our turn
            say(f"compiling {self.name} {self.version()}")
            with tempfile.TemporaryDirectory(prefix=f"{self.name}-being-built-", dir=cache) as work:
                env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
                result = Path(work, self.name)
                verb = ["build"] if self.package else ["test", "-c"]
                command = [modules.go(cache), *verb, "-ldflags", self.flags, "-o", str(result), self.package or "."]
                run(command, cwd=self.folder, env=env)
                self._target().parent.mkdir(exist_ok=True)
                result.rename(self._target())
        return self._target()

    def _target(self) -> Path:
        digest = hashlib.sha256()
        for file in sorted((*self.folder.glob("go.*"), *self.folder.glob("*.go"))):
            digest.update(file.read_bytes())
        return cache_folder() / f"{self.name}-{self.version()}-{digest.hexdigest()[:12]}" / self.name
