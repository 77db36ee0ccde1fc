"""A multiprocessing Pipe: the standard library's way from one process to another, nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.backend import RECEIVE_TIMEOUT_S, Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.tally import Tally
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload


class PipeBackend(Backend):
    """`kind` is `bytes` (send_bytes) or `object` (send, which pickles)."""

    durability = Durability.NONE
    rate_hint = 400_000
    fans = False

    def __init__(self, kind: str) -> None:
        self.name = f"pipe-{kind}"
        self.title = f"multiprocessing Pipe, {kind}"
        self.pickles = kind == "object"

    def missing(self) -> str | None:
        return None

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        receiver, sender = Pipe(duplex=False)
        with receiver, sender:
            yield Link((receiver, sender))

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        _, sender = link.address
        return _Producer(sender.send if self.pickles else sender.send_bytes)

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        receiver, _ = link.address
        return _Consumer(receiver, receiver.recv if self.pickles else receiver.recv_bytes)


class _Producer(ProducerSide):
    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send

    def produce(self, source: RecordSource) -> None:
        send = self._send
        for value in source:
            send(value)

    def send_one(self, value: bytes) -> None:
        self._send(value)


class _Consumer(ConsumerSide):
    def __init__(self, receiver: Connection, receive_one: Callable[[], bytes]) -> None:
        self._receiver = receiver
        self._receive_one = receive_one

    def consume(self, tally: Tally) -> None:
        receive_one = self._receive_one
        while not tally.finished:
            tally.add([receive_one() for _ in range(min(CHUNK_RECORDS, tally.remaining))])

    def receive(self) -> Sequence[bytes]:
        if not self._receiver.poll(RECEIVE_TIMEOUT_S):
            return ()
        return (self._receive_one(),)
