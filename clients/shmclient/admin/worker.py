"""The thread on which an admin client's requests run, one after the other."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]


class Worker:
    """Runs jobs in order on a daemon thread that is started when first needed.

    A daemon thread, as librdkafka's are: a program may end while its last request is still waiting for an
    answer. After fork the child starts a thread of its own; jobs that the parent had queued stay the
    parent's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Queue a job; what it raises is lost, so it must settle its futures itself."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._start_over()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=_run, args=(self._jobs,), name=self._name, daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def stop(self) -> None:
        """Let the thread end after the jobs that are queued."""
        if self._pid == os.getpid():
            self._jobs.put(None)


def _run(jobs: queue.SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # the futures a job holds must not live until the next one comes
