from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import ValueType
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.protocol.framing import MAX_FRAME_BYTES

KAFKA_OWN = {
    "node.id",
    "num.partitions",
    "default.replication.factor",
    "auto.create.topics.enable",
    "delete.topic.enable",
    "offset.metadata.max.bytes",
}


def test_no_two_keys_share_a_name() -> None:
    own = [key for key in BROKER_KEYS.values() if not key.synonym]
    assert len(BROKER_KEYS) == len(own) + len(TOPIC_KEYS)


def test_every_limit_says_why_its_number_is_what_it_is() -> None:
    limits = [key for key in BROKER_KEYS.values() if not key.synonym and key.name not in KAFKA_OWN]
    numbers = [key for key in limits if key.type not in (ValueType.BOOLEAN, ValueType.STRING)]
    assert [key.name for key in numbers if not key.reason] == []


def test_the_frame_limit_is_the_protocols() -> None:
    assert BROKER_KEYS["socket.request.max.bytes"].maximum == MAX_FRAME_BYTES
    assert BROKER_KEYS["socket.request.max.bytes"].default == MAX_FRAME_BYTES


def test_the_largest_batch_fits_the_largest_ring_twice() -> None:
    largest_batch = TOPIC_KEYS["max.message.bytes"].maximum
    assert largest_batch is not None
    assert int(BROKER_KEYS["session.ring.max.bytes"].default) >= 2 * largest_batch
