"""Produces numbered records until SIGTERM and writes down what was acknowledged.

usage: chaos_producer.py ADDRESS TOPIC PARTITIONS WRITER STYLE LEDGER [PAUSE]

A record's value is (writer, lane, number) and filler. Records of a lane go to one partition and are numbered from 0, so a
loss, a repetition or a swap shows in the log. STYLE is how records are produced: ``acks1`` and ``all`` with a callback for
each, ``column`` as columns with acks=all, ``fast`` with keys and no callbacks. PAUSE: seconds between two rounds of 40 records.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys

from chaos_records import ACK, RECORD

from shmclient import Producer

FILLER = b"x" * 80
LANES = 8
ROUND_RECORDS = 40
ROUND_PAUSE_S = 0.004
"""Some 10,000 records a second: load enough, and the checker is done in seconds."""


class Writer:
    def __init__(
        self, address: str, topic: str, partitions: int, writer: int, style: str, ledger: str, pause_s: float
    ) -> None:
        self.pause_s = pause_s
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "client.id": f"chaos-producer-{writer}",
                "acks": 1 if style == "acks1" else "all",
                "queue.buffering.max.messages": 4000,
                "delivery.timeout.ms": 120_000,
                "compression.type": "gzip" if writer % 4 == 3 else "none",
            }
        )
        self.topic, self.partitions, self.writer, self.style = topic, partitions, writer, style
        self.ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.acked: list[bytes] = []
        self.next_number = [0] * max(LANES, partitions)
        self.is_stopping = False

    def heard(self, error: object, message: object) -> None:
        assert error is None, f"{error} {message.topic()} [{message.partition()}]"
        writer, lane, number = RECORD.unpack_from(message.value())
        self.acked.append(ACK.pack(writer, lane, number, message.partition(), message.offset()))

    def value(self, lane: int) -> bytes:
        return RECORD.pack(self.writer, lane, self.next_number[lane]) + FILLER

    def round(self, turn: int) -> None:
        if self.style == "column":
            lane = turn % self.partitions
            first = self.next_number[lane]
            values = [
                RECORD.pack(self.writer, lane, number) + FILLER
                for number in range(first, first + ROUND_RECORDS)
            ]
            self.producer.produce_batch(self.topic, values=values, partition=lane, on_delivery=self.heard)
            self.next_number[lane] += ROUND_RECORDS
            return
        for index in range(ROUND_RECORDS):
            if self.style == "fast":
                lane = (turn + index) % LANES
                self.producer.produce(self.topic, self.value(lane), b"key-%d" % lane)
            else:
                lane = (turn + index) % self.partitions
                self.producer.produce(self.topic, self.value(lane), partition=lane, on_delivery=self.heard)
            self.next_number[lane] += 1

    def write_down(self) -> None:
        acked, self.acked = self.acked, []
        if acked:
            os.write(self.ledger, b"".join(acked))

    def run(self) -> None:
        for turn in itertools.count():
            if self.is_stopping:
                break
            try:
                self.round(turn)
            except BufferError:
                self.producer.poll(0.05)
            self.producer.poll(self.pause_s)
            self.write_down()
        left = self.producer.flush(60)
        self.write_down()
        assert left == 0, f"{left} records were not delivered"
        os.write(1, (" ".join(map(str, self.next_number)) + "\n").encode())

    def stop(self, *_: object) -> None:
        self.is_stopping = True


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # outages are what this is about
    address, topic, partitions, writer, style, ledger, *pause = sys.argv[1:]
    pause_s = float(pause[0]) if pause else ROUND_PAUSE_S
    program = Writer(address, topic, int(partitions), int(writer), style, ledger, pause_s)
    signal.signal(signal.SIGTERM, program.stop)
    os.write(1, b"up\n")
    program.run()
