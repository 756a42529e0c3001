"""The programs of Kubernetes' own tests, and the images that they use, for the fake cloud's process runtime.

`test/e2e`, its runner and the programs of the test images are built from the module that `make e2e` builds the control
plane from. An image's root is a static busybox with the image's own program beside it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.e2e import build, modules
from tests.e2e.authority import Authority
from tests.oracle.images import PATH, busybox_root, static_bash

PROGRAMS = {
    "e2e.test": "k8s.io/kubernetes/test/e2e",
    "ginkgo": "github.com/onsi/ginkgo/v2/ginkgo",
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    "nnp": "k8s.io/kubernetes/test/images/nonewprivs",
}
# agnhost has a curl of its own, which the tests of hooks call with an address and nothing else.
_CURL = '#!/bin/sh\nexec wget -q -O - "$@"\n'
# A busybox of Debian's drops variables whose names no shell knows, which that of the tests' image does not: bash stands
# in for it where there are any. Elsewhere it is busybox, whose words the tests know.
_SHELL = r"""#!/bin/bash
while IFS= read -r -d '' variable; do
  [[ ${variable%%=*} =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || exec -a /bin/sh /bin/bash "$@"
done < /proc/self/environ
exec -a /bin/sh /bin/busybox "$@"
"""
_SERVER = "mkdir -p /tmp/w && echo nginx > /tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w"
_USER = "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n"
_GROUPS = "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n"


def folder() -> Path:
    """With every program in it, compiled the first time: some six minutes on two cores. Raises CannotBuild."""
    target = build.cache_folder() / f"conformance-{modules.version()}-{modules.fingerprint()}"
    modules.build_more(PROGRAMS, target, cache=build.cache_folder())
    return target


def images(programs: Path, directory: Path) -> str:
    """The images file, whose roots are made in the directory. Raises CannotBuild where there is no busybox."""
    plain = busybox_root(directory / "busybox")
    (plain / "bin" / "sh").unlink()
    shutil.copy(static_bash(), plain / "bin" / "bash")
    (plain / "bin" / "sh").write_text(_SHELL)
    (plain / "bin" / "sh").chmod(0o755)
    agnhost = busybox_root(directory / "agnhost")
    shutil.copy(static_bash(), agnhost / "bin" / "bash")
    shutil.copy(programs / "agnhost", agnhost / "agnhost")
    (agnhost / "agnhost-2").symlink_to("agnhost")
    (agnhost / "uploads").mkdir()
    served = Authority("localhost").server(["127.0.0.1", "::1"])  # hooks and probes by HTTPS
    (agnhost / "localhost.crt").write_bytes(served.certificate)
    (agnhost / "localhost.key").write_bytes(served.key)
    (agnhost / "bin" / "curl").write_text(_CURL)
    (agnhost / "bin" / "curl").chmod(0o755)
    with (agnhost / "etc" / "passwd").open("a") as users, (agnhost / "etc" / "group").open("a") as groups:
        users.write(_USER)
        groups.write(_GROUPS)
    privileged = busybox_root(directory / "nonewprivs")
    (privileged / "usr" / "local" / "bin").mkdir(parents=True)
    shutil.copy(programs / "nnp", privileged / "usr" / "local" / "bin" / "nnp")
    (privileged / "usr" / "local" / "bin" / "nnp").chmod(0o6755)
    return "\n".join(
        (
            _image("agnhost", agnhost, entrypoint=["/agnhost"], command=["pause"]),
            _image("pause", agnhost, entrypoint=["/agnhost", "pause"]),
            _image("busybox", plain, command=["sh"]),
            _image("nginx", plain, command=["sh", "-c", _SERVER]),
            _image("nonewprivs", privileged, command=["nnp"]),
            _image("nonroot", plain, command=["sh"], user="1234"),
            _image("glibc-dns-testing", plain, command=["sh"]),
            _image("kitten", plain, command=["sh", "-c", _SERVER]),
        )
    )


def _image(name: str, root: Path, **more: object) -> str:
    given = {"name": name, "root": str(root), "pull_s": 0.2, **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    return "\n".join(["[[image]]", *lines, f'env = {{ PATH = "{PATH}" }}', ""])
