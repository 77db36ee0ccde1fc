"""Wrong shapes are raised at the call, with confluent_kafka's exceptions; also held against it where installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import shmclient
import shmclient.admin

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "create nothing": lambda admin, k: admin.create_topics([]),
    "create a number": lambda admin, k: admin.create_topics(5),
    "create numbers": lambda admin, k: admin.create_topics([5]),
    "create in a tuple": lambda admin, k: admin.create_topics((k.NewTopic("a", 1, 1),)),
    "create too many": lambda admin, k: admin.create_topics([k.NewTopic("a", 100_001)]),
    "create less than default": lambda admin, k: admin.create_topics([k.NewTopic("a", -2)]),
    "create with both": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 1, 1, replica_assignment=[[1]])]
    ),
    "create with short assignment": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 3, replica_assignment=[[1]])]
    ),
    "create with an unknown argument": lambda admin, k: admin.create_topics([k.NewTopic("a", 1)], foo=1),
    "validate_only is text": lambda admin, k: admin.create_topics([k.NewTopic("a", 1)], validate_only="x"),
    "request_timeout is text": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 1)], request_timeout="x"
    ),
    "request_timeout is negative": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 1)], request_timeout=-5
    ),
    "request_timeout is over an hour": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 1)], request_timeout=3601
    ),
    "operation_timeout is negative": lambda admin, k: admin.create_topics(
        [k.NewTopic("a", 1)], operation_timeout=-1
    ),
    "delete nothing": lambda admin, k: admin.delete_topics([]),
    "delete text": lambda admin, k: admin.delete_topics("abc"),
    "grow nothing": lambda admin, k: admin.create_partitions([]),
    "grow to zero": lambda admin, k: admin.create_partitions([k.NewPartitions("a", 0)]),
    "grow to too many": lambda admin, k: admin.create_partitions([k.NewPartitions("a", 200_000)]),
    "grow with long assignment": lambda admin, k: admin.create_partitions(
        [k.NewPartitions("a", 2, [[1], [1], [1]])]
    ),
    "describe a list": lambda admin, k: admin.describe_topics(["a"]),
    "describe numbers": lambda admin, k: admin.describe_topics(k.TopicCollection(["a", 5])),
    "describe text": lambda admin, k: admin.describe_topics(k.TopicCollection("a")),
    "list a number": lambda admin, k: admin.list_topics(5),
    "describe no configs": lambda admin, k: admin.describe_configs([]),
    "describe configs of numbers": lambda admin, k: admin.describe_configs([5]),
    "alter no configs": lambda admin, k: admin.incremental_alter_configs([]),
    "alter no entries": lambda admin, k: admin.incremental_alter_configs([k.ConfigResource("topic", "a")]),
    "alter a number": lambda admin, k: admin.incremental_alter_configs(
        [k.ConfigResource("topic", "a", incremental_configs=[5])]
    ),
    "alter without operation": lambda admin, k: admin.incremental_alter_configs(
        [k.ConfigResource("topic", "a", incremental_configs=[k.ConfigEntry("a", "b")])]
    ),
    "set to nothing": lambda admin, k: admin.incremental_alter_configs(
        [k.ConfigResource("topic", "a", incremental_configs=[entry(k, "a", None, "SET")])]
    ),
    "set to a number": lambda admin, k: admin.incremental_alter_configs(
        [k.ConfigResource("topic", "a", incremental_configs=[entry(k, "a", 5, "SET")])]
    ),
    "delete records of a number": lambda admin, k: admin.delete_records(5),
    "delete records of numbers": lambda admin, k: admin.delete_records([5]),
    "delete records of a negative partition": lambda admin, k: admin.delete_records(
        [k.TopicPartition("a", -1, 1)]
    ),
    "offsets of a list": lambda admin, k: admin.list_offsets([]),
    "offsets of numbers": lambda admin, k: admin.list_offsets({5: k.OffsetSpec.latest()}),
    "offsets without a spec": lambda admin, k: admin.list_offsets({k.TopicPartition("a", 0): None}),
    "offsets by a number": lambda admin, k: admin.list_offsets({k.TopicPartition("a", 0): 5}),
    "offsets of no topic": lambda admin, k: admin.list_offsets(
        {k.TopicPartition("", 0): k.OffsetSpec.latest()}
    ),
    "offsets of a negative partition": lambda admin, k: admin.list_offsets(
        {k.TopicPartition("a", -1): k.OffsetSpec.latest()}
    ),
    "offsets in another isolation": lambda admin, k: admin.list_offsets(
        {k.TopicPartition("a", 0): k.OffsetSpec.latest()}, isolation_level=5
    ),
    "poll without a time": lambda admin, k: admin.poll(),
    "poll for text": lambda admin, k: admin.poll("x"),
}


def entry(library: Any, name: str, value: Any, operation: str) -> Any:
    kind = library.AlterConfigOpType[operation]
    return library.ConfigEntry(name, value, incremental_operation=kind)


class Library:
    """The names of a client library and of its admin module, together."""

    def __init__(self, package: Any) -> None:
        self._modules = (package.admin, package)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in self._modules if hasattr(module, name))


def raised(library: Library, call: Callable[[Any, Any], Any], admin: Any) -> BaseException:
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("ignore", DeprecationWarning)
        call(admin, library)
    return caught.value


@pytest.fixture(scope="module")
def ours() -> tuple[Library, Any]:
    admin = shmclient.admin.AdminClient({"bootstrap.servers": "shm:/nonexistent", "socket.timeout.ms": 10})
    return Library(shmclient), admin


@pytest.fixture(scope="module")
def theirs() -> Iterator[tuple[Library, Any]]:
    confluent_kafka = pytest.importorskip("confluent_kafka")
    pytest.importorskip("confluent_kafka.admin")
    with confluent_kafka.admin.AdminClient(
        {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "socket.timeout.ms": 10}
    ) as admin:
        yield Library(confluent_kafka), admin


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_shape_is_a_type_or_value_error(ours: tuple[Library, Any], name: str) -> None:
    library, admin = ours
    assert isinstance(raised(library, CALLS[name], admin), TypeError | ValueError | AttributeError)


@pytest.mark.parametrize("name", CALLS)
def test_confluent_kafka_raises_the_same(
    ours: tuple[Library, Any], theirs: tuple[Library, Any], name: str
) -> None:
    library, admin = theirs
    expected = raised(library, CALLS[name], admin)
    library, admin = ours
    assert type(raised(library, CALLS[name], admin)) is type(expected), expected
