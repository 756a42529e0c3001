"""`vk-provider run | show | status | explain | doctor | instances | qos-agent | completion`.

Exit codes: 0 done, 1 it did not work, 2 the settings, the arguments or the files are wrong (all faults are listed), 70
there was so little memory that the work could not go on, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vk_provider import __version__, arguments, config, logsetup
from vk_provider.errors import ConfigError, ManifestError
from vk_provider.runtime import stuck_tasks

log = logging.getLogger(__name__)

FAILED = 1
WRONG = 2
NO_MEMORY = 70
INTERRUPTED = 130
# New objects between two collections of cycles: a burst makes many objects and hardly a cycle.
YOUNG = 20_000


def main(words: Sequence[str] | None = None) -> int:
    """The exit code. A reader who closes the pipe ends the process by SIGPIPE, as other programs are ended."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        return _main(arguments.read(sys.argv[1:] if words is None else words))
    except KeyboardInterrupt:
        return INTERRUPTED
    except ManifestError as error:
        return _complain("the manifests cannot be shown", error.faults)
    except ConfigError as error:
        return _complain("the settings are wrong", error.faults)


def _main(given: arguments.Arguments) -> int:
    if "help" in given.values or "help_all" in given.values:
        return _print(arguments.help_text(given.verb, width=_width(), full="help_all" in given.values))
    if "version" in given.values:
        return _print(f"vk-provider {__version__}\n")
    if not given.verb and not given.faults:
        sys.stderr.write(arguments.help_text("", width=_width()))
        return WRONG
    if given.verb == arguments.AGENT:
        return _run_agent(given)
    settings, faults = _settings(given)
    if given.faults or faults or settings is None:
        return _complain(f"the {'settings' if faults else 'arguments'} are wrong", [*given.faults, *faults])
    if given.verb == "run":
        return _run(settings)
    return _show(settings, given) if given.verb == "show" else _operate(settings, given)


def _settings(given: arguments.Arguments) -> tuple[config.Config | None, list[str]]:
    """None, and what is wrong with them."""
    if not given.verb:
        return None, []
    file = given.values.get("config") or os.environ.get("VK_CONFIG")
    faults: list[str] = []
    toml = _toml(file, faults) if file else {}
    flags, env = given.settings(), os.environ
    if given.verb not in ("show", "completion"):
        files = {name: config.stated(name, flags=flags, env=env, toml=toml.get("toml")) for name in _FILES}
        faults += _unreadable(files)
    try:
        with_cloud = given.verb == "run" or "delete_orphans" in given.values
        return config.parse(flags=flags, env=env, with_cloud=with_cloud, **toml), faults
    except ConfigError as error:
        return None, [*faults, *error.faults]


def _toml(file: str, faults: list[str]) -> dict[str, str]:
    try:
        return {"toml": Path(file).read_text(encoding="utf-8"), "toml_name": file}
    except UnicodeDecodeError:
        faults.append(f"--config {file}: not UTF-8 text, so it is no TOML")
    except (OSError, ValueError) as error:
        faults.append(f"--config {file}: {_message_of(error)}")
    return {}


_FILES = ("kubeconfig", "tls_cert_file", "tls_key_file", "client_ca_file", *config.files_of_clouds())


def _unreadable(files: Mapping[str, str]) -> Iterator[str]:
    """Faults of the files that settings name. A kubeconfig may be several, some of which may be missing."""
    for name, stated in files.items():
        paths = [path for path in stated.split(os.pathsep if name == "kubeconfig" else "\0") if path.strip()]
        faults = []
        for path in paths:
            try:
                Path(path.strip()).expanduser().open("rb").close()
            except (OSError, ValueError, RuntimeError) as error:  # the last: ~ of a user who is not there
                faults.append(f"{config.named(name)}: {path}: {_message_of(error)}")
        if len(faults) == len(paths):
            yield from faults


def _message_of(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


def _show(settings: config.Config, given: arguments.Arguments) -> int:
    from vk_provider.show import document, files, report, verdicts  # only this verb needs them

    manifests = files.read(given.words, stdin=_standard_input, recursive="recursive" in given.values)
    findings = verdicts.judge(settings, manifests)
    if not findings.verdicts:
        raise ManifestError(report.nothing_to_show(given.words, findings))
    request = "request" in given.values
    if given.values.get("output") == "json":
        return _print(document.text(findings, request=request)) or (0 if findings.all_well else FAILED)
    style = report.Style(
        width=_width() if _is_terminal() else None,
        colour=_wants_colour(given.values.get("color", "auto")),
        request=request,
    )
    return _print(report.text(findings, style)) or (0 if findings.all_well else FAILED)


def _operate(settings: config.Config, given: arguments.Arguments) -> int:
    """The verbs that ask a running provider, its cluster or its cloud."""
    from vk_provider.commands import operation  # only these verbs need it
    from vk_provider.commands.terminal import Style

    if given.verb == "completion":
        from vk_provider.commands import completion

        return _print(completion.script(given.words[0]))
    style = Style(
        width=_width() if _is_terminal() else None, has_colour=_wants_colour(given.values.get("color", "auto"))
    )

    def complete() -> config.Config:
        file = given.values.get("config") or os.environ.get("VK_CONFIG")
        toml: dict[str, Any] = _toml(file, []) if file else {}
        return config.parse(flags=given.settings(), env=os.environ, **toml)

    stated = operation.Stated(settings, complete)
    return operation.run(given, stated, style, show=_print, complain=_complain, is_agreed=_is_agreed)


def _is_agreed(question: str) -> bool:
    """Asks on the terminal; where there is none, nobody has agreed."""
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None:
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _standard_input() -> bytes:
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _wants_colour(when: str) -> bool:
    """Source: no-color.org, for the variable."""
    if when == "auto":
        return _is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return when == "always"


def _width() -> int:
    return shutil.get_terminal_size().columns


def _print(text: str) -> int:
    """Exit code: 0, or FAILED where nobody takes the text."""
    if sys.stdout is None:  # closed by whoever started us
        return FAILED
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal need not know every letter
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # else what is left in the buffer fails once more at exit, with code 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain(f"cannot write: {error.strerror}", (), FAILED)
    return 0


def _complain(heading: str, faults: Sequence[str], code: int = WRONG) -> int:
    if sys.stderr is None:
        return code
    lines = [f"vk-provider: {heading}{':' if faults else ''}"]
    for fault in dict.fromkeys(map(_one_line, faults)):
        width = max(_width(), 40) if sys.stderr.isatty() else len(fault) + 4
        lines += textwrap.wrap(
            fault,
            width,
            initial_indent="  - ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    with suppress(OSError):  # there is nobody left to tell
        sys.stderr.write("\n".join(lines) + "\n")
    return code


def _one_line(fault: str) -> str:
    """Without what a terminal would act on: faults repeat what stood in arguments and files."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in fault)


def _run(settings: config.Config) -> int:
    from vk_provider import app  # takes its time, and a wrong setting should be told at once

    return _serve(app.run(settings), settings.log_level, settings.log_format)


def _run_agent(given: arguments.Arguments) -> int:
    from vk_provider.qos_agent import options

    try:
        settings = options.parse(flags=given.settings(), env=os.environ)
    except ConfigError as error:
        return _complain("the settings are wrong", [*given.faults, *error.faults])
    if given.faults:
        return _complain("the arguments are wrong", given.faults)
    from vk_provider.qos_agent import qos_app

    return _serve(qos_app.run(settings), settings.log_level, settings.log_format)


def _serve(serving: Coroutine[Any, Any, None], log_level: str, log_format: str) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a peer that closes its connection is no reason to end
    logsetup.set_up(log_level, log_format)
    try:
        _runner()(_until_signalled(serving))
    except ExceptionGroup as failures:
        raise _only_config_error(failures) from None
    return 0


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """uvloop where there is one, which does the same with a third less of the processor; else asyncio's own loop."""
    gc.set_threshold(YOUNG)
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _until_signalled(serving: Any) -> None:
    """SIGTERM and SIGINT end it in order."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end_if_lost)
    stuck_tasks.watch_over(loop, _end_as_lost)
    task = asyncio.ensure_future(serving)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def _end_if_lost(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback that failed for want of memory may be the one that a task was to go on by. That task never does, and
    who waits for it waits for ever, an orderly end too; whoever starts us anew finds everything as it was (N27)."""
    try:
        loop.default_exception_handler(context)
    finally:
        if "handle" in context and isinstance(context.get("exception"), MemoryError):
            os._exit(NO_MEMORY)


def _end_as_lost(task: asyncio.Task[Any]) -> None:
    try:
        log.error("task=%r can never go on, for want of memory; ending", task.get_name())
    finally:
        os._exit(NO_MEMORY)


def _only_config_error(failures: ExceptionGroup[Exception]) -> Exception:
    """Tasks that found settings wrong end the group; those faults are what the user needs, not the group."""
    matching = failures.subgroup(ConfigError)
    return ConfigError([fault for error in _leaves(matching) for fault in error.faults]) if matching else failures


def _leaves(group: BaseExceptionGroup[ConfigError]) -> Iterator[ConfigError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
