"""A process with one or several members of a group, each on a thread of its own, that tells what it gets and when."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.backends.shmbroker import TOPIC
from benchmarks.lifeline import die_with_parent

POLL_TIMEOUT_S = 0.1


@dataclass(frozen=True)
class Ready:
    """All clients are attached: nothing is left to do but subscribe."""


@dataclass(frozen=True)
class Moved:
    """Partitions came to a member (`gained`), or it let go of them."""

    member: int
    at_ns: int
    gained: bool
    partitions: frozenset[int]


@dataclass(frozen=True)
class Read:
    """A member has a record in its hands."""

    member: int
    at_ns: int
    partition: int
    value: bytes


@dataclass(frozen=True)
class Broken:
    """A member cannot go on."""

    member: int
    reason: str


def run_members(pipe: Connection, address: str, members: list[int]) -> None:
    """Entry point of the process: attach all, report ready, subscribe when told, end when the pipe does."""
    die_with_parent()
    voice = _Voice(pipe)
    try:
        consumers = {member: _attached(address) for member in members}
    except Exception:
        voice.say(Broken(members[0], traceback.format_exc()))
        return
    voice.say(Ready())
    pipe.recv()
    is_over = threading.Event()
    threads = [
        threading.Thread(target=_live, args=(consumer, member, voice, is_over))
        for member, consumer in consumers.items()
    ]
    for thread in threads:
        thread.start()
    try:
        pipe.recv()
    except EOFError:
        is_over.set()
    for thread in threads:
        thread.join()


class _Voice:
    """The pipe, for several threads."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def say(self, what: Ready | Moved | Read | Broken) -> None:
        with self._lock:
            self._pipe.send(what)


def _attached(address: str) -> Any:
    from shmclient import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench",
            "partition.assignment.strategy": "cooperative-sticky",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.list_topics(TOPIC, POLL_TIMEOUT_S * 100)
    return consumer


def _live(consumer: Any, member: int, voice: _Voice, is_over: threading.Event) -> None:
    """Read and commit; each record has been processed when it was told of."""

    def tell(gained: bool, _consumer: object, moved: list[Any]) -> None:
        partitions = frozenset(each.partition for each in moved)
        if not is_over.is_set():
            voice.say(Moved(member, time.monotonic_ns(), gained, partitions))

    try:
        consumer.subscribe([TOPIC], on_assign=partial(tell, True), on_revoke=partial(tell, False))
        while not is_over.is_set():
            message = consumer.poll(POLL_TIMEOUT_S)
            if message is None:
                continue
            if message.error() is not None:
                raise RuntimeError(f"the consumer got an error: {message.error()}")
            voice.say(Read(member, time.monotonic_ns(), message.partition(), message.value()))
            consumer.commit(message)
        consumer.close()
    except Exception:
        if not is_over.is_set():
            voice.say(Broken(member, traceback.format_exc()))
