"""Why there was no answer: aiohttp's and the system's failures as KubeUnavailable, in words for people."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from vk_provider import bodies
from vk_provider.errors import MALFORMED, KubeError, KubeUnavailable


@contextmanager
def mapped(call: str) -> Iterator[None]:
    """aiohttp's and the system's failures as ours: there was no answer."""
    try:
        yield
    except KubeError:
        raise
    except TimeoutError as error:
        raise KubeUnavailable(f"{call}: no answer in time") from error
    except bodies.Unreadable as error:
        raise KubeUnavailable(f"{call}: the answer cannot be read: {error}", reason=MALFORMED) from error
    except (aiohttp.ClientError, OSError) as error:
        raise KubeUnavailable(f"{call}: {_plain_words(error)}") from error


def is_of_tls(error: BaseException) -> bool:
    """Whether the two sides could not agree whom to trust, at the handshake or, as TLS 1.3 tells of a refused client
    certificate, at the first read."""
    kinds = (aiohttp.ClientSSLError, ssl.SSLError, ssl.CertificateError)
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def _plain_words(error: BaseException) -> str:
    """Why there was no answer, for people: aiohttp's own words hold the names of Python objects."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        text = getattr(cause, "verify_message", "") or str(cause)
        return f"the certificate of {error.host}:{error.port} is not trusted: {text}"
    if isinstance(error, aiohttp.ClientConnectorError):
        what = "cannot connect to"
        if isinstance(error.os_error, socket.gaierror):
            what = "the host name cannot be resolved of"
        elif isinstance(error.os_error, ssl.SSLError):
            what = "no TLS with"
        return f"{what} {error.host}:{error.port}: {_system_words(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, OSError):
        return _system_words(error)
    return str(error) or type(error).__name__


def _system_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)
