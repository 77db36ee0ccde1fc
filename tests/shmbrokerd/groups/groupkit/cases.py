"""Inputs of assignors, at random, and answers in a form that is easy to compare."""

from __future__ import annotations

import random
from typing import NamedTuple

from shmbrokerd.groups.assignors import Assignment, Subscriber

Answer = dict[str, dict[str, list[int]]]
"""Member -> topic -> partitions."""


class Case(NamedTuple):
    counts: dict[str, int]
    subscribers: list[Subscriber]

    @property
    def is_homogeneous(self) -> bool:
        return len({subscriber.topics for subscriber in self.subscribers}) == 1

    @property
    def partitions(self) -> set[tuple[str, int]]:
        return {(topic, number) for topic, total in self.counts.items() for number in range(total)}


def random_case(rng: random.Random) -> Case:
    """Up to 12 members with one letter for a name: so few and such names are in ascending order in a hash table of Java,
    too."""
    topics = [f"t{index}" for index in range(rng.randint(1, 5))]
    is_homogeneous = rng.random() < 0.5
    subscriptions = [
        topics if is_homogeneous else rng.sample(topics, rng.randint(1, len(topics)))
        for _ in range(rng.randint(1, 12))
    ]
    counts = {topic: rng.randint(1, 12) for topic in topics if any(topic in each for each in subscriptions)}
    owned: list[dict[str, list[int]]] = [{} for _ in subscriptions]
    if rng.random() < 0.8:
        former = rng.randint(1, len(subscriptions))
        for topic, total in counts.items():
            for number in range(total):
                owner = rng.randrange(former)
                if rng.random() < 0.85 and (topic in subscriptions[owner] or rng.random() < 0.2):
                    owned[owner].setdefault(topic, []).append(number)
    return Case(
        counts,
        [
            Subscriber(
                chr(ord("a") + index),
                f"i{rng.randint(0, 9)}{index}" if rng.random() < 0.3 else None,
                frozenset(subscription),
                owned[index],
            )
            for index, subscription in enumerate(subscriptions)
        ],
    )


def answer_of(assignment: Assignment) -> Answer:
    answer: Answer = {member: {} for member in assignment}
    for member, partitions in assignment.items():
        for topic, number in sorted(partitions):
            answer[member].setdefault(topic, []).append(number)
    return answer


def sizes(answer: Answer) -> list[int]:
    return sorted(sum(map(len, topics.values())) for topics in answer.values())


def kept(case: Case, answer: Answer) -> int:
    """How many partitions stayed where they were."""
    return sum(
        number in answer[subscriber.member_id].get(topic, [])
        for subscriber in case.subscribers
        for topic, numbers in subscriber.owned.items()
        for number in numbers
    )
