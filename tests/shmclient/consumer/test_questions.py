from __future__ import annotations

from typing import Any

import pytest

from shmbroker.protocol import messages as m
from shmclient.consumer import questions
from shmclient.consumer.questions import Questions
from shmclient.errors import KafkaError, KafkaException

A, B = m.DescribeTopics(["a"]), m.DescribeTopics(["b"])
OFFSETS = m.FetchOffsets("g", None)
REPLY = m.DescribeTopicsReply([])


class Daemon:
    """A connection on which a test answers when it likes. Waiting takes the whole time that it may, by its own clock."""

    def __init__(self) -> None:
        self.posted: list[tuple[Any, Any]] = []
        self.now = 100.0
        self.answer_while_waiting: list[object] = []

    def post(self, body: Any, on_reply: Any) -> None:
        self.posted.append((body, on_reply))

    def wait(self, timeout_s: float) -> bool:
        if self.answer_while_waiting:
            self.answer(self.answer_while_waiting.pop(0))
            return True
        self.now += timeout_s
        return False

    def answer(self, reply: object, index: int = -1) -> None:
        self.posted[index][1](reply)

    def bodies(self) -> list[Any]:
        return [body for body, _ in self.posted]

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(questions, "time", daemon)
    return daemon


def unanswered(asked: Questions, body: Any, timeout_s: float = 0.5) -> None:
    with pytest.raises(KafkaException) as caught:
        asked.ask(body, m.DescribeTopicsReply, timeout_s)
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT


def test_an_answer_that_comes_in_time_is_returned(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    daemon.answer_while_waiting = [REPLY, REPLY]
    assert asked.ask(A, m.DescribeTopicsReply, 1.0) is REPLY
    assert asked.ask(A, m.DescribeTopicsReply, 1.0) is REPLY
    assert daemon.bodies() == [A, A]


def test_a_question_waits_no_longer_than_it_may_and_is_not_put_twice(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    for _ in range(10):
        began = daemon.now
        unanswered(asked, A)
        assert daemon.now == began + 0.5
    assert daemon.bodies() == [A]
    daemon.answer(REPLY)
    assert asked.ask(A, m.DescribeTopicsReply, 0.0) is REPLY


def test_questions_of_two_kinds_do_not_disturb_each_other(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    for _ in range(3):
        unanswered(asked, A)
        unanswered(asked, OFFSETS)
    assert daemon.bodies() == [A, OFFSETS]


def test_the_answer_to_another_question_is_of_no_interest(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    unanswered(asked, A)
    unanswered(asked, B)
    daemon.answer(m.DescribeTopicsReply([]), 0)
    unanswered(asked, B)
    daemon.answer(REPLY, 1)
    assert asked.ask(B, m.DescribeTopicsReply, 0.0) is REPLY


def test_what_was_forgotten_or_is_stale_is_asked_again(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    unanswered(asked, A)
    asked.forget()
    unanswered(asked, A)
    daemon.answer(REPLY)
    daemon.now += questions.STALE_S + 1
    unanswered(asked, A)
    assert daemon.bodies() == [A, A, A]


def test_refusals_and_a_lost_connection_are_raised_and_asked_again(daemon: Daemon) -> None:
    asked = Questions(daemon)  # type: ignore[arg-type]
    daemon.answer_while_waiting = [KafkaError(KafkaError._TRANSPORT), m.LogLevelReply("info"), REPLY]
    for code in (KafkaError._TRANSPORT, KafkaError._BAD_MSG):
        with pytest.raises(KafkaException) as caught:
            asked.ask(A, m.DescribeTopicsReply, 1.0)
        assert caught.value.args[0].code() == code
    assert asked.ask(A, m.DescribeTopicsReply, 1.0) is REPLY
