"""`python -m tests.monitoring.record NODE > tests/data/monitoring/scrape.txt`: the metrics of a provider that runs.

Of the cluster that KUBECONFIG names, as `make up` prints one; let some pods come and go before.
"""

import subprocess
import sys

if __name__ == "__main__":
    node = sys.argv[1] if len(sys.argv) > 1 else "virtual-kubelet"
    sys.exit(subprocess.run(["kubectl", "get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics"], check=False).returncode)
