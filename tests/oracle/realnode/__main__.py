"""`python -m tests.oracle.realnode [--calls] [NAME …]`: records cases, or calls, on a real node.

As root, on Linux with control groups of the old style. The node is built, started and taken down; what is built stays,
in a folder named for its Kubernetes.
"""

from __future__ import annotations

import sys

from tests.e2e import realnode


def main() -> int:
    chosen = [each for each in sys.argv[1:] if each != "--calls"]
    module = "tests.oracle.api" if "--calls" in sys.argv else "tests.oracle"
    return realnode.main([sys.executable, "-m", module, "--record", "--at-once", "5", *chosen])


if __name__ == "__main__":
    sys.exit(main())
