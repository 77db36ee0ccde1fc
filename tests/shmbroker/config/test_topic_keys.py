import pytest

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import ConfigKey
from shmbroker.config.topic_keys import TOPIC_KEYS

# From the topic configuration of Apache Kafka 4.x.
KAFKA_DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.gzip.level": "-1",
    "compression.lz4.level": "9",
    "compression.type": "producer",
    "compression.zstd.level": "3",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": "9223372036854775807",
    "flush.ms": "9223372036854775807",
    "index.interval.bytes": "4096",
    "local.retention.bytes": "-2",
    "local.retention.ms": "-2",
    "max.compaction.lag.ms": "9223372036854775807",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.index.bytes": "10485760",
    "segment.jitter.ms": "0",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}


@pytest.mark.parametrize(("name", "default"), KAFKA_DEFAULTS.items())
def test_defaults_are_kafkas(name: str, default: str) -> None:
    key = TOPIC_KEYS[name]
    assert key.format(key.default) == default


def test_what_kafka_does_not_have_is_few_and_known() -> None:
    assert TOPIC_KEYS.keys() - KAFKA_DEFAULTS.keys() == {
        "flush.on.ack",
        "retention.groups",
        "retention.groups.max.bytes",
        "retention.groups.max.ms",
    }


@pytest.mark.parametrize("key", TOPIC_KEYS.values(), ids=lambda key: key.name)
def test_each_topic_key_has_a_broker_key_with_the_same_values(key: ConfigKey) -> None:
    broker_key = BROKER_KEYS[key.synonym]
    assert broker_key.synonym == key.name
    assert broker_key.is_dynamic
    assert (broker_key.type, broker_key.default, broker_key.allowed) == (key.type, key.default, key.allowed)
