import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import ConfigKey, ValueType, find_key, nearest
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.errors import BrokerError, ErrorCode

SIZE = ConfigKey("segment.bytes", ValueType.INT, 10, "", "bytes", 5, 20)
POLICY = ConfigKey("cleanup.policy", ValueType.LIST, "delete", "", choices=("delete", "compact"))
KIND = ConfigKey(
    "message.timestamp.type", ValueType.STRING, "CreateTime", "", choices=("CreateTime", "Other")
)
SWITCH = ConfigKey("flush.on.ack", ValueType.BOOLEAN, True, "")
RATIO = ConfigKey("ratio", ValueType.DOUBLE, 0.5, "", minimum=0, maximum=1)


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        (SIZE, " 12 ", 12),
        (SIZE, 12, 12),
        (POLICY, "compact, delete", "compact,delete"),
        (POLICY, ["compact", "delete"], "compact,delete"),
        (KIND, "Other", "Other"),
        (SWITCH, "TRUE", True),
        (SWITCH, False, False),
        (RATIO, "0.25", 0.25),
        (RATIO, 1, 1.0),
    ],
)
def test_values_are_read_from_text_and_from_toml(key: ConfigKey, raw: object, value: object) -> None:
    assert key.parse(raw) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        (SIZE, "4"),
        (SIZE, "21"),
        (SIZE, "1.5"),
        (SIZE, "ten"),
        (SIZE, True),
        (SIZE, ""),
        (POLICY, "compact,shred"),
        (POLICY, 5),
        (KIND, "createtime"),
        (SWITCH, "yes"),
        (SWITCH, 1),
        (RATIO, "nan"),
        (RATIO, "1.01"),
    ],
)
def test_what_is_not_allowed_is_refused_naming_key_value_and_range(key: ConfigKey, raw: object) -> None:
    with pytest.raises(BrokerError) as caught:
        key.parse(raw)
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert key.name in caught.value.message
    assert str(raw) in caught.value.message
    assert key.allowed in caught.value.message


def test_the_range_is_told_with_its_unit() -> None:
    assert SIZE.allowed == "5 to 20 bytes"
    assert TOPIC_KEYS["retention.ms"].allowed == "at least -1 ms"
    assert POLICY.allowed == "a comma-separated list of delete, compact"


@pytest.mark.parametrize("key", [*BROKER_KEYS.values(), *TOPIC_KEYS.values()], ids=lambda key: key.name)
def test_every_default_is_allowed_and_reads_back_as_written(key: ConfigKey) -> None:
    assert key.parse(key.format(key.default)) == key.default


@given(st.text())
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    for key in (SIZE, POLICY, KIND, SWITCH, RATIO):
        try:
            value = key.parse(text)
        except BrokerError as error:
            assert error.code == ErrorCode.INVALID_CONFIG
        else:
            assert key.parse(key.format(value)) == value


def test_the_nearest_name_is_hinted_at_and_nonsense_is_not() -> None:
    assert nearest("log.segment.byte", BROKER_KEYS) == "; did you mean log.segment.bytes?"
    assert nearest("zzzz", BROKER_KEYS) == ""


def test_a_key_that_is_not_there_is_refused_with_the_nearest_one():
    assert find_key(BROKER_KEYS, "broker", "log.segment.bytes") is BROKER_KEYS["log.segment.bytes"]
    with pytest.raises(BrokerError) as caught:
        find_key(BROKER_KEYS, "broker", "log.segment.byte")
    assert caught.value.code == ErrorCode.INVALID_CONFIG
    assert caught.value.message == (
        "Unknown broker config name: log.segment.byte; did you mean log.segment.bytes?"
    )
