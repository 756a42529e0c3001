"""OCI image archives, as `ctr images import`, `podman load` and `skopeo` take them. Like content gives like bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True)
class Layer:
    """digest: of its compressed tar. diff_id: of the tar itself."""

    digest: str
    diff_id: str
    compressed: bytes = field(repr=False)


def layer(root: Path) -> Layer:
    """All that is below a folder, owned by root and without times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_below(root)):
            info = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = 0
            if info.isreg() or info.islnk():  # a hard link is a file of its own here
                info.type, info.size = tarfile.REGTYPE, path.stat().st_size
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    plain = out.getvalue()
    compressed = gzip.compress(plain, 6, mtime=0)
    return Layer(_digest(compressed), _digest(plain), compressed)


def _below(root: Path) -> Iterable[Path]:
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind) or stat.S_ISREG(kind) or stat.S_ISLNK(kind):
                yield path


def write(output: Path, *, name: str, architecture: str, layers: Sequence[Layer], config: Mapping[str, Any]) -> str:
    """Write the archive. name: with its registry and tag. config: User, Entrypoint, Env … Gives the image's digest."""
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
    }
    blobs = {each.digest: each.compressed for each in layers}

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = _digest(content)
        blobs[digest] = content
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": digest, "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": blob(_json(image), "config.v1+json"),
        "layers": [
            {"mediaType": f"{_MEDIA}.layer.v1.tar+gzip", "digest": each.digest, "size": len(each.compressed)}
            for each in layers
        ],
    }
    listed = blob(_json(manifest), "manifest.v1+json")
    reference, tag = name, name.rpartition(":")[2]
    annotations = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag}
    platform = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "manifests": [{**listed, "annotations": annotations, "platform": platform}]}
    with tarfile.open(output, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", _json(index))
        for digest, content in sorted(blobs.items()):
            _add(tar, f"blobs/{digest.replace(':', '/')}", content)
    return str(listed["digest"])


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
