"""`python -m tests.bench.watcher`: a process that writes down when the API server says what of the pods of a node.

A line a fact: `{"at": epoch seconds, "uid": …, "name": …, "what": "bound" | "Running" | "deleting" | "gone"}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TextIO

from tests.bench.api import Api


async def watch(kubeconfig: Path, node: str, out: TextIO) -> None:
    path = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"
    known: dict[str, set[str]] = {}
    async with Api(kubeconfig) as api:
        listed = await api.get(path)
        version = listed["metadata"]["resourceVersion"]
        print("watching", flush=True)
        while True:
            async for line in api.watch(path, version):
                at = time.time()
                entry = json.loads(line)
                version = entry["object"]["metadata"]["resourceVersion"]
                for what in _told(entry):
                    meta = entry["object"]["metadata"]
                    told = known.setdefault(meta["uid"], set())
                    if what not in told:
                        told.add(what)
                        out.write(json.dumps({"at": at, "uid": meta["uid"], "name": meta["name"], "what": what}) + "\n")
                out.flush()


def _told(entry: dict) -> list[str]:
    pod = entry["object"]
    if entry["type"] == "DELETED":
        return ["bound", "gone"]
    told = ["bound"]
    if pod.get("status", {}).get("phase") == "Running":
        told.append("Running")
    if pod["metadata"].get("deletionTimestamp"):
        told.append("deleting")
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("node")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with args.out.open("a") as out:
        asyncio.run(watch(args.kubeconfig, args.node, out))
