"""Produce and consume. Needs a daemon: ``shmbroker run -- python examples/quickstart.py`` brings one along.

A program for Kafka runs with this library by importing ``shmclient`` instead of ``confluent_kafka``, and goes back by
setting ``bootstrap.servers`` to a cluster.
"""

from __future__ import annotations

from shmclient import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

TOPIC = "quickstart"


def on_delivery(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        raise SystemExit(f"not delivered: {error}")
    print(f"delivered to {message.topic()} [{message.partition()}] at offset {message.offset()}")


def produce() -> None:
    # Without "bootstrap.servers": $SHMBROKER_BOOTSTRAP, else the system's daemon, else the user's.
    with Producer({"acks": "all"}) as producer:
        for name, city in (("ann", "Oslo"), ("bob", "Lima"), ("ann", "Rome")):
            producer.produce(
                TOPIC, key=name, value=city, headers={"source": "quickstart"}, on_delivery=on_delivery
            )
        producer.flush()  # waits for the acknowledgements and calls on_delivery


def consume() -> None:
    config = {"group.id": "quickstart", "enable.partition.eof": True, "enable.auto.commit": False}
    with Consumer(config) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
        while True:
            message = consumer.poll(5.0)
            if message is None:
                raise SystemExit("nothing came for 5 s")
            error = message.error()
            if error is None:
                print(f"{message.key().decode()} lives in {message.value().decode()}")
            elif error.code() == KafkaError._PARTITION_EOF:
                break
            else:
                raise SystemExit(str(error))
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    produce()
    consume()
