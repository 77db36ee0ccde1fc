"""The sign of life of a group's member: one store into shared memory, every now and then."""

from __future__ import annotations

import threading
import time
import weakref

from shmclient.connection.attachment import ConsumerAttachment


class Heartbeat:
    """A thread that stamps the heartbeat of an attachment, from :meth:`start` to :meth:`stop`.

    A process that is stopped (SIGSTOP), or one in which no thread gets on, stamps no more. That the application polls is
    another question, and answered by another stamp. A daemon thread: it holds up nothing, and ends when nobody has the
    heartbeat any more.
    """

    def __init__(self) -> None:
        self._attachment: ConsumerAttachment | None = None
        self._interval_s = 0.0
        self._wake = threading.Event()
        self._is_over = True

    def start(self, attachment: ConsumerAttachment, interval_s: float) -> None:
        """Stamp in ``attachment`` from now on, at once and every ``interval_s``."""
        attachment.stamp_heartbeat(time.monotonic())
        self._attachment = attachment
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._wake.set()
        if self._is_over:
            self._is_over = False
            self._wake = threading.Event()
            arguments = (weakref.ref(self), self._wake)
            threading.Thread(target=_run, args=arguments, name="shmclient-heartbeat", daemon=True).start()

    def stop(self) -> None:
        self._is_over = True
        self._attachment = None
        self._wake.set()

    def beat(self, wake: threading.Event) -> float | None:
        """Stamp; returns when to do so again, in seconds, or None when it is over for the thread that sleeps on ``wake``."""
        attachment = self._attachment
        if self._is_over or attachment is None or wake is not self._wake:
            return None
        attachment.stamp_heartbeat(time.monotonic())
        return self._interval_s

    def __del__(self) -> None:
        self._wake.set()


def _run(reference: weakref.ref[Heartbeat], wake: threading.Event) -> None:
    while True:
        heartbeat = reference()
        interval_s = None if heartbeat is None else heartbeat.beat(wake)
        del heartbeat
        if interval_s is None:
            return
        wake.wait(interval_s)
        wake.clear()
