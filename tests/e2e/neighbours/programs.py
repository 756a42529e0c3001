"""Programs of others that stand beside the provider in a cluster, out of Go modules of ours that pin theirs by hash.

Each is built once, beside the control planes, in some minutes: `python -m tests.e2e.neighbours.programs` builds all.
"""

import sys
from pathlib import Path

from tests.e2e.building import CannotBuild, say
from tests.e2e.goprogram import GoProgram

HERE = Path(__file__).parent
METRICS_SERVER = GoProgram(
    "metrics-server",
    HERE / "metricsserver",
    "sigs.k8s.io/metrics-server",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
)
LIBRARY_SUITE = GoProgram(
    "virtual-kubelet-suite", HERE / "virtualkubelet", "github.com/virtual-kubelet/virtual-kubelet"
)
KUBECTL_1_32 = GoProgram("kubectl-1.32", HERE / "kubectl132", "k8s.io/kubectl", ".")


def main() -> int:
    try:
        for each in (METRICS_SERVER, LIBRARY_SUITE):
            say(f"{each.name}: {each.program()}")
    except CannotBuild as error:
        sys.stderr.write(f"e2e: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
