"""The broker process around its loop: the channel to the main process, the doorbell, the end."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from functools import partial

from shmbroker.errors import BrokerError
from shmbroker.protocol.channel import Channel, ChannelClosedError
from shmbroker.protocol.framing import Codec
from shmbroker.protocol.messages import (
    BrokerCommand,
    BrokerEvent,
    BrokerEventBody,
    PartitionFaulted,
    SessionFaulted,
    TransactionOpened,
)
from shmbroker.shm.counters import CountersFile, SystemCounter
from shmbroker.shm.table import PartitionTable
from shmbroker.shm.wakeup import Sleeper, ring
from shmbrokerd.broker.append_loop import AppendLoop
from shmbrokerd.broker.commands import Commands
from shmbrokerd.broker.flusher import FLUSH_THREADS, Flusher
from shmbrokerd.broker.partition import LedPartition
from shmbrokerd.broker.turns import ask_for_short_turns
from shmbrokerd.broker.upkeep import Upkeep
from shmbrokerd.logs import log
from shmbrokerd.quick_start import is_up

SLEEP_S = 1.0
"""Longest sleep: bounds what a lost wake-up (a client killed between publishing and ringing) can delay."""
LOOK_S = 0.001
"""How often a busy broker looks for commands and for what is due by the clock: asking the kernel costs a small batch's time."""


class BrokerProcess:
    """Runs until the main process says stop or is gone."""

    def __init__(self, channel_fd: int, doorbell_fd: int, table_path: str, counters_path: str) -> None:
        self._channel: Channel[BrokerEvent, BrokerCommand] = Channel(
            socket.socket(fileno=channel_fd), Codec(BrokerEvent), Codec(BrokerCommand)
        )
        table = PartitionTable.open(table_path, writable=True)
        self._counters = CountersFile.open(counters_path, writable=True)
        self._counters.broker_pid = os.getpid()
        self._flusher = Flusher(on_finished=lambda: ring(doorbell_fd))
        self._loop = AppendLoop(
            self._counters,
            self._flusher,
            on_session_fault=lambda session, reason: self._tell(-1, SessionFaulted(session, reason)),
            on_partition_fault=lambda slot, reason: self._tell(-1, PartitionFaulted(slot, reason)),
            on_transaction_opened=lambda slot, opened: self._tell(-1, TransactionOpened(slot, *opened)),
        )
        self._upkeep = Upkeep(self._loop, self._counters)
        self._commands = Commands(self._loop, table, self._upkeep)
        self._look_at = 0.0
        self._sleeper = Sleeper(table.words, table.doorbell_waiting_word, doorbell_fd, self._channel.fileno())

    def run(self) -> int:
        """The exit status: 0 when all that was appended is on the disk, 1 when nobody knows."""
        is_flushed = False
        try:
            while not self._commands.is_stopping:
                work = self._loop.do_work()
                # Records first. What else there may be to do is looked for between two of them, and not after each.
                now = time.monotonic()
                if not work or now >= self._look_at:
                    self._look_at = now + LOOK_S
                    work += self._run_commands()
                    self._loop.expire_producers(now)
                    work += self._upkeep.do_work()
                if not work:
                    self._sleep()
        except ChannelClosedError:
            log.info("the main process is gone; stopping")
        else:
            is_flushed = self._flush_all()
        finally:
            self._shut_down()
        return 0 if is_flushed else 1

    def _run_commands(self) -> int:
        self._channel.receive_available()
        commands = 0
        while (command := self._channel.pop_received()) is not None:
            self._commands.run(
                command.body, self._channel.take_fds, partial(self._tell, command.correlation_id)
            )
            commands += 1
        return commands

    def _sleep(self) -> None:
        self._counters.add(SystemCounter.SLEEPS)
        self._sleeper.sleep_unless(self._loop.has_work, self._upkeep.pause_s(SLEEP_S))

    def _tell(self, correlation_id: int, body: BrokerEventBody) -> None:
        self._channel.send(BrokerEvent(correlation_id, body))

    def _flush_all(self) -> bool:
        """So that the next start need not look at the logs, whatever happens to the machine until then."""
        from concurrent.futures import ThreadPoolExecutor  # only the end pays for this import

        self._flusher.stop()
        with ThreadPoolExecutor(FLUSH_THREADS) as threads:
            return all(threads.map(_flush, list(self._loop.partitions.values())))

    def _shut_down(self) -> None:
        """Finish flushes that run, close the logs. All that was committed is in the page cache already, and the table goes on
        saying so: readers read on while there is no daemon."""
        self._flusher.stop()
        self._upkeep.stop()
        for partition in self._loop.partitions.values():
            partition.log.close()
        self._channel.close()


def _flush(partition: LedPartition) -> bool:
    try:
        partition.log.flush()
    except BrokerError as error:
        log.warning("%s", error.message)
        return False
    return True


def prepare_process() -> None:
    """Limits and signals of a broker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:  # three descriptors for each open segment
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ask_for_short_turns()
    is_up()  # the loop makes no reference cycles: a full collection in the middle of a round would only add latency
