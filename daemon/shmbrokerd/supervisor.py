"""Keeps one broker process running: restarts it with a growing pause, gives up after too many failures in a
row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from shmbroker.config.static import StaticConfig
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol.messages import BrokerCommandBody, BrokerReply, DetachSession, StopBroker
from shmbrokerd.broker_link import A, BrokerGoneError, BrokerLink, BrokerNotice
from shmbrokerd.broker_process import BrokerProcess, BrokerSpawner
from shmbrokerd.logs import log

FIRST_BACKOFF_S = 0.1
STEADY_S = 10.0
"""A broker that ran for this long was healthy: its end does not count as one more failure in a row."""
EXIT_GRACE_S = 0.5
"""A broker whose channel is closed is about to exit by itself; past this it is killed."""


class BrokerFailedError(Exception):
    """The broker process cannot be kept running; the message says why."""


class Supervisor:
    """Owns the broker process and the link to it.

    ``on_start(link)`` is awaited for each new broker before anybody else may talk to it: it reopens the
    partitions and attaches the sessions again.
    """

    def __init__(
        self,
        spawner: BrokerSpawner,
        first: BrokerProcess,
        config: StaticConfig,
        on_notice: Callable[[BrokerNotice], None],
    ) -> None:
        self._spawner = spawner
        self._broker: BrokerProcess | None = first
        self._on_notice = on_notice
        self._max_attempts = config.number("broker.restart.max.attempts")
        self._max_backoff_s = config.number("broker.restart.backoff.max.ms") / 1000
        self._timeout_s = config.number("broker.request.timeout.ms") / 1000
        self._shutdown_s = config.number("shutdown.timeout.ms") / 1000
        self._link: BrokerLink | None = None
        self._ready = asyncio.Event()
        self._is_stopping = False
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Of the running broker process, 0 between two."""
        return self._broker.process.pid if self._broker else 0

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    async def wait_ready(self, timeout_s: float | None = None) -> BrokerLink:
        """The link to a broker that is up.

        Raises:
            BrokerError: BROKER_NOT_AVAILABLE when none is up in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                await self._ready.wait()
                while self._link is not None and self._link.closed.is_set() and not self._is_stopping:
                    self._ready.clear()  # the broker died and its supervision has not noticed yet
                    await self._ready.wait()
        except TimeoutError:
            raise BrokerError(
                ErrorCode.BROKER_NOT_AVAILABLE, "the broker process is being restarted; try again"
            ) from None
        if self._is_stopping or self._link is None:
            raise BrokerError(ErrorCode.BROKER_NOT_AVAILABLE, "the daemon is stopping")
        return self._link

    async def request(self, body: BrokerCommandBody, fds: Sequence[int] = ()) -> BrokerReply:
        """Give an order that is answered with its outcome; see :meth:`ask`."""
        return await self.ask(body, BrokerReply, fds)

    async def ask(self, body: BrokerCommandBody, answer_type: type[A], fds: Sequence[int] = ()) -> A:
        """Give an order to the broker that is up.

        Raises:
            BrokerGoneError, BrokerError: see :meth:`BrokerLink.ask`.
        """
        link = await self.wait_ready()
        return await link.ask(body, answer_type, fds, timeout_s=self._timeout_s)

    async def run(self, on_start: Callable[[BrokerLink], Awaitable[None]]) -> None:
        """Keep a broker running until :meth:`stop`.

        Raises:
            BrokerFailedError: too many starts in a row failed.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._is_stopping:
            started_at = loop.time()
            reason = await self._run_one(on_start)
            if self._is_stopping:
                return
            failures = 1 if loop.time() - started_at > STEADY_S else failures + 1
            if failures >= self._max_attempts:
                raise BrokerFailedError(
                    f"the broker process failed {failures} times in a row ({reason}); see the log lines above"
                )
            pause_s = (
                0.0 if failures == 1 else min(FIRST_BACKOFF_S * 2 ** (failures - 2), self._max_backoff_s)
            )
            log.error("broker process %s; restarting it in %.1f s", reason, pause_s)
            await asyncio.sleep(pause_s)
            self.restarts += 1

    async def _run_one(self, on_start: Callable[[BrokerLink], Awaitable[None]]) -> str:
        """Run one broker process to its end and say how it ended."""
        if self._broker is None:
            self._broker = self._spawner.spawn()
        broker = self._broker
        link = self._link = BrokerLink(broker.channel, self._on_notice)
        receiving = asyncio.create_task(link.receive_until_closed())
        try:
            # An order that changes nothing: its answer says that the process is up and serves.
            await link.request(DetachSession(0), timeout_s=self._timeout_s)
            await on_start(link)
            log.info("broker process up pid=%d", broker.process.pid)
            self._ready.set()
            await link.closed.wait()
            reason = ""
        except BrokerGoneError:
            reason = ""
        except BrokerError as error:
            reason = f"did not start: {error}"
        finally:
            if not self._is_stopping:
                self._ready.clear()
            link.close()
            await receiving  # its socket reads an end of file now, and may be closed only then
            status = await self._reap(broker)
            self._broker = None
        return reason or status

    async def _reap(self, broker: BrokerProcess) -> str:
        """Wait for the process to end, kill it if it does not, and say how it ended."""
        if not await _exited(broker, EXIT_GRACE_S):
            broker.process.kill()
            await _exited(broker, None)
        broker.discard()
        code = broker.process.returncode
        return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"

    async def stop(self) -> bool:
        """Let the broker flush and close its logs and exit; kill it when it takes too long. Whether all is on the disk."""
        self._is_stopping = True
        self._ready.set()  # wakes those who wait for a broker: none will come
        broker, link = self._broker, self._link
        if broker is None or link is None:
            return False
        try:
            await link.request(StopBroker(), timeout_s=self._shutdown_s)
            if await _exited(broker, self._shutdown_s):
                return broker.process.returncode == 0
            log.warning("broker process pid=%d did not exit; killing it", broker.process.pid)
        except BrokerGoneError:
            return False
        except BrokerError as error:
            log.warning("broker process pid=%d: %s; killing it", broker.process.pid, error)
        broker.process.kill()
        return False


async def _exited(broker: BrokerProcess, timeout_s: float | None) -> bool:
    """Wait for the process to end; False when it still runs after ``timeout_s``."""
    if broker.process.poll() is not None:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        pidfd = os.pidfd_open(broker.process.pid)
    except ProcessLookupError:
        return True
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return True
