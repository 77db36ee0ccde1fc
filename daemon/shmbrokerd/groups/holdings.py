"""Arithmetic of what a member owns: topic -> partition -> the member epoch since which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from shmbroker.protocol.messages import Partitions
from shmbrokerd.metadata.group import Partition

Holding = dict[str, dict[int, int]]


def split(holding: Holding, numbers_of: Mapping[str, Collection[int]]) -> tuple[Holding, Holding]:
    """What of ``holding`` is among ``numbers_of``, and what is not."""
    inside: Holding = {}
    outside: Holding = {}
    for topic, numbers in holding.items():
        wanted = frozenset(numbers_of.get(topic, ()))
        for number, epoch in numbers.items():
            (inside if number in wanted else outside).setdefault(topic, {})[number] = epoch
    return inside, outside


def before(epoch: int, holding: Holding) -> Holding:
    """What of ``holding`` is owned since an earlier epoch."""
    return {
        topic: older
        for topic, numbers in holding.items()
        if (older := {number: since for number, since in numbers.items() if since < epoch})
    }


def merged(one: Holding, other: Holding) -> Holding:
    return {topic: {**one.get(topic, {}), **other.get(topic, {})} for topic in {**one, **other}}


def since(epoch: int, partitions: Iterable[Partition]) -> Holding:
    """``partitions``, owned since ``epoch``."""
    holding: Holding = {}
    for topic, number in partitions:
        holding.setdefault(topic, {})[number] = epoch
    return holding


def plain(holding: Mapping[str, Iterable[int]]) -> Partitions:
    """As members and operators are told."""
    return {topic: sorted(numbers) for topic, numbers in sorted(holding.items())}
