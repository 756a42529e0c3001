"""YAML files of the tests, read by libyaml where PyYAML has it: many times as fast, and each worker reads 600."""

from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(path: Path) -> list[Any]:
    """All that are not empty."""
    return [each for each in yaml.load_all(path.read_text(), LOADER) if each]
