"""What is in an image, as a CycloneDX 1.5 document: Debian's packages and Python's; versions, hashes and licences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from zipfile import ZipFile


@dataclass(frozen=True)
class Component:
    """purl: as package-url.org has it. sha256: of the file that it came in. licence: as its author wrote it."""

    name: str
    version: str
    purl: str
    sha256: str
    licence: str = ""


def of_deb(file: Path) -> Component:
    """By a file's name, as `apt-get download` writes it: NAME_VERSION_ARCHITECTURE.deb, a colon as %3a."""
    name, version, architecture = file.stem.split("_")
    version = unquote(version)
    purl = f"pkg:deb/debian/{name}@{quote(version, safe='~+:')}?arch={architecture}"
    return Component(name, version, purl, _sha256(file))


def of_wheel(file: Path) -> Component:
    with ZipFile(file) as wheel:
        (metadata,) = [
            name for name in wheel.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
        ]
        about = HeaderParser().parsestr(wheel.read(metadata).decode(errors="replace"))
    name, version = about["Name"], about["Version"]
    licence = about["License-Expression"] or (about["License"] or "").partition("\n")[0]
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return Component(name, version, purl, _sha256(file), licence[:100])


def document(name: str, version: str, components: Iterable[Component]) -> dict[str, Any]:
    """Of the image `name`. Without a serial number and a time, so that the same content gives the same document."""
    root = {"type": "container", "name": name, "version": version, "bom-ref": f"{name}:{version}"}
    known: Sequence[Component] = sorted(components, key=lambda each: each.purl)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": root},
        "components": [_entry(each) for each in known],
        "dependencies": [{"ref": root["bom-ref"], "dependsOn": [each.purl for each in known]}],
    }


def _entry(component: Component) -> dict[str, Any]:
    entry = {
        "type": "library",
        "bom-ref": component.purl,
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
        "hashes": [{"alg": "SHA-256", "content": component.sha256}],
    }
    return {**entry, "licenses": [{"license": {"name": component.licence}}]} if component.licence else entry


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
