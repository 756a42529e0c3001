"""Names of images, read as container runtimes read them (contract S30, S31).

Source: the grammar of github.com/distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vk_provider import bounds
from vk_provider.errors import PodNotReady
from vk_provider.model.pod import Json

HUB = "docker.io"
_HUB_OF_OLD = "index.docker.io"

_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_BARE_ID = re.compile(r"[a-f0-9]{64}")
_MOST = 255


@dataclass(frozen=True, slots=True)
class ImageName:
    """host: of the registry, with its port; the hub's for a name without one. path: below it, without tag or digest."""

    host: str
    path: str


class BadName(ValueError):
    """Not the name of an image; the text says why."""


def parse(name: str) -> ImageName:
    """The parts of an image's name. Raises BadName."""
    if len(name) > bounds.MOST_IMAGE:
        raise BadName(f"repository name must not be more than {_MOST} characters")
    rest, at, digest = name.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise BadName("invalid reference format")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise BadName("invalid reference format")
    if _BARE_ID.fullmatch(rest):
        raise BadName(f"invalid repository name ({rest}), cannot specify 64-byte hexadecimal strings")
    host, path = _parted(f"{head}{slash}{last}")
    if not _HOST.fullmatch(host):
        raise BadName("invalid reference format")
    if not _PATH.fullmatch(path):
        if _PATH.fullmatch(path.lower()):
            raise BadName(f"invalid reference format: repository name ({path}) must be lowercase")
        raise BadName("invalid reference format")
    if len(f"{host}/{path}") > _MOST:
        raise BadName(f"repository name must not be more than {_MOST} characters")
    return ImageName(host, path)


def check(container: Json) -> None:
    """Raises PodNotReady for a name that no runtime takes: the pod waits, for an image can be changed in place."""
    image = container["image"]
    try:
        parse(image)
    except BadName as error:
        image = bounds.shortened(image, _MOST)
        message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {error}'
        raise PodNotReady(
            message, event_reason="InspectFailed", waiting_reason="InvalidImageName", container=container["name"]
        ) from None


def _parted(name: str) -> tuple[str, str]:
    """Host and path. The first part is a host if it cannot be a folder: it has a dot, a port or a capital letter."""
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        host, path = HUB, name
    else:
        host, path = (HUB if first == _HUB_OF_OLD else first), rest
    return host, f"library/{path}" if host == HUB and "/" not in path else path
