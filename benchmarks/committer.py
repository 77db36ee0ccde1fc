"""A member of a group that commits, as fast as it goes: waiting for each answer, or hearing of them by callback."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.backends.shmbroker import TOPIC
from benchmarks.scoreboard import Scoreboard

JOIN_TIMEOUT_S = 30.0
WINDOW = 100
"""Commits under way at most: a program that reads makes one for each chunk of records, and serves callbacks in between."""


class Committer:
    """Construct it to attach; `join` gives it a partition."""

    def __init__(self, address: str, group: str) -> None:
        from shmclient import Consumer

        self.latencies_ns: list[int] = []
        self._made_ns: deque[int] = deque()
        self._owned: list[Any] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": group,
                "enable.auto.commit": False,
                "on_commit": self._on_commit,
            }
        )

    def join(self, board: Scoreboard, number: int, members: int) -> None:
        """Return when each of the members owns one partition. Until then all go on polling, for partitions move."""
        self._consumer.subscribe([TOPIC])
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while board.total() != members:
            self._consumer.poll(0.01)
            self._owned = self._consumer.assignment()
            board.publish(number, int(len(self._owned) == 1))
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{members} members do not share the partitions after {JOIN_TIMEOUT_S:g} s"
                )

    def commit_sync(self, count: int) -> None:
        for offset in range(count):
            began_ns = time.monotonic_ns()
            self._consumer.commit(offsets=self._at(offset), asynchronous=False)
            self.latencies_ns.append(time.monotonic_ns() - began_ns)

    def commit_async(self, count: int) -> None:
        for offset in range(count):
            self._made_ns.append(time.monotonic_ns())
            self._consumer.commit(offsets=self._at(offset), asynchronous=True)
            self._serve(lambda: len(self._made_ns) < WINDOW)
        self._serve(lambda: not self._made_ns)

    def close(self) -> None:
        self._consumer.close()

    def _at(self, offset: int) -> list[Any]:
        self._owned[0].offset = offset
        return self._owned

    def _serve(self, is_enough: Callable[[], bool]) -> None:
        self._consumer.poll(0)
        while not is_enough():
            self._consumer.poll(0.001)

    def _on_commit(self, error: Any, _partitions: list[Any]) -> None:
        if error is not None:
            raise RuntimeError(f"a commit was refused: {error}")
        self.latencies_ns.append(time.monotonic_ns() - self._made_ns.popleft())
