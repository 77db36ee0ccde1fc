from __future__ import annotations

import os
import subprocess
import sys
import threading

from shmclient.admin.worker import Worker


def test_jobs_run_in_order_on_one_daemon_thread() -> None:
    worker = Worker("w")
    done = threading.Event()
    seen: list[tuple[int, str, bool]] = []

    def job(number: int) -> None:
        thread = threading.current_thread()
        seen.append((number, thread.name, thread.daemon))

    for number in range(100):
        worker.submit(lambda number=number: job(number))  # type: ignore[misc]
    worker.submit(done.set)
    assert done.wait(10)
    assert seen == [(number, "w", True) for number in range(100)]
    worker.stop()


def test_jobs_queued_before_stopping_still_run() -> None:
    worker = Worker("w")
    gate, done = threading.Event(), threading.Event()
    worker.submit(lambda: gate.wait(10) and None)
    worker.submit(done.set)
    worker.stop()
    gate.set()
    assert done.wait(10)


def test_a_forked_child_has_a_worker_of_its_own() -> None:
    worker = Worker("w")
    ready = threading.Event()
    worker.submit(ready.set)
    assert ready.wait(10)
    child = os.fork()
    if child == 0:
        try:
            done = threading.Event()
            worker.submit(done.set)
            os._exit(0 if done.wait(10) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    worker.stop()


def test_a_program_may_end_while_a_job_waits() -> None:
    code = (
        "import threading\n"
        "from shmclient.admin.worker import Worker\n"
        "started = threading.Event()\n"
        "worker = Worker('w')\n"
        "worker.submit(lambda: (started.set(), threading.Event().wait()) and None)\n"
        "started.wait(10)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
