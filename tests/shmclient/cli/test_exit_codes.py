import pytest

from shmbroker.errors import BrokerError, ErrorCode
from shmclient import KafkaError, KafkaException
from shmclient.cli.exit_codes import CliError, ExitCode, exit_code_of, explain


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError._TRANSPORT, ExitCode.NO_DAEMON),
        (KafkaError._MSG_TIMED_OUT, ExitCode.NO_DAEMON),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ExitCode.NOT_FOUND),
        (KafkaError._UNKNOWN_PARTITION, ExitCode.NOT_FOUND),
        (KafkaError.TOPIC_ALREADY_EXISTS, ExitCode.EXISTS),
        (KafkaError.INVALID_CONFIG, ExitCode.FAILED),
    ],
)
def test_errors_become_exit_codes(code, expected):
    assert exit_code_of(KafkaError(code).name()) == expected
    failure = explain(KafkaException(KafkaError(code)))
    assert failure is not None
    assert failure.code == expected


def test_prefixes_that_tell_the_user_nothing_are_left_out():
    failure = explain(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    assert failure is not None
    assert not failure.text.startswith("Local")


def test_files_and_brokers():
    missing = explain(FileNotFoundError(2, "No such file or directory", "/x"))
    assert missing is not None
    assert (missing.code, missing.text) == (ExitCode.NOT_FOUND, "/x: no such file")
    denied = explain(PermissionError(13, "Permission denied", "/y"))
    assert denied is not None
    assert denied.text == "/y: Permission denied"
    broken = explain(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR, "bad file"))
    assert broken is not None
    assert broken.text == "bad file"
    own = CliError("mine", ExitCode.USAGE)
    assert explain(own) is own


def test_a_bug_is_not_explained_away():
    assert explain(ZeroDivisionError()) is None
    assert explain(KafkaException("no error inside")) is None


def test_every_code_says_what_it_means():
    assert all(code.meaning for code in ExitCode)
    assert ExitCode(3) is ExitCode.NO_DAEMON
