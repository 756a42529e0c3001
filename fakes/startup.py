"""What can go wrong before a part listens, in one line that says what to do."""

from __future__ import annotations

import argparse
import errno
import socket


def port(text: str) -> int:
    """The type of arguments that are ports."""
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 (any free one) to 65535")
    return int(text)


def told(error: OSError, *, host: str, port: int) -> str:
    """host, port: where the part was to listen."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; choose another, or 0 for any free one"
    # Since 3.13 asyncio says of addresses that are not here only that it could bind to none of them, without a number.
    bound_nowhere = "could not bind on any address" in str(error)
    if error.errno == errno.EADDRNOTAVAIL or bound_nowhere or isinstance(error, socket.gaierror):
        return f"{host} is no address of this machine; choose another host"
    if error.errno == errno.EACCES and error.filename is None:
        return f"port {port} may not be opened by this user; choose one from 1024 on"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
