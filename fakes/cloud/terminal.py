"""ExecContainerCommand: the command at once (Sync), or a WebSocket with one channel byte before each message.

Channels: 0 stdin, 1 stdout, 2 stderr, 3 the end as Kubernetes reports it, 4 resize as `{"Width":80,"Height":24}`.
Sub-protocols `v5.channel.k8s.io` and `v4.channel.k8s.io` send a Status object on channel 3, `channel.k8s.io` a text,
and a client that asks for none gets nothing there: the socket is closed when the command has ended. Only v5 has a word
for the end of input: a message of the bytes 255 and 0.
"""

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from fakes.cloud import shapes
from fakes.cloud.errors import ApiError, invalid, not_found, out_of_range
from fakes.cloud.group import CONTAINER_RUNNING, Container, Group
from fakes.cloud.parameters import Json, decode, require
from fakes.cloud.runtime import ExecProcess
from fakes.cloud.service import Service

STDIN, ERROR, RESIZE, CLOSE = 0, 3, 4, 255
V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io", "channel.k8s.io")
SESSION_S = 30.0
SYNC_TIMEOUT_S = 30.0
SESSIONS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """A command that may be started once, before real loop second `until`."""

    group: Group
    container: Container
    command: list[str]
    tty: bool
    stdin: bool
    until: float


class Terminals:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    async def exec(self, flat: Mapping[str, str], host: str) -> Json:
        """The API call. host: where this server was reached, for the addresses in the answer."""
        values = decode(shapes.EXEC, flat)
        require(values, "RegionId", "ContainerGroupId", "ContainerName", "Command")
        group = self._service.known(values)
        container = group.container(values["ContainerName"])
        if container is None:
            raise not_found("ContainerName", values["ContainerName"])
        command = _command(values["Command"])
        if container.state != CONTAINER_RUNNING:
            raise ApiError("IncorrectStatus", f"The container {container.name} is not running.")
        tty, sync = values.get("TTY", False), values.get("Sync", False)
        if sync:
            if tty or command == ["/bin/bash"]:
                raise invalid("Sync", "it goes with neither TTY nor an interactive shell")
            result = await self._service.runtime.exec(group, container, command, timeout_s=SYNC_TIMEOUT_S)
            return {"WebSocketUri": "", "HttpUrl": "", "SyncResponse": result.output.decode(errors="replace")}
        token = secrets.token_urlsafe(24)
        until = asyncio.get_running_loop().time() + SESSION_S
        self._sessions[token] = Session(group, container, command, tty, values.get("Stdin", True), until)
        if len(self._sessions) > SESSIONS_KEPT:
            self._sessions.popitem(last=False)
        return {
            "WebSocketUri": f"ws://{host}/exec/?s={token}",
            "HttpUrl": f"http://{host}/terminal?param={token}",
            "SyncResponse": "",
        }

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket of one session; the token works once."""
        session = self._sessions.pop(request.query.get("s", ""), None)
        if session is None or session.until < asyncio.get_running_loop().time():
            raise web.HTTPForbidden(text="the session is not known, was used, or is older than 30 s")
        socket = web.WebSocketResponse(protocols=PROTOCOLS)
        await socket.prepare(request)
        try:
            process = await self._service.runtime.exec_stream(
                session.group, session.container, session.command, tty=session.tty, stdin=session.stdin
            )
        except ApiError as error:
            await _report(socket, _failure(error.message, "InternalError", None))
            await socket.close()
            return socket
        listener = asyncio.create_task(_listen(socket, process))
        try:
            while (chunk := await process.read()) is not None:
                await socket.send_bytes(bytes([chunk[0]]) + chunk[1])
            code = await process.wait()
            await _report(socket, _ended(code))
        except ConnectionError:
            pass  # the client has left; the command is ended below
        finally:
            listener.cancel()
            process.kill()
        await socket.close()
        return socket


async def _listen(socket: web.WebSocketResponse, process: ExecProcess) -> None:
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            break
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        if data[:1] == bytes([STDIN]):
            await process.write(data[1:])
        elif data[:1] == bytes([RESIZE]):
            try:
                size = json.loads(data[1:])
                process.resize(columns=int(size["Width"]), rows=int(size["Height"]))
            except (ValueError, KeyError, TypeError):
                continue  # a size that is none changes nothing
        elif data == bytes([CLOSE, STDIN]) and socket.ws_protocol == V5:
            process.close_stdin()
    process.kill()


async def _report(socket: web.WebSocketResponse, status: Json) -> None:
    if socket.ws_protocol in PROTOCOLS[:2]:
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
    elif socket.ws_protocol == "channel.k8s.io" and status["status"] != "Success":
        await socket.send_bytes(bytes([ERROR]) + status["message"].encode())


def _ended(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return _failure(f"command terminated with non-zero exit code: exit status {code}", "NonZeroExitCode", code)


def _failure(message: str, reason: str, code: int | None) -> Json:
    status: Json = {"metadata": {}, "status": "Failure", "message": message, "reason": reason}
    if code is not None:
        status["details"] = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return status


def _command(text: str) -> list[str]:
    try:
        command = json.loads(text)
    except ValueError as error:
        raise invalid("Command", 'a JSON array such as ["/bin/sh","-c","ls"]') from error
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise invalid("Command", 'a JSON array such as ["/bin/sh","-c","ls"]')
    if len(command) > 20 or any(len(word) > 256 for word in command):
        raise out_of_range("Command", "at most 20 items of at most 256 characters")
    return command
