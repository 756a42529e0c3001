"""`python -m fakes kube`: the stand-in on its own."""

import argparse
import asyncio
import json
import logging
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from fakes.kube.certificates import write_private
from fakes.kube.cluster import Settings, running
from fakes.kube.seed import VERSION
from fakes.startup import port, told

_BANNER = """Stand-in Kubernetes API ({version}), for local use only: one process, all in memory, gone when it ends.
Serving at {server}
  export KUBECONFIG={kubeconfig}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=0, help="port to serve on; 0 = any free one (default)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default 127.0.0.1)")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="file to write an administrator's kubeconfig to")
    parser.add_argument(
        "--ready-file", type=Path, help="JSON file written once requests are answered: server, kubeconfig"
    )
    parser.add_argument("--nodes", type=int, default=2, help="worker nodes of 4 CPU and 8Gi to begin with (default 2)")
    parser.add_argument("--no-controllers", action="store_true", help="no scheduler and no controllers of workloads")
    parser.add_argument("--data-dir", type=Path, help="where certificates are kept (default: a temporary folder)")
    parser.add_argument(
        "--event-ttl", type=float, default=3600, metavar="SECONDS", help="life of an Event (default 3600)"
    )
    parser.add_argument(
        "--compact-after",
        type=int,
        default=10_000,
        metavar="REVISIONS",
        help="history kept for watches; older answers 410",
    )
    parser.add_argument("--bookmark-interval", type=float, default=5, metavar="SECONDS", help="between watch bookmarks")
    parser.add_argument(
        "--metrics-interval",
        type=float,
        default=0,
        metavar="SECONDS",
        help="between scrapes of every kubelet for `kubectl top`; 0 = no metrics API (default)",
    )
    parser.add_argument(
        "--token-auth",
        action="append",
        default=[],
        metavar="TOKEN=USER[:GROUP,…]",
        help="a further bearer token and whom it stands for; may be repeated",
    )
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))


async def serve(args: argparse.Namespace) -> None:
    """Run until cancelled. Raises SystemExit with a message when the port or a file cannot be had."""
    logging.basicConfig(level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with tempfile.TemporaryDirectory(prefix="kube-standin-") as temporary:
        settings = Settings(
            directory=args.data_dir or Path(temporary),
            kubeconfig=args.kubeconfig,
            host=args.host,
            port=args.port,
            nodes=args.nodes,
            controllers=not args.no_controllers,
            event_ttl_s=args.event_ttl,
            keep=args.compact_after,
            bookmark_s=args.bookmark_interval,
            metrics_s=args.metrics_interval,
            static_tokens=dict(_token(text) for text in args.token_auth),
        )
        async with AsyncExitStack() as stack:
            try:
                cluster = await stack.enter_async_context(running(settings))
            except OSError as error:
                raise SystemExit(f"fakes kube: {told(error, host=args.host, port=args.port)}") from error
            print(_BANNER.format(version=VERSION, server=cluster.server, kubeconfig=cluster.kubeconfig), flush=True)
            if args.ready_file:
                ready = {"server": cluster.server, "kubeconfig": str(cluster.kubeconfig)}
                write_private(args.ready_file, json.dumps(ready).encode())
            await asyncio.Event().wait()


def _token(text: str) -> tuple[str, tuple[str, tuple[str, ...]]]:
    token, _, who = text.partition("=")
    name, _, groups = who.partition(":")
    if not token or not name:
        raise SystemExit("--token-auth wants TOKEN=USER[:GROUP,…]")
    return token, (name, tuple(filter(None, groups.split(","))))
