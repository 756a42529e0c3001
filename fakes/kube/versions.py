"""What a CustomResourceDefinition says of one of its versions, as data."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One of additionalPrinterColumns."""

    name: str
    type: str
    path: str
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Scale:
    """Where a custom resource keeps its replicas and what selects its pods. Paths start with a dot."""

    spec: str
    status: str
    selector: str = ""


@dataclass(frozen=True, eq=False)
class Version:
    """What a definition says of one of its versions."""

    schema: Json
    columns: tuple[Column, ...]
    scale: Scale | None
