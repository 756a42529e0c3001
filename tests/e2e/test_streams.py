"""exec, attach, cp, port-forward and logs through a real API server, with each kubectl: SPDY and WebSocket both."""

import hashlib
import os
import pty
import re
import select
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Space
from tests.e2e.conftest import make_space
from tests.e2e.manifests import pod

SCRIPT = """
i=0
while :; do i=$((i+1)); echo line $i; sleep 0.5; done &
exec python3 -m http.server 8080 2>/dev/null
"""
BIG = 50 * 1024 * 1024


@pytest.fixture(scope="module")
def busy(cluster: Cluster, node: str) -> Iterator[Space]:
    """A namespace with a pod `web`, which talks and serves."""
    with make_space(cluster) as space:
        space.create(pod("web", SCRIPT, node=node, image="python"))
        space.when_ready("web")
        yield space


def command(space: Space, kubectl: str, *words: str) -> list[str]:
    return [kubectl, f"--kubeconfig={space.cluster.kubeconfig}", "-n", space.name, *words]


def run(space: Space, kubectl: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(space, kubectl, *words), input=stdin, capture_output=True, timeout=90, check=False)


def test_a_command_s_words_output_and_exit_code(busy: Space, kubectl: str) -> None:
    done = run(busy, kubectl, "exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr
    assert done.returncode == 7
    assert run(busy, kubectl, "exec", "web", "--", "true").returncode == 0


def test_a_command_that_is_not_there_is_said(busy: Space, kubectl: str) -> None:
    done = run(busy, kubectl, "exec", "web", "--", "no-such-program")
    assert done.returncode != 0
    assert done.stderr


def test_much_goes_in_and_comes_back_intact(busy: Space, kubectl: str) -> None:
    sent = os.urandom(BIG)
    done = run(busy, kubectl, "exec", "-i", "web", "--", "cat", stdin=sent)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


def test_a_terminal_has_the_size_of_ours(busy: Space, kubectl: str) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    subprocess.run(["stty", "rows", "33", "cols", "77"], stdin=theirs, check=True)
    words = command(busy, kubectl, "exec", "-it", "web", "--", "sh", "-c", "sleep 1; stty size; test -t 0 && exit 5")
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as shell:
        os.close(theirs)
        seen, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline and shell.poll() is None:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    seen += os.read(ours, 65536)
                except OSError:
                    break
        assert shell.wait(30) == 5
    os.close(ours)
    assert b"33 77" in seen


def test_files_are_copied_both_ways(busy: Space, kubectl: str, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(100 * 1024 * 1024))
    assert run(busy, kubectl, "cp", str(there), "web:/tmp/blob").returncode == 0
    assert run(busy, kubectl, "cp", "web:/tmp/blob", str(back)).returncode == 0
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


@contextmanager
def forwarding(space: Space, kubectl: str) -> Iterator[str]:
    words = command(space, kubectl, "port-forward", "pod/web", ":8080", "--address=127.0.0.1")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tunnel:
        assert tunnel.stdout is not None
        told = tunnel.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", told)
        assert found is not None, told
        yield f"http://127.0.0.1:{found.group(1)}/"
        tunnel.send_signal(signal.SIGINT)
        tunnel.communicate(timeout=20)


def test_twenty_requests_at_once_pass_through_a_forwarded_port(busy: Space, kubectl: str) -> None:
    def get(url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())

    with forwarding(busy, kubectl) as url, ThreadPoolExecutor(20) as pool:
        pages = list(pool.map(get, [url] * 60))
    assert len(set(pages)) == 1
    assert b"Directory listing" in pages[0]


@contextmanager
def following(space: Space, kubectl: str, *words: str) -> Iterator[list[str]]:
    """The first five lines of something that goes on."""
    with subprocess.Popen(
        command(space, kubectl, *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        yield [process.stdout.readline().decode() for _ in range(5)]
        process.kill()


def numbers(lines: list[str]) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in lines]


def test_the_log_is_followed_with_times_from_a_moment_on(busy: Space, kubectl: str) -> None:
    with following(busy, kubectl, "logs", "-f", "--timestamps", "--since=3s", "web") as lines:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d+\n$", line) for line in lines)
        first = numbers(lines)[0]
        assert numbers(lines) == list(range(first, first + 5)), "nothing is lost and nothing comes twice"


def test_a_pod_is_attached_to(busy: Space, kubectl: str) -> None:
    with following(busy, kubectl, "attach", "web") as lines:
        first = numbers(lines)[0]
        assert numbers(lines) == list(range(first, first + 5))


def test_fifty_sessions_at_once(busy: Space, kubectl: str) -> None:
    def session(number: int) -> tuple[int, bytes]:
        done = run(busy, kubectl, "exec", "web", "--", "sh", "-c", f"echo {number}; exit {number}")
        return done.returncode, done.stdout

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(session, range(50)))
    assert results == [(number, f"{number}\n".encode()) for number in range(50)]
