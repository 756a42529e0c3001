"""The command line: what it prints and how it ends."""

import os
import subprocess
import sys

import pytest

from vk_provider import __version__


def vk(*arguments, env=None):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ECI_", "VK_", "ALIBABA_", "KUBE"))}
    return subprocess.run(
        [sys.executable, "-m", "vk_provider", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", "HOME": "/nonexistent", **(env or {})},
        check=False,
    )


def test_version():
    assert vk("--version").stdout.strip() == f"vk-provider {__version__}"


def test_wrong_settings_end_with_2_and_a_line_for_each(tmp_path):
    file = tmp_path / "vk.toml"
    file.write_text('node_nmae = "x"\nkubelet_port = 99999\n')
    done = vk("run", f"--config={file}", "--poll-interval-s=never")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("  - ")]
    assert len(lines) == 4
    assert "did you mean node_name?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--config=/nonexistent/vk.toml"], "/nonexistent/vk.toml"),
        (["--kubeconfig=/nonexistent/config", "--eci-access-key=a", "--eci-secret-key=b"], "/nonexistent/config"),
        (["--eci-access-key=a", "--eci-secret-key=b"], "KUBERNETES_SERVICE_HOST"),
    ],
)
def test_what_is_not_there_is_named(arguments, part):
    done = vk("run", "--eci-region=cn-hangzhou", *arguments)
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_flag_variable_and_default_of_every_setting():
    text = vk("run", "--help", env={"COLUMNS": "500"}).stdout
    assert "--node-name" in text
    assert "VK_NODE_NAME" in text
    assert "default virtual-kubelet" in text
    assert "ECI_VSWITCH" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param("MemoryError()", 70, id="no memory"),
        pytest.param("ValueError('x')", 0, id="anything else"),
    ],
)
def test_who_lost_a_callback_for_want_of_memory_ends(error, code):
    """The task that the callback would have gone on with stands still for good, and with it all that wait for it."""
    script = f"""
import asyncio
from vk_provider import cli

def fail():
    raise {error}

async def serve():
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0.5)

asyncio.run(cli._until_told(serve()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    assert error.partition("(")[0] in done.stderr


def test_who_lost_a_wakeup_for_want_of_memory_ends():
    """Whoever met the MemoryError took it for something else."""
    script = """
import asyncio
from vk_provider import cli

def no_memory(*_, **__):
    raise MemoryError

async def serve():
    loop = asyncio.get_running_loop()
    waits_for = loop.create_future()

    async def read():
        async with asyncio.timeout(1):
            await waits_for

    watch = asyncio.create_task(read(), name="pods")
    await asyncio.sleep(0)
    loop.call_soon = no_memory
    try:
        waits_for.set_result(None)
    except MemoryError:
        del loop.call_soon
    await watch

asyncio.run(cli._until_told(serve()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70, done.stderr
    assert "can never go on" in done.stderr
