import copy
import pickle

import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmclient import errors
from shmclient.error_constants import ErrorConstants
from shmclient.errors import KafkaError, KafkaException

TOPIC = KafkaError.UNKNOWN_TOPIC_OR_PART


def test_the_constants_are_exactly_the_error_codes_as_plain_integers() -> None:
    constants = {name: value for name, value in vars(ErrorConstants).items() if isinstance(value, int)}
    assert constants == {code.name: int(code) for code in ErrorCode}
    assert {type(value) for value in constants.values()} == {int}


def test_an_error_tells_its_code_name_and_flags() -> None:
    error = KafkaError(-192, "gone", fatal=True, retriable=True, txn_requires_abort=True)
    assert (error.code(), error.name(), error.str()) == (-192, "_MSG_TIMED_OUT", "gone")
    assert (error.fatal(), error.retriable(), error.txn_requires_abort()) == (True, True, True)


def test_an_error_without_a_reason_uses_the_codes_text_and_no_flags() -> None:
    error = KafkaError(TOPIC)
    assert error.str() == "Broker: Unknown topic or partition"
    assert (error.fatal(), error.retriable(), error.txn_requires_abort()) == (False, False, False)


@pytest.mark.parametrize(
    ("code", "prefix"),
    [(-184, "Local: "), (3, "Broker: "), (-191, "Broker: "), (0, "Success"), (-1, "Unexpected")],
)
def test_the_default_text_says_who_speaks(code: int, prefix: str) -> None:
    assert KafkaError(code).str().startswith(prefix)


def test_an_empty_reason_stays_empty() -> None:
    assert KafkaError(TOPIC, "").str() == ""


# Verified against confluent_kafka 2.16.
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KafkaError(-192, "x"), 'KafkaError{code=_MSG_TIMED_OUT,val=-192,str="x"}'),
        (KafkaError(-192, "x", fatal=True), 'KafkaError{FATAL,code=_MSG_TIMED_OUT,val=-192,str="x"}'),
        (KafkaError(0), 'KafkaError{code=NO_ERROR,val=0,str="Success"}'),
        (KafkaError(9999, ""), 'KafkaError{code=ERR_9999?,val=9999,str=""}'),
    ],
)
def test_str_and_repr_are_confluent_kafkas(error: KafkaError, text: str) -> None:
    assert str(error) == repr(error) == text


def test_errors_compare_by_code_with_each_other_and_with_numbers() -> None:
    assert KafkaError(3) == 3 == KafkaError(3, "other text")
    assert KafkaError(3) != 4
    assert KafkaError(3) < 4 <= KafkaError(4) < KafkaError(5)
    assert KafkaError(3) > 2 >= KafkaError(2) > KafkaError(1)
    assert KafkaError(3) in [1, 3]
    assert {KafkaError(3): "found"}[3] == "found"  # type: ignore[index]
    assert hash(KafkaError(-192)) == hash(-192)


def test_an_error_equals_nothing_that_is_no_number() -> None:
    assert KafkaError(3) != "3"
    assert KafkaError(3) != None  # noqa: E711
    with pytest.raises(TypeError):
        KafkaError(3) < "3"  # noqa: B015


def test_an_error_is_true_even_for_success() -> None:
    assert KafkaError(0)


@pytest.mark.parametrize(
    ("arguments", "raised"),
    [
        (("3",), TypeError),
        ((1.0,), TypeError),
        ((3, 5), TypeError),
        ((3, b"x"), TypeError),
        ((2**31,), OverflowError),
    ],
)
def test_a_malformed_error_is_refused(arguments: tuple[object, ...], raised: type[Exception]) -> None:
    with pytest.raises(raised):
        KafkaError(*arguments)  # type: ignore[arg-type]


def test_the_first_parameter_is_called_error() -> None:
    assert KafkaError(error=3, reason="r").str() == "r"
    with pytest.raises(TypeError):
        KafkaError(code=3)  # type: ignore[call-arg]


def test_an_error_takes_no_attributes() -> None:
    with pytest.raises(AttributeError):
        KafkaError(3).note = "x"  # type: ignore[attr-defined]


def test_an_error_survives_copying_and_pickling() -> None:
    error = KafkaError(3, "why", True, True, True)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert repr(twin) == repr(error)
        assert twin.retriable() and twin.txn_requires_abort()


def test_an_exception_carries_its_error_and_shows_it() -> None:
    exception = KafkaException(KafkaError(3))
    assert exception.args[0] == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert str(exception) == str(KafkaError(3))


def test_a_broker_error_becomes_a_kafka_error() -> None:
    error = errors.from_broker_error(BrokerError(ErrorCode.INVALID_PARTITIONS, "too many"))
    assert (error.code(), error.str()) == (37, "too many")


def test_the_real_library_has_the_same_names_and_numbers() -> None:
    real = pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`").KafkaError
    constants = {name: value for name, value in vars(real).items() if type(value) is int}
    assert len(constants) > 150
    assert {name: getattr(KafkaError, name, None) for name in constants} == constants


@pytest.mark.parametrize("code", [3, -192, 0, 9999])
def test_the_real_librarys_text_differs_in_the_words_only(code: int) -> None:
    real = pytest.importorskip("confluent_kafka", reason="needs the extra `kafka`").KafkaError
    assert str(KafkaError(code, "x", fatal=True)) == str(real(code, "x", fatal=True))
    assert KafkaError(code).name() == real(code).name()
