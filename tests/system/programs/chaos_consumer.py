"""Reads all partitions until SIGTERM and writes down what it was given.

usage: chaos_consumer.py ADDRESS TOPIC PARTITIONS GROUP STYLE LEDGER

STYLE is ``poll``, ``consume`` or ``batches``. Offsets are committed every 100 ms, so that a killed consumer's successor goes
on where the group was.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from chaos_records import RECORD, SEEN

from shmclient import Consumer, TopicPartition

is_stopping = False


def stop(*_: object) -> None:
    global is_stopping
    is_stopping = True


def seen(message: object) -> bytes:
    assert message.error() is None, message.error()
    return SEEN.pack(message.partition(), message.offset(), *RECORD.unpack_from(message.value()))


def main() -> None:
    address, topic, partitions, group, style, ledger_path = sys.argv[1:]
    ledger = os.open(ledger_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "client.id": f"chaos-consumer-{group}",
            "group.id": group,
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 100,
        }
    )
    consumer.assign([TopicPartition(topic, number) for number in range(int(partitions))])
    while not is_stopping:
        if style == "poll":
            message = consumer.poll(0.1)
            messages = [message] if message is not None else []
        elif style == "consume":
            messages = consumer.consume(500, 0.02)
        else:
            messages = []
            for batch in consumer.consume_batches(0.02):
                os.write(ledger, b"".join(map(seen, batch.messages())))
        if messages:
            os.write(ledger, b"".join(map(seen, messages)))
    consumer.close()


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # outages are what this is about
    signal.signal(signal.SIGTERM, stop)
    os.write(1, b"up\n")
    main()
