"""Every loop of the product is a `retry_loop`, or stands here with the reason why it ends by itself.

A loop without end that is written by hand ends with the first thing that nobody foresaw, and with it the process.
"""

import ast
import gc
from pathlib import Path

import vk_provider

ROOT = Path(vk_provider.__file__).parent

# Those that await and yet are no background work: each belongs to one request or call, and ends with it.
BOUNDED = {
    "retry_loop.retry_loop": "the loop itself",
    "cloud.eci.driver._pages": "the pages of one answer",
    "cloud.eci.exec.output": "one session's output",
    "cloud.eci.exec._receive": "one session",
    "cloud.eci.exec._tend": "one session",
    "cloud.eci.logs._reads": "one client's log",
    "cloud.eci.logs.rest": "one client's log",
    "probes.socket_probe.grpc": "one question, with a deadline",
    "cloud.eci.logs._follow": "one client's log",
    "cloud.local.exec._pump": "one session's output",
    "cloud.local.exec.output": "one session's output",
    "cloud.local.logs.read": "one client's log",
    "cloud.local.probes._liveness": "one run of a container; what a query may fail with is an answer",
    "cloud.local.probes._readiness": "one run of a container; what a query may fail with is an answer",
    "cloud.local.supervisor._keep_log": "one run of a container",
    "cloud.local.supervisor._until": "the start of one container",
    "cloud.local.supervisor._until_done": "one container, in a process of its instance's own",
    "instances.poller._rest": "one rest, which fails within its retry_loop",
    "instances.poller.rest": "one rest, which fails within its retry_loop",
    "leader.election._renew": "until the lease is lost, which ends the term",
    "leader.election._renewed": "until the fence is shut, which ends the term",
    "pacing.workqueue.get": "until there is a key",
    "instances.usage_poller.settle": "with a deadline, for one request",
    "kube.client._lines": "one watch",
    "node.node_lease._create": "within the lease's retry_loop, until there is a lease",
    "kube.recorder._next": "until there is an event, within the sender's retry_loop",
    "kube.recorder.known_names": "the pages of one answer",
    "kube.reflector._list": "the pages of one answer",
    "kubelet.exec_session._feed": "one session",
    "kubelet.exec_session._listen": "one session",
    "kubelet.exec_session.get": "one session",
    "kubelet.exec_session.put": "one session",
    "kubelet.hijack._next": "one connection",
    "kubelet.hijack.close": "one connection, with a deadline",
    "kubelet.hijack.guard": "one connection",
    "kubelet.hijack.read": "one connection",
    "kubelet.portforward._carry": "one connection",
    "kubelet.portforward._pump_up": "one connection",
    "kubelet.portforward.get": "one connection",
    "kubelet.portforward._listen": "one session",
    "kubelet.portforward.wait_for_room": "one connection",
    "kubelet.serving_certificate._answer": "with a deadline, within the certificate's retry_loop",
    "kubelet.serving_certificate._until_due": "until a certificate is due, within the certificate's retry_loop",
    "kubelet.review_cache.get": "one question",
    "admission_service._keep_bindings": "until the profile is known; each wait has its own deadline",
    "dashboard.server._stream": "one page's stream",
    "commands.operation._status": "until Ctrl-C, before the eyes of whoever asked",
}


def _parsed(file: Path) -> ast.Module:
    """Without a collection of garbage on the way: Python before 3.11.5 takes one for a recursion gone wrong."""
    gc.disable()
    try:
        return ast.parse(file.read_text())
    finally:
        gc.enable()


def loops() -> dict[str, ast.AST]:
    """Every `while` that awaits something, as room.module.function → where."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for function in ast.walk(_parsed(file)):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            for node in _own(function):
                if isinstance(node, ast.While) and any(isinstance(each, ast.Await) for each in ast.walk(node)):
                    found[f"{module}.{function.name}"] = node
    return found


def _own(function):
    """What stands in the function itself, and not in another within it."""
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def test_a_loop_that_is_no_retry_loop_says_here_why_it_ends():
    unknown = sorted(loops().keys() - BOUNDED.keys())
    assert unknown == [], "make it a step of vk_provider.retry_loop"


def test_nobody_stands_here_who_has_no_loop():
    assert sorted(BOUNDED.keys() - loops().keys()) == []


def test_a_loop_written_by_hand_is_found():
    code = "async def poll():\n    while True:\n        await ask()\n"
    [function] = ast.parse(code).body
    assert any(isinstance(each, ast.While) for each in _own(function))
