"""ZeroMQ PUSH/PULL over ipc: one send per record, nothing is stored."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.backend import RECEIVE_TIMEOUT_S, Backend, ConsumerSide, Durability, Link, ProducerSide
from benchmarks.tally import Tally
from benchmarks.workload import CHUNK_RECORDS, RecordSource, Workload

RECEIVE_TIMEOUT_MS = int(RECEIVE_TIMEOUT_S * 1000)
HIGH_WATER_MARK = 100_000
"""Records that may wait on a side. With the default (1,000) the sides wait for each other all the time."""


class ZeroMqBackend(Backend):
    """Each consumer binds an endpoint, each producer connects to all of them and deals its records out."""

    name = "zeromq"
    title = "ZeroMQ PUSH/PULL"
    durability = Durability.NONE
    rate_hint = 1_000_000

    def missing(self) -> str | None:
        if importlib.util.find_spec("zmq") is None:
            return "pyzmq is not installed (pip install pyzmq)"
        return None

    @contextmanager
    def open(self, work: Workload, directory: Path) -> Iterator[Link]:
        yield Link([f"ipc://{directory}/{number}" for number in range(work.consumers)])

    def producer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ProducerSide:
        return _Producer(link)

    def consumer(self, link: Link, work: Workload, number: int, low_latency: bool) -> ConsumerSide:
        return _Consumer(link, number)


class _Producer(ProducerSide):
    def __init__(self, link: Link) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket: Any = self._context.socket(zmq.PUSH)
        self._socket.sndhwm = HIGH_WATER_MARK
        for endpoint in link.address:
            self._socket.connect(endpoint)

    def produce(self, source: RecordSource) -> None:
        send = self._socket.send
        for value in source:
            send(value)

    def send_one(self, value: bytes) -> None:
        self._socket.send(value)

    def close(self) -> None:
        # Waits until everything queued was handed to the other side.
        self._socket.close()
        self._context.term()


class _Consumer(ConsumerSide):
    def __init__(self, link: Link, number: int) -> None:
        import zmq

        self._nothing = zmq.Again
        self._context = zmq.Context()
        self._socket: Any = self._context.socket(zmq.PULL)
        self._socket.rcvhwm = HIGH_WATER_MARK
        self._socket.rcvtimeo = RECEIVE_TIMEOUT_MS
        self._socket.bind(link.address[number])

    def consume(self, tally: Tally) -> None:
        receive = self._socket.recv
        while not tally.finished:
            chunk: list[bytes] = []
            try:
                chunk.extend(receive() for _ in range(min(CHUNK_RECORDS, tally.remaining)))
            except self._nothing:
                # The last record came when the wait that just ended began.
                tally.add(chunk, time.monotonic_ns() - RECEIVE_TIMEOUT_MS * 1_000_000)
            else:
                tally.add(chunk)

    def receive(self) -> Sequence[bytes]:
        try:
            return (self._socket.recv(),)
        except self._nothing:
            return ()

    def close(self) -> None:
        self._socket.close()
        self._context.term()
