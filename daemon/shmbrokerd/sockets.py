"""Sending on a non-blocking Unix socket from asyncio, descriptors included; asyncio itself cannot send
those."""

from __future__ import annotations

import array
import asyncio
import socket
from collections.abc import Sequence

RECEIVE_BYTES = 64 * 1024


async def send_with_fds(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send all of ``data``, the descriptors with its first byte.

    Raises:
        OSError: the other side is gone.
    """
    view = memoryview(data)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    while view:
        try:
            sent = sock.sendmsg([view], ancillary)
        except (BlockingIOError, InterruptedError):
            await _wait_writable(sock)
        else:
            view = view[sent:]
            ancillary = []


async def _wait_writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    writable = loop.create_future()

    def wake() -> None:
        if not writable.done():
            writable.set_result(None)

    loop.add_writer(sock, wake)
    try:
        await writable
    finally:
        loop.remove_writer(sock)
