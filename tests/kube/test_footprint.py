"""What a start brings into memory: what few need must not be there for all."""

from __future__ import annotations

import subprocess
import sys


def test_the_models_of_kubernetes_asyncio_are_not_loaded_by_a_start():
    large = ("kubernetes_asyncio", "alibabacloud_credentials")
    program = f"import sys, vk_provider.app; print(*(name in sys.modules for name in {large}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
