"""The processes of the demo, and what they say to the main one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple

PATIENCE_S = 60


class Worker(NamedTuple):
    role: str
    process: SpawnProcess
    pipe: Connection


class Workers:
    """Processes that report to this one, each over a pipe: pairs (what, value), the last one ("result", value)."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._running: list[Worker] = []
        self.results: dict[str, list[Any]] = {}

    def start(self, role: str, target: Callable[..., None], *arguments: object) -> Worker:
        ours, theirs = self._context.Pipe()
        # Daemonic: they end with this process, whatever happens to it.
        process = self._context.Process(target=run_worker, args=(target, theirs, *arguments), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(role, process, ours)
        self._running.append(worker)
        return worker

    def tell(self, role: str, text: str) -> None:
        for worker in self._running:
            if worker.role == role:
                worker.pipe.send(text)

    def are_running(self, role: str) -> bool:
        return any(worker.role == role for worker in self._running)

    def hear(self) -> Iterator[tuple[Worker, str, Any]]:
        """What workers have to say, at least one message; results are kept."""
        ready = wait([worker.pipe for worker in self._running], PATIENCE_S)
        if not ready:
            raise SystemExit(f"nothing has happened for {PATIENCE_S} s")
        for worker in [worker for worker in self._running if worker.pipe in ready]:
            try:
                what, value = worker.pipe.recv()
            except EOFError:
                raise SystemExit(f"a {worker.role} failed: see above") from None
            if what == "result":
                self.results.setdefault(worker.role, []).append(value)
                self._running.remove(worker)
            else:
                yield worker, what, value

    def kill(self, worker: Worker) -> Iterator[tuple[str, Any]]:
        """SIGKILL; what it had said before. Half a message is no message."""
        worker.process.kill()
        worker.process.join()
        self._running.remove(worker)
        while True:
            try:
                yield worker.pipe.recv()
            except (EOFError, OSError):
                return


def run_worker(target: Callable[..., None], to_main: Connection, *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the main process ends, and the workers with it
    target(to_main, *arguments)
