"""Service addresses on a real node: kube-proxy of the control plane's module, and the nft that it writes rules with."""

import os
import platform
import shutil
import tempfile
from pathlib import Path

from tests.e2e.building import run
from tests.e2e.processes import Process

PROGRAM = {"kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy"}
_LIBRARIES = (
    *("libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libedit2", "libbsd0", "libmd0", "libgmp10"),
    *("libxtables12", "libtinfo6"),
)


def unpack_nft(target: Path) -> None:
    """nft out of the distribution's packages, with its libraries, into a folder of programs. Installs nothing."""
    if (target / "nft").exists():
        return
    root = target / "nftables"
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        packages = ["nftables", *_LIBRARIES]
        run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages], cwd=Path(folder))
        for package in Path(folder).glob("*.deb"):
            run(["dpkg", "-x", str(package), str(root)])
    libraries = ":".join(f"{root}/{top}lib/{platform.machine()}-linux-gnu" for top in ("", "usr/"))
    (target / "nft").write_text(f'#!/bin/sh\nexec env LD_LIBRARY_PATH={libraries} {root}/usr/sbin/nft "$@"\n')
    (target / "nft").chmod(0o755)


def proxy(directory: Path, *, kubeconfig: Path, node: str) -> Process:
    """Not started yet. What comes from a Service is masked, so that answers come back the same way."""
    command = [
        "kube-proxy",
        f"--kubeconfig={kubeconfig}",
        "--proxy-mode=nftables",
        f"--hostname-override={node}",
        "--masquerade-all",
        # The settings of connection tracking are the machine's.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]
    return Process("kube-proxy", command, directory=directory, env=dict(os.environ))
