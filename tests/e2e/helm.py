"""Helm out of Go modules, as users have it: `helm/go.mod` pins every module by hash.

HELM names one that is there; else it is built once, beside the control planes: `python -m tests.e2e.helm`, two minutes.
"""

import sys
from pathlib import Path

from tests.e2e.building import CannotBuild, say
from tests.e2e.goprogram import GoProgram
from tests.e2e.modules import required

_FOLDER, _MODULE = Path(__file__).parent / "helm", "helm.sh/helm/v3"
HELM = GoProgram(
    "helm",
    folder=_FOLDER,
    module=_MODULE,
    package=f"{_MODULE}/cmd/helm",
    variable="HELM",
    flags=f"-s -w -X {_MODULE}/internal/version.version=v{required(_FOLDER, _MODULE)}",
)
MISSING = "Helm is missing: name one: HELM=/path/to/helm, or build it: python -m tests.e2e.helm"


def main() -> int:
    try:
        say(f"Helm: {HELM.program()}")
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
