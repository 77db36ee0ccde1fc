"""How to test a program with a real broker: ``pytest examples/test_word_count.py``.

The fixture ``shmbroker`` comes with the installation: a daemon of its own for each test, up in a quarter of a second, in
temporary folders, gone afterwards. ``shmbroker_session`` is one for the whole run.
"""

from __future__ import annotations

from collections import Counter

from shmclient import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from shmclient.testing import EmbeddedBroker


def count_words(bootstrap_servers: str, topic: str) -> Counter[str]:
    """The program under test: counts the words of all records that are in a topic now."""
    counts: Counter[str] = Counter()
    config = {"bootstrap.servers": bootstrap_servers, "group.id": "count", "enable.partition.eof": True}
    with Consumer(config) as consumer:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        for message in iter(lambda: consumer.poll(5.0), None):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                break
            counts.update(message.value().decode().split())
    return counts


def test_words_are_counted(shmbroker: EmbeddedBroker) -> None:
    with Producer({"bootstrap.servers": shmbroker.bootstrap_servers}) as producer:
        producer.produce("lines", "to be or not to be")
        producer.produce("lines", "to do")
    assert count_words(shmbroker.bootstrap_servers, "lines") == {"to": 3, "be": 2, "or": 1, "not": 1, "do": 1}


def test_nothing_is_lost_when_the_broker_crashes(shmbroker: EmbeddedBroker) -> None:
    with Producer({"bootstrap.servers": shmbroker.bootstrap_servers}) as producer:
        producer.produce("lines", "before")
        producer.flush()
        shmbroker.kill()  # SIGKILL to all its processes
        producer.produce("lines", "meanwhile")
        shmbroker.restart()
    assert count_words(shmbroker.bootstrap_servers, "lines") == {"before": 1, "meanwhile": 1}
