"""What the monitor process knows of the daemon: answers of the control socket, and the files that everybody may map."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from typing import TypeVar

import shmbroker
from shmbroker.errors import BrokerError, ErrorCode
from shmbroker.protocol import messages as m
from shmbroker.protocol.channel import Channel
from shmbroker.protocol.framing import Codec
from shmbroker.shm.counters import CountersFile
from shmbroker.shm.table import PartitionState, PartitionTable
from shmbrokerd.monitor_settings import MonitorSettings

CLIENT_ID = "shmbrokerd-monitor"
TIMEOUT_S = 10.0
"""The daemon answers within milliseconds; a hundred groups of a thousand partitions take it a second or two."""

R = TypeVar("R", bound=m.Message)


class Source:
    """One connection, kept from the start on: the daemon may have no room for another later. Any thread may ask; one does at a
    time."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._path = settings.control_socket
        self.table = PartitionTable.open(settings.table_path)
        self.counters = CountersFile.open(settings.counters_path)
        self._lock = threading.Lock()
        self._channel: Channel[m.Request, m.Response] | None = None
        self._correlation_ids = itertools.count(1)

    def ask(self, body: m.RequestBody, reply_type: type[R]) -> R:
        """
        Raises:
            BrokerError: what the daemon says, or BROKER_NOT_AVAILABLE when it says nothing.
        """
        with self._lock:
            try:
                reply = self._exchange(self._connected(), body)
            except (OSError, TimeoutError) as error:
                self._drop()
                raise BrokerError(
                    ErrorCode.BROKER_NOT_AVAILABLE, f"the daemon does not answer: {error}"
                ) from None
            except BaseException:
                self._drop()  # nobody knows what is under way on it
                raise
        if isinstance(reply, m.Failure):
            raise BrokerError(reply.code, reply.message)
        assert isinstance(reply, reply_type), reply
        return reply

    def _connected(self) -> Channel[m.Request, m.Response]:
        if self._channel is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(self._path)
                channel: Channel[m.Request, m.Response] = Channel(sock, Codec(m.Request), Codec(m.Response))
                software = f"shmbrokerd {shmbroker.__version__}"
                hello = self._exchange(channel, m.Hello(m.PROTOCOL_VERSION, CLIENT_ID, software))
            except BaseException:
                sock.close()
                raise
            if isinstance(hello, m.Failure):
                channel.close()
                raise ConnectionError(hello.message)
            self._channel = channel
        return self._channel

    def _exchange(self, channel: Channel[m.Request, m.Response], body: m.RequestBody) -> m.ResponseBody:
        correlation_id = next(self._correlation_ids)
        channel.send(m.Request(correlation_id, body), timeout_s=TIMEOUT_S)
        while True:
            response = channel.receive(TIMEOUT_S)
            if response.correlation_id in (correlation_id, m.NO_REQUEST):
                return response.body

    def _drop(self) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.close()
            self._channel = None

    def close(self) -> None:
        """Nobody asks any more."""
        with self._lock:
            self._drop()
        self.table.close()
        self.counters.close()

    # --- questions -----------------------------------------------------------------------------------------

    def summaries(self) -> list[m.GroupLag]:
        """All groups, without their partitions."""
        return self.ask(m.DescribeLag(None, with_partitions=False), m.DescribeLagReply).groups

    def group(self, name: str, *, with_commits: bool = False) -> m.GroupLag:
        """Status NOTFOUND for one that nothing is known of."""
        reply = self.ask(m.DescribeLag([name], with_commits=with_commits), m.DescribeLagReply)
        return reply.groups[0]

    def topics(self) -> list[m.TopicInfo]:
        return self.ask(m.DescribeTopics(None), m.DescribeTopicsReply).topics

    def log_ends(self, topic: str) -> list[int] | None:
        """High watermarks by partition number, of those that are open; None for an unknown topic."""
        (info,) = self.ask(m.DescribeTopics([topic]), m.DescribeTopicsReply).topics
        if info.code != ErrorCode.NO_ERROR:
            return None
        return [end for end in map(self.log_end, info.partitions) if end >= 0]

    def log_end(self, info: m.PartitionInfo) -> int:
        """-1 when the log is not open."""
        figures = self.table.figures(info.slot)
        return -1 if figures.state == PartitionState.CLOSED else figures.high_watermark
