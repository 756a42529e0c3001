"""`vk-provider run | show`.

Exit codes: 0 done, 1 it did not work, 2 the settings or the arguments are wrong (all faults are listed), 70 there was
so little memory that the work could not go on.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vk_provider import __version__, config, logsetup, wakeups
from vk_provider.errors import ConfigError

log = logging.getLogger(__name__)

WRONG = 2
NO_MEMORY = 70
# New objects between two looks for dead cycles: a burst makes many objects and hardly a cycle.
YOUNG = 20_000


def main(arguments: Sequence[str] | None = None) -> int:
    args = vars(_parser().parse_args(arguments))
    verb, file = args.pop("verb"), args.pop("config", None)
    manifests = args.pop("manifests", ())
    try:
        settings = config.parse(flags=args, env=_environment(verb, file), **_toml(file))
        if verb == "show":
            from vk_provider.show import main as show  # only this verb needs it

            return show(settings, manifests)
        return _run(settings)
    except ConfigError as error:
        _complain(error)
        return WRONG


def _run(settings: config.Config) -> int:
    from vk_provider import app  # takes its time, and a wrong setting should be told at once

    logsetup.set_up(settings.log_level, settings.log_format)
    try:
        _runner()(_until_told(app.run(settings)))
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


async def _until_told(serving: Any) -> None:
    """SIGTERM and SIGINT end it in order."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end_if_lost)
    wakeups.watch_over(loop, _end_as_lost)
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
    """A task that found a setting wrong ends the group; that fault is what the user needs, not the group."""
    matching = failures.subgroup(ConfigError)
    error: BaseException | None = matching
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, ConfigError) else failures


def _complain(error: ConfigError) -> None:
    print("vk-provider: the settings are wrong:", file=sys.stderr)
    for fault in error.faults:
        print(f"  - {fault}", file=sys.stderr)


def _toml(file: str | None) -> dict[str, str]:
    name = file or os.environ.get("VK_CONFIG")
    if not name:
        return {}
    try:
        return {"toml": Path(name).read_text(), "toml_name": name}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"--config {name}: {error}"]) from error


def _environment(verb: str, file: str | None) -> Mapping[str, str]:  # noqa: ARG001
    """`show` reaches no cloud, so no region need be set for it."""
    if verb == "show" and not any(name in os.environ for name in (*config.env_names("eci_region"), "VK_ECI_ENDPOINT")):
        return {**os.environ, "VK_ECI_ENDPOINT": "http://localhost"}
    return os.environ


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="vk-provider", description="Runs pods as Elastic Container Instances.")
    top.add_argument("--version", action="version", version=f"vk-provider {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="run | show")
    run = verbs.add_parser("run", help="serve a virtual node until told to stop")
    show = verbs.add_parser("show", help="print the cloud request that Pods and Jobs in a file would make")
    show.add_argument("manifests", nargs="+", metavar="FILE.yaml", help="manifests; - for standard input")
    for verb in (run, show):
        verb.add_argument("--config", metavar="FILE", help="TOML file with settings (VK_CONFIG)")
        _add_settings(verb)
    return top


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for name, about in config.settings().items():
        default = about["default"]
        text = str(about["text"]).replace("%", "%%")
        shown = "" if default in ("", (), {}, False) else f"; default {default}"
        names = [config.flag_of(name)]
        options: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        if about["is_switch"]:
            options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
        else:
            options["metavar"] = name.rpartition("_")[2].upper()
        parser.add_argument(*names, help=f"{text}{shown} ({', '.join(about['env'])})", **options)
