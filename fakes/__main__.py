"""`python -m fakes cloud | kube | up | demo`: the parts alone, all of them, or the story they tell."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module

PARTS = {
    "cloud": ("fakes.cloud.cli", "a fake Elastic Container Instance cloud that official SDKs talk to"),
    "kube": ("fakes.kube.cli", "an embedded stand-in for a Kubernetes control plane"),
    "up": ("fakes.up", "both, and the provider, until Ctrl-C"),
    "demo": ("fakes.demo", "the founding Job, told live"),
}


def parser() -> argparse.ArgumentParser:
    """Only the chosen part is imported, so that one part starts fast and needs nothing of the others."""
    top = argparse.ArgumentParser(prog="python -m fakes", description=__doc__)
    verbs = top.add_subparsers(dest="part", required=True, metavar=" | ".join(PARTS))
    chosen = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    for name, (module, text) in PARTS.items():
        verb = verbs.add_parser(name, help=text, description=text)
        if name == chosen:
            part = import_module(module)
            part.add_arguments(verb)
            verb.set_defaults(serve=part.serve)
    return top


async def run(serve: Callable[[argparse.Namespace], Awaitable[int | None]], args: argparse.Namespace) -> int:
    """Run one part; SIGTERM and SIGINT cancel it, so that it puts its things away. Returns its exit code."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(serve(args))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task or 0
    return 130 if args.part == "demo" else 0


def main() -> int:
    try:
        args = parser().parse_args()
        return asyncio.run(run(args.serve, args))
    except KeyboardInterrupt:  # before `run` listens for it
        return 130


if __name__ == "__main__":
    sys.exit(main())
