"""What a backend has to offer to be measured: a server (perhaps), a producing side and a consuming side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.tally import Tally
from benchmarks.workload import RecordSource, Workload

RECEIVE_TIMEOUT_S = 0.1


class Durability(StrEnum):
    """What an acknowledged record survives. Only rows of the same class are compared as equals."""

    NONE = "none"
    CRASH = "crash"  # kill -9 of any process: the record is in the page cache
    POWER = "power"  # loss of power: the record was flushed to disk before it was acknowledged


@dataclass(frozen=True)
class Link:
    """How the two sides find each other; sent to the child processes, so everything in it can be pickled."""

    address: Any
    server_pids: tuple[int, ...] = field(default=())


class ProducerSide(ABC):
    """Lives in a process of its own. The constructor connects, so that nothing is left to do but produce."""

    @abstractmethod
    def produce(self, source: RecordSource) -> None:
        """Send every record of `source`; return when all that the backend acknowledges is acknowledged."""

    @abstractmethod
    def send_one(self, value: bytes) -> None:
        """Send one record now."""

    def close(self) -> None:  # noqa: B027 - most sides have nothing to close
        pass


class ConsumerSide(ABC):
    """Lives in a process of its own. The constructor connects and is ready to receive."""

    @abstractmethod
    def receive(self) -> Sequence[bytes]:
        """Up to 1,000 records; none after `RECEIVE_TIMEOUT_S` without any."""

    def acknowledge(self) -> None:  # noqa: B027 - not every backend has acknowledgements
        """Tell the backend that what `receive` returned last is done with."""

    def consume(self, tally: Tally) -> None:
        """Receive until all is there. Override where a user would not write this loop."""
        while not tally.finished:
            tally.add(self.receive())
            self.acknowledge()

    def close(self) -> None:  # noqa: B027 - most sides have nothing to close
        pass


class Backend(ABC):
    """One row of the tables. Instances travel to the children: they hold settings, never connections."""

    name: str
    title: str
    durability: Durability
    rate_hint: int
    """Records of 100 bytes a second, roughly: sizes the first, uncounted run that measures the real rate."""
    fans: bool = True
    """Whether several producers and consumers can share the work."""
    one_process: bool = False
    """Producer and consumer are one process: the producing side does both (`produce_and_consume`)."""
    has_latency: bool = True
    server: str | None = None
    """The name of the server behind it; backends of the same name share their row in the table of servers."""

    @abstractmethod
    def missing(self) -> str | None:
        """None when this machine can run the backend, otherwise what is missing and how to get it."""

    @abstractmethod
    def open(self, work: Workload, directory: Path) -> AbstractContextManager[Link]:
        """Start the server in the empty `directory`, prepare for `work`; on exit stop it."""

    @abstractmethod
    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide: ...

    @abstractmethod
    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide: ...

    def produce_and_consume(self, link: Link, source: RecordSource, tally: Tally) -> None:
        """The whole run, for backends with `one_process`."""
        raise NotImplementedError(f"{self.name} runs as two processes")
