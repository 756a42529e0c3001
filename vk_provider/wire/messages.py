"""The streams of one command as WebSocket messages: the first byte, or digit, of each says which (X10).

What cannot be read ends the session; a channel that nobody listens to is passed over, as kubelets do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from vk_provider.wire.channels import CommandEvent, Input, InputEnded, Left, Name, Sizes, status_bytes
from vk_provider.wire.exit_status import Json

WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
_CHANNELS = {Name.STDIN: 0, Name.STDOUT: 1, Name.STDERR: 2, Name.ERROR: 3, Name.RESIZE: 4}
_CLOSE = 255  # v5: the next byte names the channel that ends
_CLOSING = "v5."


class Packing:
    """One direction-less rule: how a channel's number and its bytes make a message."""

    def __init__(self, protocol: str) -> None:
        """protocol: empty = none was offered, which means binary messages."""
        self._base64 = "base64" in protocol

    def pack(self, channel: int, data: bytes) -> str | bytes:
        if self._base64:
            return f"{channel}{base64.b64encode(data).decode()}"
        return bytes((channel,)) + data

    def unpack(self, message: str | bytes) -> tuple[int, bytes] | None:
        """Channel and bytes; None of an empty message. Raises ValueError.

        Some clients send text where bytes belong, with the channel as a character: both kinds are taken for both.
        """
        raw = message.encode() if isinstance(message, str) else message
        if not raw:
            return None
        if not self._base64:
            return raw[0], raw[1:]
        try:
            return raw[0] - ord("0"), base64.b64decode(raw[1:], validate=True)
        except binascii.Error as error:
            raise ValueError("a message that is not base64") from error


class MessageCommand:
    """One command on one WebSocket. There is nothing to open: it is ready from the start."""

    def __init__(self, *, protocol: str, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self._protocol = protocol
        self._packing = Packing(protocol)
        wanted = {Name.STDOUT: stdout, Name.STDERR: stderr and not tty, Name.ERROR: True}
        self._writable = [name for name, is_wanted in wanted.items() if is_wanted]
        self._reads_input = stdin
        self._sizes = Sizes()

    def hello(self) -> str | bytes:
        """What tells a client that the other end is up: an empty message on the first channel we may write."""
        return self._packing.pack(_CHANNELS[self._writable[0]], b"")

    def write(self, name: Name, data: bytes) -> str | bytes | None:
        """None: nobody listens."""
        return self._packing.pack(_CHANNELS[name], data) if name in self._writable else None

    def end(self, status: Json) -> str | bytes | None:
        """None: nothing is to be said, which before v4 means success."""
        text = status_bytes(status, self._protocol)
        return self._packing.pack(_CHANNELS[Name.ERROR], text) if text else None

    def receive(self, message: str | bytes) -> Sequence[CommandEvent]:
        try:
            unpacked = self._packing.unpack(message)
        except ValueError as error:
            return [Left(str(error))]
        if unpacked is None:
            return []
        channel, data = unpacked
        if channel == _CHANNELS[Name.STDIN] and self._reads_input and data:
            return [Input(data)]
        if channel == _CHANNELS[Name.RESIZE]:
            return list(self._sizes.read(data))
        if channel == _CLOSE and self._protocol.startswith(_CLOSING):
            return [InputEnded()] if self._reads_input and data == bytes((_CHANNELS[Name.STDIN],)) else []
        return []
