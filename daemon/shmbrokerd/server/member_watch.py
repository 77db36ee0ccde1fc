"""What the daemon sees of a member's process: its end, and the stamps in its session region."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from shmbroker.shm.region import map_session_fd
from shmbroker.shm.session import HEADER_BYTES, HEARTBEAT_WORD, LAST_POLL_WORD
from shmbrokerd.groups.coordinator import Stamps
from shmbrokerd.logs import log


class MemberWatch:
    """Watches one client until it is closed.

    A closed connection says that a client is gone, unless a child that it forked holds the socket: so its process is watched,
    too.
    """

    def __init__(self, region_fd: int, pid: int, on_end: Callable[[], None]) -> None:
        """Raises BrokerError: KAFKA_STORAGE_ERROR when the region cannot be mapped."""
        self._region = map_session_fd(region_fd)
        self._view = memoryview(self._region)
        self._words = self._view[:HEADER_BYTES].cast("q")
        self._pidfd = -1
        self._watch_process(pid, on_end)

    def _watch_process(self, pid: int, on_end: Callable[[], None]) -> None:
        if pid <= 0:  # of another pid namespace: the kernel does not tell
            return
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(on_end)
        except OSError as error:
            log.warning("the end of process %d is noticed by its socket only: %s", pid, error.strerror)
        else:
            asyncio.get_running_loop().add_reader(self._pidfd, on_end)

    def stamps(self, now_ms: int) -> Stamps:
        """The client's words. A stamp from the future counts as one of now."""
        words = self._words
        return Stamps(min(words[HEARTBEAT_WORD], now_ms), min(words[LAST_POLL_WORD], now_ms))

    def close(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(RuntimeError):  # no loop any more
                asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._words.release()
        self._view.release()
        self._region.close()
