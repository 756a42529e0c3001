"""Every loop of the product is a `retry_loop`, or stands here with the reason why it ends by itself.

A loop without end that is written by hand ends with the first thing that nobody foresaw, and with it the process.
"""

import ast
from pathlib import Path

import vk_provider

ROOT = Path(vk_provider.__file__).parent

# Those that await and yet are no background work: each belongs to one request, one call or one caller, and ends with it.
BOUNDED = {
    "retry_loop.retry_loop": "the loop itself",
    "cloud.eci.driver._pages": "the pages of one answer",
    "cloud.eci.driver._whole": "the tries of one listing",
    "cloud.eci.exec.output": "one session's output",
    "cloud.eci.exec._output": "one session's output",
    "cloud.eci.logs.follow": "one client's log",
    "cloud.eci.logs._follow": "one client's log",
    "control.instances._rest": "one rest, which fails within its retry_loop",
    "control.instances.rest": "one rest, which fails within its retry_loop",
    "control.queue.get": "until there is a key",
    "control.usage.settle": "with a deadline, for one request",
    "kube.client._lines": "one watch",
    "kube.lease._create": "within the lease's retry_loop, until there is a lease",
    "kube.recorder._next": "until there is an event, within the sender's retry_loop",
    "kube.recorder.known_names": "the pages of one answer",
    "kube.reflector._list": "the pages of one answer",
    "kubelet.command._follow": "one session",
    "kubelet.serving_certificate._answer": "with a deadline, within the certificate's retry_loop",
    "kubelet.serving_certificate._until_due": "until a certificate is due, within the certificate's retry_loop",
    "kubelet.reviews.get": "one question",
}
LOOPS = (ast.While, ast.AsyncFor)


def loops() -> dict[str, ast.AST]:
    """Every `while` that awaits something, as room.module.function → where."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for function in ast.walk(ast.parse(file.read_text())):
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


def background_tasks():
    """What is started beside everything else and given a name: the argument of each such create_task."""
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text())):
            is_task = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "create_task"
            if is_task and any(keyword.arg == "name" for keyword in node.keywords):
                yield f"{module}: {ast.unparse(node.args[0])}"


def test_the_list_of_background_tasks_is_the_one_that_was_looked_through():
    """Each was read once for whether anything but a retry_loop stands between it and what servers send."""
    print("\n".join(background_tasks()))
