"""A cleaner process, as the main process knows it: a child that compacts logs and asks before it changes anything.

It has no state that matters: one that is killed is started anew and begins its pass again. The main process answers its
questions on a socket pair; it dies with the main process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from shmbroker.errors import BrokerError
from shmbroker.protocol.framing import Codec, FrameDecoder
from shmbroker.protocol.messages import CleanerAnswer, CleanerQuestion, CleanerRequest, CleanerResponse
from shmbrokerd.children import Pauses, ended, how_ended, stop
from shmbrokerd.logs import current_level, log
from shmbrokerd.parent import MAIN_PID_VARIABLE
from shmbrokerd.sockets import RECEIVE_BYTES, send_with_fds

STOP_GRACE_S = 0.5
"""A cleaner process has nothing to bring to an end; past this it is killed."""


class CleanerProcess:
    """``run`` keeps one running. ``answer`` is awaited for each of its questions, ``on_end`` called when one has ended;
    ``max_pause_s`` is the longest wait before the next."""

    def __init__(
        self,
        table_path: Path,
        answer: Callable[[CleanerRequest], Awaitable[CleanerAnswer]],
        on_end: Callable[[], None],
        max_pause_s: float,
    ) -> None:
        self._table_path = table_path
        self._answer = answer
        self._on_end = on_end
        self._max_pause_s = max_pause_s
        self._question_codec = Codec(CleanerQuestion)
        self._response_codec = Codec(CleanerResponse)

    async def run(self) -> None:
        """Until cancelled; the process is gone then."""
        pauses, loop = Pauses(self._max_pause_s), asyncio.get_running_loop()
        while True:
            started_at = loop.time()
            try:
                status = await self._run_one()
            except OSError as error:
                status = f"cannot be started: {error.strerror}"
            finally:
                self._on_end()
            pause_s = pauses.after(loop.time() - started_at)
            log.error("cleaner process %s; starting another in %.1f s", status, pause_s)
            await asyncio.sleep(pause_s)

    async def _run_one(self) -> str:
        """Run one to its end, and say how it ended."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            ours.setblocking(False)
            with theirs:
                process = self._spawn(theirs.fileno())
            try:
                with contextlib.suppress(OSError):  # it is gone: how, is said below
                    await self._serve(ours)
            finally:
                await stop(process, STOP_GRACE_S)
        await ended(process)
        return how_ended(process)

    def _spawn(self, channel_fd: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "shmbrokerd.cleaner"),
                *("--channel-fd", str(channel_fd)),
                *("--table", str(self._table_path)),
                *("--log-level", current_level()),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=(channel_fd,),
            process_group=0,  # Ctrl-C in a terminal is for the daemon, which then stops it
            env={**os.environ, MAIN_PID_VARIABLE: str(os.getpid())},
        )

    async def _serve(self, channel: socket.socket) -> None:
        """Answer until the other side is gone, or sends nonsense."""
        decoder, loop = FrameDecoder(), asyncio.get_running_loop()
        while data := await loop.sock_recv(channel, RECEIVE_BYTES):
            try:
                for payload in decoder.feed(data):
                    response = CleanerResponse(await self._answer(self._question_codec.decode(payload).body))
                    await send_with_fds(channel, self._response_codec.encode(response))
            except BrokerError as error:
                log.error("cleaner process: %s", error)
                return
