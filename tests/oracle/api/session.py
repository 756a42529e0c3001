"""Plays a group of calls in a namespace of its own, and gives back the result of each case."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.oracle.api import calls, forwarding, plain
from tests.oracle.api.calls import IMAGE, Group, Step
from tests.oracle.api.kubectl import Ended, Feed, Kubectl, end, finish
from tests.oracle.api.wire import Wire

Json = dict[str, Any]
_METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})
_LISTS = "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"


class Session:
    """node: the one that is judged. placed: whether pods must be sent there, since the cluster has others."""

    def __init__(self, group: Group, wire: Wire, *, program: str, kubeconfig: Path, node: str, placed: bool) -> None:
        self._group, self._wire, self._node, self._placed = group, wire, node, placed
        self._namespace = f"calls-{group.name}-{os.getpid()}"
        self._pods = f"/api/v1/namespaces/{self._namespace}/pods"
        self._kubectl = Kubectl(program, kubeconfig, self._namespace)
        self._folder = Path(tempfile.mkdtemp(prefix="vk-calls-"))
        self._words = {
            "PODS": self._pods,
            "NS": self._namespace,
            "TMP": str(self._folder),
            "IMAGE": f"--image={IMAGE} --image-pull-policy=IfNotPresent",
            "LONG": "z" * 300,
            "RUN": f"--image={IMAGE} --image-pull-policy=IfNotPresent --restart=Never",
            "PLACED": _overrides(node) if placed else "",
        }
        self.results: dict[str, Json] = {}

    def play(self) -> dict[str, Json]:
        """Raises AssertionError where the cluster refuses a pod."""
        self._wire.send("POST", "/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        self._until(
            lambda: self._wire.get(f"/api/v1/namespaces/{self._namespace}/serviceaccounts/default").status == 200
        )
        try:
            for name in self._group.pods:
                self._make(name)
            for step in self._group.steps:
                result = self._do(step)
                if step.case:
                    self.results[step.case] = result
        finally:
            self._wire.send("DELETE", f"/api/v1/namespaces/{self._namespace}")
            shutil.rmtree(self._folder)
        return self.results

    def _do(self, step: Step) -> Json:
        given = step.given
        match step.what:
            case "call":
                return self._call(given)
            case "wait":
                return self._wait(**given)
            case "make":
                self._make(given["value"])
            case "delete":
                self._delete(given["value"])
            case "gone":
                self._until(lambda: self._wire.get(f"{self._pods}/{given['value']}").status == 404)
            case "pause":
                time.sleep(given["value"])  # the moment of the next call is part of it
            case "moment":
                self._moment(**given)
            case "files":
                self._files()
            case "until-log":
                path = f"{self._pods}/{given['pod']}/log?container={given['container']}"
                self._until(lambda: bool(self._wire.get(path).body), within_s=10)
        return {}

    def _call(self, given: Json) -> Json:
        if "kubectl" in given:
            return self._run(given)
        if "forward" in given:
            return self._forward(given)
        if method := next(iter(_METHODS & given.keys()), ""):
            return self._send(method, given)
        if "at-once" in given:
            with ThreadPoolExecutor(8) as pool:
                lines = [re.sub(r"\bN\b", str(number), given["at-once"]) for number in range(8)]
                found = list(pool.map(lambda line: self._told(self._finish(line, seconds=40)), lines))
            return {"answers": [[each["exit"], each["out"]] for each in found]}
        if "abandon" in given:
            finish(self._kubectl.start(self._filled(given["abandon"])), seconds=2)
            time.sleep(3)  # what was left behind would have ended by now
            return {"left": self._told(self._finish(given["then"]))["out"]}
        return self._files_seen(given)

    # --- kubectl

    def _run(self, given: Json) -> Json:
        seconds, terminal = given.get("seconds", 20), given.get("terminal", "")
        process = self._kubectl.start(
            self._filled(given["kubectl"]),
            terminal=terminal if isinstance(terminal, str) else "yes",
            spdy=given.get("spdy", False),
        )
        if name := given.get("then-delete"):
            threading.Timer(given.get("after", 1.5), self._delete, (name,)).start()
        ended = finish(process, _feed(given.get("feed", "")), seconds=seconds)
        told = self._told(ended)
        # The only terminal whose size is set tells nothing on its standard error.
        return {"exit": told["exit"], "out": told["out"]} if isinstance(terminal, str) and terminal else told

    def _finish(self, line: str, *, seconds: float = 20) -> Ended:
        return finish(self._kubectl.start(self._filled(line)), seconds=seconds)

    def _told(self, ended: Ended) -> Json:
        code = "cut" if ended.code is None else ended.code
        return {"exit": code, "out": self._shown(ended.out), "err": self._shown(ended.err)}

    def _forward(self, given: Json) -> Json:
        pod, target = given["forward"].split()
        process = self._kubectl.start(f"port-forward pod/{pod} {target}", spdy=given.get("spdy", False))
        assert process.stdout
        impatience = threading.Timer(10, end, (process,))
        impatience.start()
        first, result = process.stdout.readline(), {}
        impatience.cancel()
        if found := re.search(rb"127\.0\.0\.1:(\d+)", first):
            result = {"port": "PORT", "got": self._got(int(found[1]), given, pod)}
            time.sleep(given.get("after", 0.7))  # whether it goes on after an error is what is asked
            result["alive"] = process.poll() is None
            if result["alive"]:
                process.terminate()
        ended = finish(process, seconds=12)
        lines = sorted(set(self._shown(first + ended.out).splitlines()))
        told = {"exit": "ended by us" if result.get("alive") else self._told(ended)["exit"], "out": lines}
        return {**result, **told, "err": self._shown(ended.err)}

    def _got(self, port: int, given: Json, pod: str) -> Any:
        try:
            return forwarding.talk(
                port,
                given.get("talk", "x"),
                half_close=given.get("half-close", False),
                delete=lambda: self._delete(pod),
            )
        except OSError as error:
            return type(error).__name__

    # --- HTTP

    def _send(self, method: str, given: Json) -> Json:
        path, show = self._filled(given[method]), given.get("show", "")
        to = given.get("to", "")
        if not to and not path.startswith("/api/"):
            path = f"/api/v1/nodes/{self._node}/proxy{path}"
        try:
            answer = self._wire.send(method.upper(), path, node=self._node if to else "", stranger="stranger" in to)
        except (OSError, http.client.HTTPException) as error:
            return {"status": type(error).__name__}
        return {"status": answer.status, "type": answer.kind, "body": self._body(answer.body, answer, show)}

    def _body(self, data: bytes, answer: Any, show: str) -> Any:
        status = _status(data) if answer.kind == "application/json" else None
        if status is not None:
            return {key: self._plain(str(status.get(key))) for key in ("message", "reason", "code")}
        if show == "beginning":
            return self._shown(data)[:60] if answer.kind != "application/json" else str(json.loads(data))[:60]
        if show and answer.status == 200:
            return plain.body(show, data.decode(errors="replace"), namespace=self._namespace)
        return self._shown(data)

    # --- pods

    def _make(self, name: str) -> None:
        made = self._wire.send("POST", self._pods, calls.pod(name, node=self._node, placed=self._placed))
        assert made.status == 201, made.body

    def _delete(self, words: str) -> None:
        self._finish(f"delete pod {words} --wait=false")

    def _wait(self, pod: str, *, seconds: float = 60, untold: bool = False, restarts: int = 0, **wanted: str) -> Json:
        """Until each container's state begins as wanted (`phase` is the pod's)."""

        def holds() -> bool:
            state, restarted = self._state(pod)
            good = all((state.get(key) or "").startswith(value) for key, value in wanted.items())
            return (good and restarted >= restarts) or state["phase"] == "there is none"

        self._until(holds, within_s=seconds)
        return self._state(pod)[0]

    def _state(self, name: str) -> tuple[Json, int]:
        answer = self._wire.get(f"{self._pods}/{name}")
        status = json.loads(answer.body)["status"] if answer.status == 200 else {"phase": "there is none"}
        statuses = [each for part in _LISTS for each in status.get(part, ())]
        state = {each["name"]: _one_state(each["state"]) for each in statuses}
        restarts = sum(each["restartCount"] for each in status.get("containerStatuses", ()))
        return {"phase": status.get("phase"), "reason": status.get("reason"), **state}, restarts

    def _moment(self, pod: str, line: str) -> None:
        """When the pod wrote the line, and a second before, for later calls."""
        said = self._finish(f"logs {pod} --timestamps").out.decode(errors="replace").splitlines()
        moment = next((each.split()[0] for each in said if each.endswith(f" {line}")), "2000-01-01T00:00:01Z")
        second = datetime.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC) - timedelta(seconds=1)
        before = second.strftime("%Y-%m-%dT%H:%M:%S")
        self._words |= {"MOMENT": moment, "BEFORE_WITH_ZONE": f"{before}+00:00", "BEFORE": f"{before}Z"}

    # --- files

    def _files(self) -> None:
        folder = self._folder / "d"
        (folder / "sub").mkdir(parents=True)
        (self._folder / "f").write_bytes(os.urandom(1) * 3 + b"x" * 5_000_000)
        (self._folder / "f").chmod(0o755)
        (folder / "one").write_text("1")
        (folder / "sub" / "two").write_text("22")
        (folder / "link").symlink_to("one")
        (folder / "none").touch()

    def _files_seen(self, given: Json) -> Json:
        if "same" in given:
            one, other = (self._folder / name for name in given["same"])
            there = other.exists()
            mode = oct(other.stat().st_mode & 0o777) if there else ""
            return {"same": there and one.read_bytes() == other.read_bytes(), "mode": mode}
        if "tree" in given:
            return {"tree": _tree(self._folder / given["tree"])}
        file = self._folder / given["text"]
        return {"text": self._shown(file.read_bytes() if file.exists() else b"nothing")}

    # --- words

    def _filled(self, line: str) -> str:
        for word, value in self._words.items():
            line = re.sub(rf"\b{word}\b", lambda _, value=value: value, line)
        return line

    def _plain(self, said: str) -> str:
        return plain.text(said, namespace=self._namespace, node=self._node, folder=str(self._folder))

    def _shown(self, data: bytes) -> str:
        return plain.shortened(self._plain(data.decode("utf-8", "backslashreplace")), data)

    def _until(self, holds: Any, *, within_s: float = 30) -> None:
        """Goes on all the same after so long: what there is then is the result."""
        deadline = time.monotonic() + within_s
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.2)


def _overrides(node: str) -> str:
    """What sends a pod of `kubectl run` to the node."""
    tolerations = [{"key": "virtual-kubelet.io/provider", "operator": "Exists"}]
    spec = {"nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": tolerations}
    return shlex.quote(f"--overrides={json.dumps({'apiVersion': 'v1', 'spec': spec})}")


def _feed(given: Any) -> Feed | None:
    if given is None:
        return None
    if isinstance(given, str):
        named = {"MIB": forwarding.MIB, "NULS": bytes(1 << 20)}
        return [(0, named.get(given, given.encode()))]
    return [(after, said.encode()) for after, said in given]


def _one_state(state: Json) -> str:
    kind, value = next(iter(state.items()), ("none", {}))
    return " ".join(str(each) for each in (kind, value.get("reason"), value.get("exitCode")) if each is not None)


def _status(data: bytes) -> Json | None:
    """The API's own answer of that kind, if it is one."""
    if not data.lstrip().startswith(b"{"):
        return None
    value = json.loads(data)
    return value if value.get("kind") == "Status" else None


def _tree(path: Path) -> list[str] | str:
    if not path.exists():
        return "nothing"
    return sorted(
        f"{each.relative_to(path)} {'->' if each.is_symlink() else oct(each.stat().st_mode & 0o777)} "
        f"{each.stat().st_size if each.is_file() else ''}"
        for each in path.rglob("*")
    )
