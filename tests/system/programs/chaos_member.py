"""A member of a group that reads until SIGTERM and writes down what it was given, what it was assigned and what it committed.

usage: chaos_member.py ADDRESS TOPIC GROUP NAME LEDGER

GROUP is also the style of its members: ``auto`` commits automatically and polls, in an incremental group; ``sync`` is static,
under NAME, consumes lists and commits each before the next; ``eager`` has callbacks that hear of everything, and reads batches.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

from chaos_records import COMMITTED, EVENT, READ, RECORD, STARTED

from shmclient import Consumer, KafkaException

SETTINGS: dict[str, dict[str, Any]] = {
    "auto": {
        "partition.assignment.strategy": "cooperative-sticky",
        "auto.commit.interval.ms": 100,
    },
    "sync": {"group.protocol": "consumer", "enable.auto.commit": False},
    "eager": {"auto.commit.interval.ms": 100},
}
CLASSIC = {"session.timeout.ms": 1500, "heartbeat.interval.ms": 200}


class Member:
    def __init__(self, address: str, topic: str, group: str, name: str, ledger: str) -> None:
        self.group = group
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.is_stopping = False
        settings = SETTINGS[group] | ({"group.instance.id": name} if group == "sync" else CLASSIC)
        self.consumer = Consumer(
            {
                "bootstrap.servers": address,
                "client.id": f"chaos-{name}",
                "group.id": group,
                "auto.offset.reset": "earliest",
                "max.poll.interval.ms": 10_000,
                "on_commit": self.committed,
            }
            | settings
        )
        if group == "eager":
            self.consumer.subscribe(
                [topic], on_assign=self.assigned, on_revoke=lambda *_: None, on_lost=lambda *_: None
            )
        else:
            self.consumer.subscribe([topic], on_assign=self.assigned)

    def assigned(self, _consumer: Consumer, partitions: list[Any]) -> None:
        now = time.monotonic_ns()
        self.write(EVENT.pack(STARTED, tp.partition, now, now, 0, 0, 0, 0) for tp in partitions)

    def committed(self, error: Any, partitions: list[Any], began: int = 0) -> None:
        """``began`` is not known of automatic commits."""
        now = time.monotonic_ns()
        done = [tp for tp in partitions if error is None and tp.error is None and tp.offset >= 0]
        self.write(EVENT.pack(COMMITTED, tp.partition, began, now, tp.offset, 0, 0, 0) for tp in done)

    def write(self, entries: Iterable[bytes]) -> None:
        data = b"".join(entries)
        if data:
            os.write(self.ledger, data)

    def seen(self, messages: Iterable[Any]) -> None:
        now = time.monotonic_ns()
        self.write(
            EVENT.pack(READ, m.partition(), now, now, m.offset(), *RECORD.unpack_from(m.value()))
            for m in messages
            if m.error() is None
        )

    def run(self) -> None:
        while not self.is_stopping:
            if self.group == "auto":
                message = self.consumer.poll(0.1)
                self.seen([message] if message is not None else [])
            elif self.group == "sync":
                self.seen(self.consumer.consume(200, 0.05))
                self.commit()
            else:
                for batch in self.consumer.consume_batches(0.05):
                    self.seen(batch.messages())
                    if self.is_stopping:
                        break
        self.consumer.close()

    def commit(self) -> None:
        began = time.monotonic_ns()
        with contextlib.suppress(
            KafkaException
        ):  # nothing to commit, no daemon, or fenced: read again by somebody
            self.committed(None, self.consumer.commit(asynchronous=False) or [], began)

    def stop(self, *_: object) -> None:
        self.is_stopping = True


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # outages are what this is about
    member = Member(*sys.argv[1:])
    signal.signal(signal.SIGTERM, member.stop)
    os.write(1, b"up\n")
    member.run()
