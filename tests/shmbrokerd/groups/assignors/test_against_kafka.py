"""The assignors and Apache Kafka's own, for the same input.

Range, round robin and uniform have to be equal, and the sticky ones where all members subscribe to the same topics. Where they
do not, Kafka's sticky assignor moves *some* partition back whenever it has a choice, whichever comes first in a hash table; so
there the results are equal in nearly all cases, and always as balanced, with as many partitions that stay.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from groupkit.cases import Answer, Case, answer_of, kept, random_case, sizes

from shmbrokerd.groups.assignors import ASSIGNORS

HERE = Path(__file__).resolve().parent
LIBS = HERE.parents[3] / ".kafka" / "libs"
CASES = 500
SEED = 20240607
TIMEOUT_S = 120

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(
        shutil.which("java") is None or not any(LIBS.glob("kafka-group-coordinator-*.jar")),
        reason="Apache Kafka is not installed: run `make kafka`",
    ),
]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    rng = random.Random(SEED)
    return [random_case(rng) for _ in range(CASES)]


def question(assignor: str, case: Case) -> str:
    members = [
        {
            "id": subscriber.member_id,
            "instance": subscriber.instance_id,
            "topics": sorted(subscriber.topics),
            "owned": subscriber.owned,
        }
        for subscriber in case.subscribers
    ]
    return json.dumps({"assignor": assignor, "counts": case.counts, "members": members})


@pytest.fixture(scope="module")
def ask_kafka(cases: list[Case]) -> Callable[[str], list[Answer]]:
    """Kafka's answers to all cases."""

    def ask(assignor: str) -> list[Answer]:
        command = [
            *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dlog4j2.level=OFF"),
            *("-cp", f"{LIBS}/*", str(HERE / "KafkaAssignors.java")),
        ]
        questions = "".join(f"{question(assignor, case)}\n" for case in cases)
        done = subprocess.run(command, input=questions, capture_output=True, text=True, timeout=TIMEOUT_S)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(cases), done.stderr
        return answers

    return ask


def ask_us(assignor: str, case: Case) -> Answer:
    return answer_of(ASSIGNORS[assignor](case.subscribers, case.counts))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("client-range", "range"),
        ("coordinator-range", "range"),
        ("roundrobin", "roundrobin"),
        ("uniform", "uniform"),
    ],
)
def test_results_equal_kafkas(
    theirs: str, ours: str, cases: list[Case], ask_kafka: Callable[[str], list[Answer]]
) -> None:
    for case, answer in zip(cases, ask_kafka(theirs), strict=True):
        assert ask_us(ours, case) == answer, case


def test_sticky_results_equal_kafkas_or_are_as_good(
    cases: list[Case], ask_kafka: Callable[[str], list[Answer]]
) -> None:
    different = 0
    for case, theirs in zip(cases, ask_kafka("sticky"), strict=True):
        ours = ask_us("sticky", case)
        if ours != theirs:
            assert not case.is_homogeneous, case
            different += 1
            assert (sizes(ours), kept(case, ours)) == (sizes(theirs), kept(case, theirs)), case
    assert different < CASES / 50


def test_cooperative_sticky_results_are_kafkas_with_what_is_on_its_way(
    cases: list[Case], ask_kafka: Callable[[str], list[Answer]]
) -> None:
    """Kafka leaves a partition out of the answer while another member owns it; here the daemon holds it back."""
    for case, theirs in zip(cases, ask_kafka("cooperative-sticky"), strict=True):
        if not case.is_homogeneous:
            continue
        owner = {
            (topic, number): subscriber.member_id
            for subscriber in case.subscribers
            for topic, numbers in subscriber.owned.items()
            for number in numbers
        }
        assignment = ASSIGNORS["cooperative-sticky"](case.subscribers, case.counts)
        at_once = {
            member: [partition for partition in partitions if owner.get(partition, member) == member]
            for member, partitions in assignment.items()
        }
        assert answer_of(at_once) == theirs, case
