"""committed, commit, store_offsets, on_commit: a group's offsets as the broker keeps them."""

from __future__ import annotations

from typing import Any

import pytest
from support.backends import REQUEST_TIMEOUT_S, Broker, eventually, unique

VALUES = [str(number).encode() for number in range(10)]


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic with ten records in partition 0 and none in partition 1."""
    name = broker.topic(2)
    broker.fill(name, VALUES)
    return name


def committed(broker: Broker, consumer: Any, topic: str, partition: int = 0) -> int:
    """The group's committed offset in one partition."""
    (found,) = consumer.committed([broker.api.TopicPartition(topic, partition)], timeout=REQUEST_TIMEOUT_S)
    assert (found.topic, found.partition, found.error) == (topic, partition, None)
    return int(found.offset)


def test_nothing_committed_is_the_invalid_offset(broker: Broker, topic: str) -> None:
    consumer = broker.consumer()
    invalid = broker.api.OFFSET_INVALID
    assert committed(broker, consumer, topic) == invalid
    assert committed(broker, consumer, topic, partition=9) == invalid
    assert committed(broker, consumer, "no-such-topic") == invalid
    assert consumer.committed([], timeout=REQUEST_TIMEOUT_S) == []


def test_a_synchronous_commit_returns_what_was_committed(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.consumer()
    done = consumer.commit(offsets=[tp(topic, 0, 4, "note"), tp(topic, 1, 0)], asynchronous=False)
    assert [(each.partition, each.offset, each.error) for each in done] == [(0, 4, None), (1, 0, None)]
    found = consumer.committed([tp(topic, 0), tp(topic, 1)], timeout=REQUEST_TIMEOUT_S)
    assert [(each.partition, each.offset, each.metadata) for each in found] == [(0, 4, "note"), (1, 0, None)]


def test_committed_offsets_belong_to_the_group(broker: Broker, topic: str) -> None:
    group = {"group.id": unique("shared")}
    first = broker.consumer(group)
    first.commit(offsets=[broker.api.TopicPartition(topic, 0, 4)], asynchronous=False)
    assert committed(broker, broker.consumer(group), topic) == 4
    assert committed(broker, broker.consumer(), topic) == broker.api.OFFSET_INVALID


def test_an_asynchronous_commit_returns_none_and_tells_on_commit(broker: Broker, topic: str) -> None:
    told: list[tuple[Any, list[Any]]] = []
    consumer = broker.consumer({"on_commit": lambda error, partitions: told.append((error, partitions))})
    assert consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 4)]) is None
    eventually(lambda: consumer.poll(0.1) or told)
    ((error, partitions),) = told
    assert error is None
    assert [(each.topic, each.partition, each.offset, each.error) for each in partitions] == [
        (topic, 0, 4, None)
    ]
    assert committed(broker, consumer, topic) == 4


def test_on_commit_hears_of_a_failure(broker: Broker, topic: str) -> None:
    told: list[tuple[Any, list[Any]]] = []
    consumer = broker.consumer({"on_commit": lambda error, partitions: told.append((error, partitions))})
    assert consumer.commit(offsets=[broker.api.TopicPartition(topic, 9, 4)]) is None
    eventually(lambda: consumer.poll(0.1) or told)
    ((error, (partition,)),) = told
    broker.is_error(error, "UNKNOWN_TOPIC_OR_PART")
    broker.is_error(partition.error, "UNKNOWN_TOPIC_OR_PART")
    assert (partition.topic, partition.partition) == (topic, 9)


def test_a_synchronous_commit_does_not_call_on_commit(broker: Broker, topic: str) -> None:
    told: list[Any] = []
    consumer = broker.consumer({"on_commit": lambda *args: told.append(args)})
    consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 4)], asynchronous=False)
    consumer.poll(0.1)
    assert told == []


def test_committing_a_message_commits_the_offset_after_it(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, offset=4)
    (message,) = broker.read(consumer, 1)
    (done,) = consumer.commit(message=message, asynchronous=False)
    assert (done.topic, done.partition, done.offset, done.error) == (topic, 0, 5, None)
    (message,) = broker.read(consumer, 1)
    consumer.commit(message, asynchronous=False)
    assert committed(broker, consumer, topic) == 6


def test_commit_without_arguments_commits_what_was_read(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    broker.read(consumer, 3)
    (done,) = consumer.commit(asynchronous=False)
    assert (done.partition, done.offset) == (0, 3)
    with broker.refuses("_NO_OFFSET"):
        consumer.commit(asynchronous=False)
    broker.read(consumer, 1)
    consumer.commit(asynchronous=False)
    assert committed(broker, consumer, topic) == 4


@pytest.mark.parametrize("how", ["seek", "assign", "explicit"])
def test_commit_without_arguments_never_goes_back(broker: Broker, topic: str, how: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.reader(topic)
    broker.read(consumer, 5)
    if how == "explicit":
        consumer.commit(offsets=[tp(topic, 0, 8)], asynchronous=False)
    else:
        consumer.commit(asynchronous=False)
        rewind = consumer.seek if how == "seek" else lambda one: consumer.assign([one])
        rewind(tp(topic, 0, 1))
        assert [message.value() for message in broker.read(consumer, 1)] == [VALUES[1]]
    before = committed(broker, consumer, topic)
    with broker.refuses("_NO_OFFSET"):
        consumer.commit(asynchronous=False)
    assert committed(broker, consumer, topic) == before
    consumer.commit(offsets=[tp(topic, 0, 2)], asynchronous=False)
    assert committed(broker, consumer, topic) == 2


def test_a_new_start_from_the_committed_offset_commits_from_there(broker: Broker, topic: str) -> None:
    group = {"group.id": unique("moved-back"), "enable.auto.commit": False}
    tp = broker.api.TopicPartition
    consumer = broker.consumer(group)
    consumer.assign([tp(topic, 0, 0)])
    broker.read(consumer, 5)
    consumer.commit(asynchronous=False)
    consumer.unassign()
    broker.consumer(group).commit(offsets=[tp(topic, 0, 2)], asynchronous=False)
    consumer.assign([tp(topic, 0)])
    assert [message.value() for message in broker.read(consumer, 1)] == [VALUES[2]]
    consumer.commit(asynchronous=False)
    assert committed(broker, consumer, topic) == 3


@pytest.mark.parametrize("offset", [None, -5, "OFFSET_INVALID"])
def test_nothing_to_commit_is_an_error_when_one_waits_for_it(broker: Broker, topic: str, offset: Any) -> None:
    consumer = broker.consumer()
    number = getattr(broker.api, offset) if isinstance(offset, str) else offset
    offsets = [] if number is None else [broker.api.TopicPartition(topic, 0, number)]
    with broker.refuses("_NO_OFFSET"):
        consumer.commit(offsets=offsets, asynchronous=False)
    with broker.refuses("_NO_OFFSET"):
        consumer.commit(asynchronous=False)
    assert consumer.commit() is None


def test_offsets_beyond_the_end_can_be_committed(broker: Broker, topic: str) -> None:
    consumer = broker.consumer()
    consumer.commit(offsets=[broker.api.TopicPartition(topic, 0, 1000)], asynchronous=False)
    assert committed(broker, consumer, topic) == 1000


def test_committing_an_unknown_partition_is_refused(broker: Broker, topic: str) -> None:
    tp = broker.api.TopicPartition
    consumer = broker.consumer()
    for offsets in ([tp(topic, 9, 1)], [tp("no-such-topic", 0, 1)], [tp(topic, 0, 1), tp(topic, 9, 1)]):
        with broker.refuses("UNKNOWN_TOPIC_OR_PART"):
            consumer.commit(offsets=offsets, asynchronous=False)


def test_an_event_cannot_be_committed_or_stored(broker: Broker, topic: str) -> None:
    settings = {"enable.partition.eof": True, "enable.auto.offset.store": False}
    consumer = broker.reader(topic, offset=10, settings=settings)
    (end,) = broker.read(consumer, 1)
    with broker.refuses("_INVALID_ARG"):
        consumer.commit(message=end, asynchronous=False)
    with broker.refuses("_INVALID_ARG"):
        consumer.store_offsets(message=end)


def test_wrong_arguments_of_commit(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    (message,) = broker.read(consumer, 1)
    with pytest.raises(ValueError, match="mutually exclusive"):
        consumer.commit(message=message, offsets=[broker.api.TopicPartition(topic, 0, 1)])
    for arguments in ({"message": 5}, {"offsets": 5}, {"offsets": [5]}):
        with pytest.raises(TypeError):
            consumer.commit(**arguments)


def test_records_are_stored_for_commit_only_on_request_when_auto_store_is_off(
    broker: Broker, topic: str
) -> None:
    consumer = broker.reader(topic, settings={"enable.auto.offset.store": False})
    messages = broker.read(consumer, 3)
    with broker.refuses("_NO_OFFSET"):
        consumer.commit(asynchronous=False)
    assert consumer.store_offsets(message=messages[1]) is None
    assert [each.offset for each in consumer.commit(asynchronous=False)] == [2]
    consumer.store_offsets(offsets=[broker.api.TopicPartition(topic, 0, 7)])
    assert [each.offset for each in consumer.commit(asynchronous=False)] == [7]
    assert committed(broker, consumer, topic) == 7


def test_storing_offsets_while_auto_store_is_on_is_refused(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic)
    with broker.refuses("_INVALID_ARG"):
        consumer.store_offsets(offsets=[broker.api.TopicPartition(topic, 0, 7)])


def test_storing_offsets_of_what_is_not_assigned_is_an_erroneous_state(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, settings={"enable.auto.offset.store": False})
    with broker.refuses("_STATE"):
        consumer.store_offsets(offsets=[broker.api.TopicPartition(topic, 1, 7)])


def test_wrong_arguments_of_store_offsets(broker: Broker, topic: str) -> None:
    consumer = broker.reader(topic, settings={"enable.auto.offset.store": False})
    (message,) = broker.read(consumer, 1)
    with pytest.raises(ValueError, match="expected either message or offsets"):
        consumer.store_offsets()
    with pytest.raises(ValueError, match="mutually exclusive"):
        consumer.store_offsets(message=message, offsets=[])
    for arguments in ({"message": 5}, {"offsets": 5}, {"offsets": [5]}):
        with pytest.raises(TypeError):
            consumer.store_offsets(**arguments)
    assert consumer.store_offsets(offsets=[]) is None


@pytest.mark.parametrize("settings", [{"enable.auto.commit": True}, {"enable.auto.commit": "true"}], ids=repr)
def test_closing_commits_what_was_read_when_auto_commit_is_on(
    broker: Broker, topic: str, settings: dict[str, Any]
) -> None:
    group = {"group.id": unique("shared")}
    consumer = broker.reader(topic, settings=group | settings)
    broker.read(consumer, 3)
    consumer.close()
    assert committed(broker, broker.consumer(group), topic) == 3


def test_auto_commit_is_on_by_default(broker: Broker, topic: str) -> None:
    group = {"group.id": unique("shared")}
    with broker.api.Consumer(broker.conf(group)) as consumer:
        consumer.assign([broker.api.TopicPartition(topic, 0, 0)])
        broker.read(consumer, 3)
    assert committed(broker, broker.consumer(group), topic) == 3


def test_closing_commits_nothing_when_auto_commit_is_off(broker: Broker, topic: str) -> None:
    group = {"group.id": unique("shared")}
    consumer = broker.reader(topic, settings=group)
    broker.read(consumer, 3)
    consumer.close()
    assert committed(broker, broker.consumer(group), topic) == broker.api.OFFSET_INVALID


def test_auto_commit_tells_on_commit(broker: Broker, topic: str) -> None:
    told: list[tuple[Any, list[Any]]] = []
    settings = {
        "enable.auto.commit": True,
        "auto.commit.interval.ms": 100,
        "on_commit": lambda error, partitions: told.append((error, partitions)),
    }
    consumer = broker.reader(topic, settings=settings)
    broker.read(consumer, 3)

    def poll() -> list[Any]:
        consumer.poll(0.1)
        return told

    ((error, (partition, *_)), *_) = eventually(poll)
    assert error is None
    assert (partition.topic, partition.partition, partition.error) == (topic, 0, None)
    assert partition.offset >= 3
