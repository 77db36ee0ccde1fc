"""The lock of a producer: while the main thread holds it, Ctrl-C waits.

Python raises KeyboardInterrupt between any two bytecodes of the main thread. In the middle of moving records from one place to
another that would lose them, or leave the lock held for ever. So SIGINT's handler is put off for as long as the main thread
holds the lock, which is some ten microseconds, and runs as soon as it lets go, or goes to sleep. Putting it off costs about a
microsecond; threads other than the main one are never interrupted and pay nothing.
"""

from __future__ import annotations

import threading

# signal's own functions turn numbers into enums and back, which takes longer than the work.
from _signal import SIGINT  # type: ignore[import-not-found]
from _signal import getsignal as get_handler
from _signal import signal as set_handler
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class GuardedCondition(threading.Condition):
    """A condition on a re-entrant lock that puts Ctrl-C off while it is held. Use it with ``with``; give it up to sleep with
    :meth:`wait`, or with ``with condition.given_up:``."""

    def __init__(self) -> None:
        self._mutex = threading.RLock()
        super().__init__(self._mutex)
        self._main_ident = threading.main_thread().ident
        self._depth = 0
        """How often the main thread has entered; only that thread counts."""
        self._note_it = self._note
        self._handler: Handler | None = None
        """What SIGINT is put off from, while it is."""
        self.elsewhere: Callable[[], None] | None = None
        """Wakes the thread that sleeps elsewhere than in :meth:`wait`, and is to hear of what is notified, too."""
        self.was_notified = False
        """Since whoever sleeps elsewhere took this down: it looks before it sleeps, for it may not hear what rang before."""
        self._put_off: tuple[int, FrameType | None] | None = None
        self.given_up = _GivenUp(self)

    def __enter__(self) -> bool:
        if get_ident() == self._main_ident:
            if not self._depth:
                self._guard()
            self._depth += 1
        return self._mutex.acquire()

    def __exit__(self, *_: object) -> None:
        mutex = self._mutex
        if mutex._is_owned():  # type: ignore[attr-defined]  # not after Ctrl-C on the way back from a sleep
            mutex.release()
        if get_ident() == self._main_ident:
            if self._depth > 1:
                self._depth -= 1
                return
            self._depth = 0
            if self._handler is not None:
                self._unguard()

    def wait(self, timeout: float | None = None) -> bool:
        """As :meth:`threading.Condition.wait`; Ctrl-C interrupts it."""
        if get_ident() != self._main_ident:
            return super().wait(timeout)
        try:
            self._unguard()
            return super().wait(timeout)
        finally:
            self._guard()

    def notify_all(self) -> None:
        super().notify_all()
        self.was_notified = True
        if self.elsewhere is not None:
            self.elsewhere()

    # --- SIGINT --------------------------------------------------------------------------------------------

    def _guard(self) -> None:
        handler = get_handler(SIGINT)
        if not callable(handler) or self._handler is not None:
            return  # the default action or none at all: nothing is ever raised
        try:
            set_handler(SIGINT, self._note_it)
        except ValueError:
            return  # the main thread of a subinterpreter gets no signals
        self._handler = handler

    def _unguard(self) -> None:
        handler, self._handler = self._handler, None
        if handler is None:
            return
        try:
            set_handler(SIGINT, handler)
        finally:
            put_off, self._put_off = self._put_off, None
        if put_off is not None:
            handler(*put_off)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._put_off = number, frame


class _GivenUp:
    """While it is entered the lock is not held and Ctrl-C interrupts."""

    def __init__(self, condition: GuardedCondition) -> None:
        self._condition = condition
        self._depths: list[int] = []

    def __enter__(self) -> None:
        condition = self._condition
        condition._mutex.release()
        try:
            if get_ident() == condition._main_ident:
                self._depths.append(condition._depth)
                condition._depth = 0  # who enters meanwhile, from a callback, is guarded again
                condition._unguard()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        condition = self._condition
        try:
            if get_ident() == condition._main_ident:
                condition._depth = self._depths.pop()
                condition._guard()
        finally:
            condition._mutex.acquire()
