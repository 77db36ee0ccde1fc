from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmclient.config.key import Key, Value
from shmclient.config.table import BY_NAME
from shmclient.config.values import convert, shown
from shmclient.errors import KafkaError, KafkaException


def converted(name: str, value: object) -> Value:
    return convert(BY_NAME[name], name, value)


def refusal(name: str, value: object) -> str:
    with pytest.raises(KafkaException) as caught:
        converted(name, value)
    error = caught.value.args[0]
    assert error == KafkaError._INVALID_ARG
    assert f'"{name}"' in error.str()
    return str(error.str())


# Verified against confluent_kafka 2.16: it accepts these too, and reads them so.
@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("batch.size", 16, 16),
        ("batch.size", "16", 16),
        ("batch.size", " 7", 7),
        ("batch.size", "+5", 5),
        ("batch.size", "0x10", 16),
        ("batch.size", "010", 8),
        ("batch.size", 1.5, 1),
        ("batch.size", "15000.0", 15000),
        ("acks", "all", -1),
        ("acks", "ALL", -1),
        ("acks", "-1", -1),
        ("acks", 1.0, 1),
        ("acks", 5, 5),
        ("linger.ms", 5, 5.0),
        ("linger.ms", "0.5", 0.5),
        ("linger.ms", " 5", 5.0),
        ("linger.ms", "0x10", 16.0),
        ("linger.ms", 1e-3, 0.001),
        ("enable.idempotence", True, True),
        ("enable.idempotence", "T", True),
        ("enable.idempotence", 1, True),
        ("enable.idempotence", "False", False),
        ("enable.idempotence", "f", False),
        ("enable.idempotence", 0, False),
        ("compression.type", "ZSTD", "zstd"),
        ("compression.type", " gzip", "gzip"),
        ("auto.offset.reset", "smallest", "earliest"),
        ("auto.offset.reset", "LARGEST", "latest"),
        ("client.id", 5, "5"),
        ("client.id", " x", "x"),
        ("client.id", None, "shmclient"),
        ("client.id", "", "shmclient"),
        ("bootstrap.servers", None, None),
        ("transactional.id", "", None),
        ("partition.assignment.strategy", "roundrobin , range", ("roundrobin", "range")),
        ("partition.assignment.strategy", None, ("range", "roundrobin")),
        ("debug", "broker, topic", ("broker", "topic")),
        ("debug", "all,-topic", ("all", "topic")),
        ("topic.blacklist", "^a,b", ("^a", "b")),
        ("logger", None, None),
    ],
)
def test_a_value_is_read_as_librdkafka_reads_it(name: str, given_value: object, value: Value) -> None:
    result = converted(name, given_value)
    assert result == value
    assert type(result) is type(value)


# Verified against confluent_kafka 2.16: it refuses these too, with the same code.
@pytest.mark.parametrize(
    ("name", "value", "because"),
    [
        ("linger.ms", "abc", "0..900000"),
        ("linger.ms", -1, "value -1 is outside allowed range 0..900000"),
        ("linger.ms", "inf", "outside allowed range"),
        ("linger.ms", None, "empty"),
        ("linger.ms", "", "empty"),
        ("linger.ms", True, '"True"'),
        ("batch.size", 0, "value 0 is outside allowed range 1..2147483647"),
        ("batch.size", 2**31, "outside allowed range"),
        ("batch.size", 10**30, "outside allowed range"),
        ("batch.size", True, "whole number"),
        ("batch.size", "08", "whole number"),
        ("acks", "none", "-1..1000, all"),
        ("acks", 1001, "outside allowed range -1..1000"),
        ("acks", True, "whole number"),
        ("enable.idempotence", "yes", "true or false"),
        ("enable.idempotence", 2, "true or false"),
        ("enable.idempotence", None, "empty"),
        ("compression.type", "lzo", "none, gzip, snappy, lz4, zstd"),
        ("compression.type", "inherit", "expected one of"),
        ("compression.type", "", "empty"),
        ("partitioner", "modulo", "murmur2_random"),
        ("partitioner", None, "empty"),
        ("auto.offset.reset", "none", "earliest"),
        ("partition.assignment.strategy", "stickyy", "cooperative-sticky"),
        ("debug", "nope", "broker"),
        ("topic.blacklist", "^[", "regular expression"),
        ("sasl.mechanism", "PLAIN,GSSAPI", "one mechanism"),
        ("dr_cb", print, "on_delivery"),
        ("rebalance_cb", None, "subscribe"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_key_value_and_range(
    name: str, value: object, because: str
) -> None:
    assert because in refusal(name, value)


# Where librdkafka reads as much of a text as it likes.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch.size", "5 000"),
        ("batch.size", "1e3"),
        ("batch.size", "1_000"),
        ("batch.size", 2**32 + 5),
        ("linger.ms", "5ms"),
        ("linger.ms", "1_000"),
        ("linger.ms", "nan"),
        ("batch.size", float("nan")),
    ],
)
def test_a_number_with_other_text_after_it_is_refused(name: str, value: object) -> None:
    assert shown(value) in refusal(name, value)


def test_a_partitioner_may_be_a_callable() -> None:
    def first(key: bytes | None, partition_count: int) -> int:
        return 0

    assert converted("partitioner", first) is first


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("error_cb", TypeError),
        ("stats_cb", TypeError),
        ("oauth_cb", TypeError),
        ("throttle_cb", ValueError),
        ("on_delivery", KafkaException),
        ("on_commit", KafkaException),
    ],
)
def test_a_callback_that_cannot_be_called_is_refused(name: str, raised: type[Exception]) -> None:
    for value in (5, None):
        with pytest.raises(raised, match=name):
            converted(name, value)
    callback: Callable[..., None] = print
    assert converted(name, callback) is callback


@given(st.integers())
def test_a_whole_number_and_its_text_mean_the_same(number: int) -> None:
    key = Key(name="n", kind="int", doc="", default=0, low=-(2**70), high=2**70)
    if abs(number) <= 2**70:
        assert convert(key, "n", number) == convert(key, "n", str(number)) == number


@given(st.floats(0, 900000))
def test_a_fraction_and_its_text_mean_the_same(number: float) -> None:
    assert converted("linger.ms", number) == converted("linger.ms", str(number)) == number


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.binary()))
def test_any_value_is_either_accepted_or_refused_by_name(value: object) -> None:
    for name in (
        "acks",
        "linger.ms",
        "check.crcs",
        "isolation.level",
        "client.id",
        "debug",
        "topic.blacklist",
    ):
        try:
            converted(name, value)
        except KafkaException as exception:
            assert exception.args[0] == KafkaError._INVALID_ARG


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(refusal("acks", "x" * 5000)) < 300
