"""How a process sleeps until another has something for it, and never misses it.

A word and a descriptor. The one who sleeps::

    waiting = 1; fence; look again; sleep on the descriptor with a time-out; waiting = 0

The one who publishes::

    publish; fence; if waiting: ring the descriptor

Whatever the interleaving, either the sleeper's second look sees what was published or the publisher sees ``waiting``.
Only the sleeper clears its flag, so a publisher that dies after looking at it takes nobody else's wake-up with it: the
next one rings too. A ring between the second look and the sleep is kept.

The descriptor is a pipe (an eventfd will do inside one process). It was preferred to a named POSIX semaphore: the round trip
is the same (47 us on the machine where both were measured), it has no name that a crash could leave behind, and it can be
waited for together with sockets. And to an eventfd between processes: that is one open file, whose O_NONBLOCK either side
can take away, so that a client could make the daemon block. Each end of a pipe, and each reopening of one, is an open file
of its own (see :func:`make_bell`, :func:`another_end`); it costs 0.3 us more.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
from collections.abc import Callable
from typing import Protocol

_RING = (1).to_bytes(8, "little")
"""What an eventfd wants to be told; to a pipe all bytes are the same."""
_DRAIN_BYTES = 64 * 1024
_MAX_POLL_MS = (1 << 31) - 1
"""What poll(2) can be told, 24 days; whoever sleeps looks again afterwards anyway."""


def make_fence() -> Callable[[], None]:
    """A full memory barrier: no load after it is done before a store ahead of it is seen by others.

    Releasing and re-taking a private lock is a release followed by an acquire on one atomic word, which both x86-64 and
    AArch64 keep in order with everything around it. Each serves one thread at a time.
    """
    lock = threading.Lock()
    lock.acquire()
    acquire, release = lock.acquire, lock.release

    def fence() -> None:
        release()
        acquire()

    return fence


class Event(Protocol):
    """What is rung and slept on: :class:`Eventfd`, or its process-local twin where the protocol itself is examined."""

    def ring(self) -> None:
        """Count one up; never waits."""

    def poll(self, timeout_ms: int) -> tuple[bool, list[int]]:
        """Sleep until the count is not zero; returns whether it is, and the other descriptors that became readable."""

    def drain(self) -> None:
        """Set the count to zero."""


class Descriptor:
    """A pipe or an eventfd and, for the one who sleeps, the descriptors that end the sleep as well."""

    __slots__ = ("_fd", "_poller")

    def __init__(self, fd: int, *also_watch: int) -> None:
        self._fd = fd
        self._poller = select.poll()
        for watched in (fd, *also_watch):
            self._poller.register(watched, select.POLLIN)

    def ring(self) -> None:
        ring(self._fd)

    def poll(self, timeout_ms: int) -> tuple[bool, list[int]]:
        fired = [fd for fd, _ in self._poller.poll(timeout_ms)]
        if self._fd not in fired:
            return False, fired
        fired.remove(self._fd)
        return True, fired

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, _DRAIN_BYTES)


class Bell:
    """The publisher's end: rings ``descriptor`` when the word ``waiting_word`` says that somebody sleeps.

    ``fence`` and ``event`` are given only where the protocol is examined without an operating system.
    """

    __slots__ = ("_event", "_fence", "_waiting_word", "_words")

    def __init__(
        self,
        words: memoryview,
        waiting_word: int,
        descriptor: int,
        *,
        fence: Callable[[], None] | None = None,
        event: Event | None = None,
    ) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._fence = fence or make_fence()
        self._event = event or Descriptor(descriptor)

    def ring_if_waiting(self) -> bool:
        """Call after publishing. True when the other side was rung."""
        self._fence()
        if not self._words[self._waiting_word]:
            return False
        self._event.ring()
        return True

    def ring(self) -> None:
        """Wake the other side, which sleeps: whoever calls has passed a fence and looked."""
        self._event.ring()


def ring(descriptor: int) -> None:
    """Wake whoever sleeps on ``descriptor``; one that is full already wakes, one whose sleeper is gone need not."""
    try:  # noqa: SIM105  # a context manager is three calls more, while somebody waits
        os.write(descriptor, _RING)
    except (BlockingIOError, BrokenPipeError):
        pass


def make_bell() -> tuple[int, int]:
    """(descriptor to sleep on, descriptor to ring), each an open file of its own. The sleeper can ring itself, too."""
    sleep_end, ring_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return another_end(sleep_end), ring_end
    except BaseException:
        os.close(ring_end)
        raise
    finally:
        os.close(sleep_end)


def another_end(descriptor: int) -> int:
    """An open file of its own for the same pipe, to sleep on or to ring. Who holds one can also read from it, so ringing never
    raises SIGPIPE."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


class Sleeper:
    """The sleeper's end. ``also_watch`` are descriptors whose readability ends the sleep as well.

    ``fence`` and ``event`` as for :class:`Bell`.
    """

    __slots__ = ("_event", "_fence", "_waiting_word", "_words", "was_rung")

    def __init__(
        self,
        words: memoryview,
        waiting_word: int,
        descriptor: int,
        *also_watch: int,
        fence: Callable[[], None] | None = None,
        event: Event | None = None,
    ) -> None:
        self._words = words
        self._waiting_word = waiting_word
        self._fence = fence or make_fence()
        self._event = event or Descriptor(descriptor, *also_watch)
        self.was_rung = False
        """Whether the last sleep was ended by a ring."""

    def sleep_unless(self, is_ready: Callable[[], bool], timeout_s: float) -> list[int]:
        """Sleep until rung, until a watched descriptor is readable, or for ``timeout_s``.

        Returns at once when ``is_ready()`` holds. Returns the descriptors, other than its own, that ended the sleep.
        Signal handlers run during the sleep, and an exception they raise ends it.
        """
        words, waiting_word = self._words, self._waiting_word
        if self.was_rung:
            # Only now: whoever was woken has something to do first. What rings from here on is for this sleep.
            self._event.drain()
            self.was_rung = False
        words[waiting_word] = 1
        try:
            self._fence()
            if is_ready():
                return []
            # Rounded up: a sleep that ends just short of its deadline would only be followed by another.
            self.was_rung, others = self._event.poll(math.ceil(max(0.0, min(timeout_s * 1000, _MAX_POLL_MS))))
            return others
        finally:
            words[waiting_word] = 0
