"""The command line: what it prints and how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vk_provider import __version__, arguments, cli, config
from vk_provider.errors import ConfigError


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

asyncio.run(cli._until_signalled(serve()))
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

asyncio.run(cli._until_signalled(serve()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 70, done.stderr
    assert "can never go on" in done.stderr


# --- what a stranger types --------------------------------------------------------------------------------------------

REGION = "--eci-region=cn-hangzhou"


def faults_of(*arguments, env=None):
    done = vk(*arguments, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    heading, *faults = done.stderr.splitlines()
    assert heading.startswith("vk-provider: the ")
    return [fault.removeprefix("  - ") for fault in faults]


@pytest.mark.parametrize(
    ("arguments", "faults"),
    [
        (["shwo"], ["shwo: no such verb; did you mean show?"]),
        (["please"], [f"please: no such verb; use one of {', '.join(arguments.VERBS)}"]),
        (["-x"], ["-x: no such option; `vk-provider --help` lists them"]),
        (["run", REGION, "--node-nmae", "x"], ["--node-nmae: no such option; did you mean --node-name?"]),
        (["run", REGION, "--node-nmae=x"], ["--node-nmae: no such option; did you mean --node-name?"]),
        (["run", REGION, "--zzz"], ["--zzz: no such option; `vk-provider run --help` lists them"]),
        (["run", REGION, "--node"], ["--node: no such option; did you mean --node-ip?"]),
        (["run", REGION, "extra"], ["extra: run takes options only"]),
        (["run", REGION, "--node-name"], ["--node-name: needs a value, --node-name=NAME"]),
        (["run", "--node-name", REGION], ["--node-name: needs a value, --node-name=NAME"]),
        (["run", REGION, "--node-name=a", "--node-name=b"], ["--node-name: given 2 times (a, b); give it once"]),
        (["run", REGION, "--eci-security-token=a", "--eci-security-token=b"],
         ["--eci-security-token: given 2 times; give it once"]),
        (["run", REGION, "--adopt-node", "maybe"], ["maybe: run takes options only"]),
        (["run", REGION, "--adopt-node=maybe"], ["--adopt-node = 'maybe': expected true or false"]),
        (["show"], ["no manifest is given; name files or directories, or - for standard input"]),
        (["show", "--kubelet-port=1", "x.yaml"],
         ["--kubelet-port: no such option; it is one of run, and does not change what show shows; leave it out"]),
        (["show", "-o", "yaml", "x.yaml"], ["-o = 'yaml': expected one of text, json"]),
        (["show", "--request=yes", "x.yaml"], ["--request: takes no value"]),
        (["show", "--eci-region=mrs", "x.yaml"], None),
        (["run", REGION, "--config=/dev/null/x"], ["--config /dev/null/x: Not a directory"]),
        (["run", REGION, "--config=/proc/self/exe"], ["--config /proc/self/exe: not UTF-8 text, so it is no TOML"]),
        (["run", REGION, "--config=/"], ["--config /: Is a directory"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_word_is_told_with_what_to_write(arguments, faults):
    found = faults_of(*arguments)
    if faults is None:
        assert len(found) == 1
    else:
        assert found == faults


def test_arguments_settings_and_files_are_told_at_once(tmp_path):
    file = tmp_path / "vk.toml"
    file.write_text('[section]\nx = 1\n[eci]\nvswitch = ["vsw-…"]\nsecurity_group = "sg-…"\n')
    found = faults_of(
        "run",
        f"--config={file}",
        "--node-nmae=x",
        "--kubeconfig=/nonexistent/a:/nonexistent/b",
        "--tls-cert-file=/nonexistent/c",
        "--client-ca-file=/nonexistent/d",
        env={"ECI_REGION": "cn-hangzou", "VK_NODE_NMAE": "x"},
    )
    starts = [
        "--node-nmae: no such option",
        "--kubeconfig / KUBECONFIG: /nonexistent/a: No such file",
        "--kubeconfig / KUBECONFIG: /nonexistent/b: No such file",
        "--tls-cert-file / APISERVER_CERT_LOCATION: /nonexistent/c: No such file",
        "--client-ca-file / VK_CLIENT_CA_FILE: /nonexistent/d: No such file",
        f"{file}: unknown key section",
        f"{file}: [eci] vswitch = ['vsw-…']: this is a placeholder",
        f"{file}: [eci] security_group = 'sg-…': this is a placeholder",
        "environment variable VK_NODE_NMAE: unknown; did you mean VK_NODE_NAME?",
        "--tls-cert-file and --tls-key-file: give both",
        "--eci-region: cn-hangzou is not a region that this version knows; did you mean cn-hangzhou",
    ]
    assert len(found) == len(starts)
    for fault, start in zip(found, starts, strict=True):
        assert fault.startswith(start)


def test_the_settings_of_the_deployment_have_to_be_filled_in(tmp_path):
    """deploy/base/vk-provider.yaml as it is, without a look at it."""
    documents = yaml.safe_load_all((Path(__file__).parents[1] / "deploy" / "base" / "vk-provider.yaml").read_text())
    (settings,) = [each for each in documents if each["kind"] == "ConfigMap"]
    file = tmp_path / "vk.toml"
    file.write_text(settings["data"]["vk-provider.toml"])
    found = faults_of("run", f"--config={file}")
    assert len(found) == 2
    assert all("this is a placeholder; write" in fault for fault in found)


def test_lists_may_be_given_piece_by_piece():
    given = arguments.read(
        ["run", "--eci-vswitch=vsw-a", "--eci-vswitch", "vsw-b,vsw-c", "--adopt-node", "--workers=2"]
    )
    assert given.faults == []
    assert given.settings() == {"eci_vswitch": "vsw-a,vsw-b,vsw-c", "adopt_node": "true", "workers": "2"}


def test_what_follows_two_dashes_is_a_file():
    assert arguments.read(["show", "-R", "--", "-o", "a.yaml"]).words == ["-o", "a.yaml"]
    assert arguments.read(["show", "-"]).words == ["-"]
    assert arguments.read(["show", "-ojson", "-"]).values == {"output": "json"}


WORDS = st.sampled_from(
    ["run", "show", "-", "--", "-o", "-ojson", "--node-name", "--adopt-node", "true", "--x=", "", "=", "-R"]
)


@given(st.lists(WORDS | st.text(max_size=4), max_size=6))
def test_no_command_line_ends_in_a_traceback(words):
    read = arguments.read(words)
    given = read
    assert all(isinstance(each, str) for each in (*given.faults, *given.words, *given.values.values()))
    assert given.verb in ("", "run", "show")


def test_without_a_verb_it_says_how_it_is_used():
    done = vk()
    assert (done.returncode, done.stdout) == (2, "")
    usage = "usage: vk-provider run|show|status|explain|doctor|instances|qos-agent|completion"
    assert done.stderr.startswith(usage)


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 30])
def test_help_fits_the_terminal_and_is_short(width):
    most = {"": 21, "run": 165, "show": 65, "doctor": 170, "instances": 172, "qos-agent": 60}
    for verb in ("", *arguments.VERBS):
        lines = arguments.help_text(verb, width=width).splitlines()
        assert max(len(line) for line in lines) <= max(width, 80)
        if width == 80:
            assert len(lines) <= most.get(verb, 35)


def test_help_is_in_groups_and_shows_what_a_value_is():
    text = arguments.help_text("run", width=80)
    for part in (
        "\nThe cluster:\n  --kubeconfig FILE ",
        "\nThe node:\n  --node-name NAME ",
        "\nThe kubelet API:\n  --kubelet-port N ",
        "\nThe cloud:\n  --cloud eci",
        "\n  --eci-region REGION ",
        "\nPace:\n  --poll-interval-s SECONDS ",
        "\nThe log:\n  --log-level debug|info|warning|error\n",
        "  --adopt-node   ",
        "  --live-configuration true|false ",
        "  --quota-cpu QUANTITY ",
    ):
        assert part in text
    sections = {about["section"] for about in config.settings().values()}
    assert "" not in sections
    assert "SECRET_KEY" not in text.replace("ECI_SECRET_KEY", "")


def test_help_with_reasons_has_every_word_of_every_setting():
    text = " ".join(arguments.help_text("run", width=80, full=True).split())
    for name, about in config.settings().items():
        assert config.flag_of(name) in text
        assert " ".join(about["text"].split()) in text
        assert all(variable in text for variable in about["env"])


def test_help_of_show_has_only_what_show_uses():
    text = vk("show", "--help").stdout
    assert "--eci-vswitch" in text
    assert "--request" in text
    for other in ("--kubelet-port", "--eci-access-key", "--workers", "--log-level", "--kubeconfig"):
        assert other not in text


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_an_interrupt_ends_it_quietly_with_130():
    process = subprocess.Popen(
        [sys.executable, "-m", "vk_provider", "show", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")


def wait_until_it_reads(process):
    """Its standard input, which nobody writes to: the kernel says in which call it waits, and of which descriptor."""
    call = Path(f"/proc/{process.pid}/syscall")
    for _ in range(1000):
        number, descriptor, *_ = [*call.read_text().split(), "", ""]
        if (number, descriptor) == ("0", "0x0"):
            return
        time.sleep(0.02)
    raise AssertionError("it never waits for its input")


@pytest.mark.parametrize("arguments", [["run", "--help-all"], ["--help"], ["--version"]])
def test_a_reader_that_leaves_ends_help_without_a_word(arguments):
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "vk_provider", *arguments], stdout=theirs, stderr=subprocess.PIPE, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (-13, b"")


def test_settings_that_several_tasks_found_wrong_are_told_together():
    groups = ExceptionGroup("a", [ConfigError(["one"]), ExceptionGroup("b", [ConfigError(["two", "three"])])])
    error = cli._only_config_error(ExceptionGroup("c", [groups, ValueError("x")]))
    assert isinstance(error, ConfigError)
    assert error.faults == ("one", "two", "three")
