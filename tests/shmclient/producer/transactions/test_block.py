"""``with producer.transaction():``, over a producer that does as it is told."""

from __future__ import annotations

import pytest

from shmclient.errors import KafkaError, KafkaException, kafka_exception
from shmclient.producer.transactions.block import transaction

TIMED_OUT = kafka_exception(KafkaError._TIMED_OUT, retriable=True)
INCONSISTENT = kafka_exception(KafkaError._INCONSISTENT, txn_requires_abort=True)
FENCED = kafka_exception(KafkaError._FENCED, fatal=True)


class Told:
    """Raises what it is told to, call by call, and remembers what was called."""

    def __init__(self, **answers: list[KafkaException]) -> None:
        self._answers = answers
        self.called: list[str] = []

    def _call(self, name: str) -> None:
        self.called.append(name)
        if self._answers.get(name):
            raise self._answers[name].pop(0)

    def begin_transaction(self) -> None:
        self._call("begin")

    def commit_transaction(self, timeout: float = -1) -> None:
        assert 0 <= timeout <= 5
        self._call("commit")

    def abort_transaction(self, timeout: float = -1) -> None:
        assert 0 <= timeout <= 5
        self._call("abort")


def run(producer: Told, error: BaseException | None = None, timeout_s: float = 5) -> BaseException | None:
    """What leaves the block."""
    try:
        with transaction(producer, timeout_s):
            if error is not None:
                raise error
    except BaseException as left:
        return left
    return None


def test_success_commits() -> None:
    producer = Told()
    assert run(producer) is None
    assert producer.called == ["begin", "commit"]


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), KafkaException("not an error of ours")]
)
def test_an_exception_aborts(error: BaseException) -> None:
    producer = Told()
    assert run(producer, error) is error
    assert producer.called == ["begin", "abort"]


def test_what_is_retriable_is_tried_again() -> None:
    producer = Told(commit=[TIMED_OUT, TIMED_OUT])
    assert run(producer) is None
    assert producer.called == ["begin", "commit", "commit", "commit"]
    producer, error = Told(abort=[TIMED_OUT]), ValueError("no")
    assert run(producer, error) is error
    assert producer.called == ["begin", "abort", "abort"]


def test_it_is_not_tried_for_ever() -> None:
    producer = Told(commit=[TIMED_OUT] * 5)
    assert run(producer, timeout_s=0) is TIMED_OUT
    assert producer.called == ["begin", "commit"]


def test_a_commit_that_asks_for_it_is_aborted() -> None:
    producer = Told(commit=[INCONSISTENT])
    assert run(producer) is INCONSISTENT
    assert producer.called == ["begin", "commit", "abort"]


def test_after_a_fatal_error_there_is_nothing_to_abort() -> None:
    producer = Told(commit=[FENCED])
    assert run(producer) is FENCED
    assert producer.called == ["begin", "commit"]
    producer = Told()
    assert run(producer, FENCED) is FENCED
    assert producer.called == ["begin"]


def test_an_abort_that_fails_does_not_hide_why() -> None:
    producer, error = Told(abort=[FENCED]), ValueError("no")
    assert run(producer, error) is error
    assert "could not be aborted" in error.__notes__[0]


def test_a_beginning_that_fails_runs_nothing() -> None:
    state = kafka_exception(KafkaError._STATE)
    producer = Told(begin=[state])
    assert run(producer, AssertionError("the block ran")) is state
    assert producer.called == ["begin"]
