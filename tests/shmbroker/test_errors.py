import pickle

import pytest

from shmbroker.errors import BrokerError, ErrorCode, describe

# Spot checks of numbers that are fixed by Kafka's protocol and by librdkafka's header.
KNOWN = {
    "NO_ERROR": 0,
    "UNKNOWN": -1,
    "OFFSET_OUT_OF_RANGE": 1,
    "UNKNOWN_TOPIC_OR_PART": 3,
    "MSG_SIZE_TOO_LARGE": 10,
    "TOPIC_EXCEPTION": 17,
    "REBALANCE_IN_PROGRESS": 27,
    "TOPIC_ALREADY_EXISTS": 36,
    "KAFKA_STORAGE_ERROR": 56,
    "FENCED_INSTANCE_ID": 82,
    "PRODUCER_FENCED": 90,
    "UNKNOWN_TOPIC_ID": 100,
    "SHARE_SESSION_LIMIT_REACHED": 133,
    "_BAD_MSG": -199,
    "_TRANSPORT": -195,
    "_MSG_TIMED_OUT": -192,
    "_PARTITION_EOF": -191,
    "_ALL_BROKERS_DOWN": -187,
    "_INVALID_ARG": -186,
    "_QUEUE_FULL": -184,
    "_FATAL": -150,
    "_AUTO_OFFSET_RESET": -140,
    "_DESTROY_BROKER": -137,
}


@pytest.mark.parametrize(("name", "number"), KNOWN.items())
def test_a_code_has_kafkas_number(name: str, number: int) -> None:
    assert ErrorCode[name] == number


def test_local_codes_are_negative_and_marked_by_an_underscore() -> None:
    for code in ErrorCode:
        assert (code < -1) == code.name.startswith("_"), code.name


def test_every_code_has_one_short_line_of_text() -> None:
    for code in ErrorCode:
        text = describe(code)
        assert text and "\n" not in text and len(text) < 80, code.name
        assert not text.startswith("Unknown error code"), code.name


def test_describing_an_unknown_number_names_it() -> None:
    assert "4711" in describe(4711)


def test_a_broker_error_shows_code_and_message() -> None:
    error = BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PART, 'topic "orders" has no partition 7')
    assert error.code is ErrorCode.UNKNOWN_TOPIC_OR_PART
    assert str(error) == 'UNKNOWN_TOPIC_OR_PART: topic "orders" has no partition 7'


def test_a_broker_error_without_a_message_says_what_its_code_means() -> None:
    assert BrokerError(ErrorCode.REQUEST_TIMED_OUT).message == "Request timed out"


def test_a_broker_error_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(BrokerError(ErrorCode.INVALID_MSG, "crc")))
    assert (copy.code, copy.message) == (ErrorCode.INVALID_MSG, "crc")
