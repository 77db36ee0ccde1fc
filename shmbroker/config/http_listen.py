"""Where HTTP may be served: on this host, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode

LOOPBACK = ("127.0.0.1", "::1")
_MAX_PORT = 65535
_MAX_PATH_BYTES = 107
"""``sun_path`` has 108 bytes with its final NUL (unix(7))."""


class HttpListen(NamedTuple):
    """A ``path``, or a ``host`` of LOOPBACK and a port; port 0 is any free one."""

    host: str = ""
    port: int = 0
    path: Path | None = None


def parse_http_listen(text: str) -> HttpListen | None:
    """Read ``http.listen``; None for an empty text.

    Raises:
        BrokerError: INVALID_CONFIG for anything but a loopback address with a port, or a socket's path. Whoever reaches the
            address may read the names of groups and topics, and there is no password.
    """
    if not text:
        return None
    if text.startswith("unix:"):
        return HttpListen(path=_path(text))
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not separator or host not in LOOPBACK:
        raise _refuse(text, "serves this host only: a loopback address with a port, or a Unix socket")
    if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise _refuse(text, f"has no port from 0 to {_MAX_PORT}")
    return HttpListen(host, int(port))


def _path(text: str) -> Path:
    path = Path(text.removeprefix("unix:"))
    if not path.is_absolute():
        raise _refuse(text, "needs an absolute path")
    if len(str(path).encode()) > _MAX_PATH_BYTES:
        raise _refuse(text, f"is too long: a Unix socket's path may have {_MAX_PATH_BYTES} bytes")
    return path


def _refuse(text: str, reason: str) -> BrokerError:
    return BrokerError(
        ErrorCode.INVALID_CONFIG,
        f"http.listen={text[:200]} {reason}; use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH",
    )
