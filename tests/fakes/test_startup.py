"""What a person sees of a part that cannot start: one line, and no traceback."""

import signal
import socket
import subprocess
import sys

import pytest


def fakes(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "fakes", *arguments], capture_output=True, text=True, timeout=60, check=False, **more
    )


@pytest.fixture(scope="module")
def used():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("part", "arguments"), [("cloud", ["--port={port}"]), ("kube", ["--port={port}", "--kubeconfig={file}"])]
)
def test_a_port_in_use_is_told_in_one_line(part, arguments, used, tmp_path):
    filled = [argument.format(port=used, file=tmp_path / "kubeconfig") for argument in arguments]
    done = fakes(part, *filled)
    assert done.returncode == 1
    assert done.stderr == f"fakes {part}: port {used} of 127.0.0.1 is in use; choose another, or 0 for any free one\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cloud", "--port=99999"], "'99999' is no port"),
        (["kube", "--port=x", "--kubeconfig=k"], "'x' is no port"),
        (["cloud", "--images=/nonexistent.toml"], "/nonexistent.toml: No such file or directory"),
        (["kube", "--kubeconfig=/dev/null/k"], "/dev/null"),
        (["cloud", "--host=203.0.113.9"], "is no address of this machine; choose another host"),
        (["kube", "--host=203.0.113.9", "--kubeconfig=k"], "is no address of this machine; choose another host"),
        ([], "cloud | kube | up | demo"),
        (["clod"], "invalid choice: 'clod'"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_named(arguments, words, tmp_path):
    done = fakes(*arguments, cwd=tmp_path, env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin"})
    assert done.returncode in (1, 2)
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_up_tells_which_part_could_not_start_and_where_its_log_is(used, tmp_path):
    done = fakes("up", f"--cloud-port={used}", f"--dir={tmp_path}")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    told = [line for line in told if "networks of their own" not in line]  # that is for users who may make none
    assert told == [
        "fakes up: cloud ended with code 1:",
        f"fakes cloud: port {used} of 127.0.0.1 is in use; choose another, or 0 for any free one",
        f"logs: {tmp_path}",
    ]


def test_an_interrupt_ends_it_quietly():
    process = subprocess.Popen([sys.executable, "-m", "fakes", "cloud"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"listening" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, b"")
