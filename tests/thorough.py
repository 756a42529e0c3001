"""How much of the same is tried: a part of it in `make test`, all of it in `make long`.

A rule keeps its test in both. What is tried less often is the same thing again: further examples of a property, further
steps of a story at which a process dies, further pods of a crowd. Tables are never cut.
"""

import os

import pytest

THOROUGH = os.environ.get("VK_TEST_THOROUGH", "") not in ("", "0")
thorough = pytest.mark.thorough  # beside the property tests, what `make long` tries again in full


def examples(many: int) -> int:
    """So many of a property's examples, or a quarter of them."""
    return many if THOROUGH else max(25, many // 4)
