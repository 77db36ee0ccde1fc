"""What the exit status of every command means, and how failures become one."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The one table of exit codes; docs/cli.md prints it."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = (
        0,
        "done; also when the reader of a pipe has had enough, and when Ctrl-C ends a command that never ends",
    )
    FAILED = 1, "failed, refused, or found damaged; stderr says why"
    USAGE = 2, "wrong options or arguments"
    NO_DAEMON = 3, "no daemon (or cluster) answers, or not in time"
    NOT_FOUND = 4, "the topic, partition, group, transactional id, key or file does not exist"
    EXISTS = 5, "what was to be created exists already"
    NOT_EXECUTABLE = 126, "`run`: the command cannot be executed"
    COMMAND_NOT_FOUND = 127, "`run`: there is no such command"
    INTERRUPTED = 130, "interrupted by Ctrl-C; `run` gives 128 + signal for a command that a signal ended"


class CliError(Exception):
    """An expected failure: one line for stderr, and perhaps a second one with what to do."""

    def __init__(self, text: str, code: ExitCode = ExitCode.FAILED, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.hint = hint


_NO_DAEMON = ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE")
_NOT_FOUND = (
    "UNKNOWN_TOPIC_OR_PART",
    "UNKNOWN_TOPIC_ID",
    "_UNKNOWN_TOPIC",
    "_UNKNOWN_PARTITION",
    "_UNKNOWN_GROUP",
    "_NOENT",
    "GROUP_ID_NOT_FOUND",
    "TRANSACTIONAL_ID_NOT_FOUND",
)


def exit_code_of(error_name: str) -> ExitCode:
    """The exit code for a KafkaError, by the name of its code."""
    if error_name in _NO_DAEMON:
        return ExitCode.NO_DAEMON
    if error_name in _NOT_FOUND:
        return ExitCode.NOT_FOUND
    if error_name == "_INVALID_ARG":  # what --property and other options make of a client's configuration
        return ExitCode.USAGE
    return ExitCode.EXISTS if error_name == "TOPIC_ALREADY_EXISTS" else ExitCode.FAILED


def explain(error: Exception) -> CliError | None:
    """What to tell the user about ``error``; None for one that nobody expected: a bug, worth its traceback."""
    from shmbroker.errors import BrokerError
    from shmclient.errors import KafkaError, KafkaException, from_broker_error

    if isinstance(error, CliError):
        return error
    if isinstance(error, BrokerError):
        return from_kafka_error(from_broker_error(error))
    if isinstance(error, KafkaException) and error.args and _is_kafka_error(error.args[0], KafkaError):
        return from_kafka_error(error.args[0])
    if isinstance(error, FileNotFoundError):
        return CliError(f"{error.filename}: no such file", ExitCode.NOT_FOUND)
    if isinstance(error, OSError) and error.strerror:
        return CliError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return None


def _is_kafka_error(error: object, ours: type) -> bool:
    """True for our KafkaError and for that of the real confluent_kafka, which a Kafka address leads to."""
    return isinstance(error, ours) or type(error).__name__ == "KafkaError"


def from_kafka_error(error: object, subject: str = "") -> CliError:
    """``error``: a KafkaError. ``subject``: what it is about, where the text does not say."""
    name: str = error.name()  # type: ignore[attr-defined]
    text: str = error.str()  # type: ignore[attr-defined]
    # Waiting for a daemon that is not there ends as a time-out of the request; only the cause is news.
    start = text.find("no shmbroker daemon")
    if start >= 0:
        return no_daemon(text[start:])
    text = text.removeprefix("Broker: ").removeprefix("Local: ")
    return CliError(f"{subject}: {text}" if subject and subject not in text else text, exit_code_of(name))


def no_daemon(text: str) -> CliError:
    where, _, hint = text.partition("; ")
    return CliError(where, ExitCode.NO_DAEMON, hint)
