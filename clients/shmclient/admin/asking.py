"""How admin calls run: on a worker, each with a future for every topic, group or partition it names."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from shmbroker.protocol import messages as m
from shmclient.admin import checks, replies
from shmclient.admin.futures import raiser, running_future, settle
from shmclient.admin.worker import Worker
from shmclient.config import ClientConfig
from shmclient.connection import Connection
from shmclient.deadline import Deadline
from shmclient.errors import KafkaError, KafkaException
from shmclient.metadata.fetch import timed_out
from shmclient.statistics import Statistics

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WAITING_FOR_CONTROLLER = "Failed while waiting for controller"


class Asking:
    """The machinery below the calls of `AdminClient`."""

    def _open(self, config: ClientConfig) -> None:
        self._config = config
        self._connection = Connection(
            self._config.bootstrap_servers, self._config.client_id, self._config.socket_timeout_ms / 1000
        )
        self._worker = Worker(f"shmclient-admin-{id(self):x}")
        self._events: queue.SimpleQueue[tuple[Callable[..., Any], Any]] = queue.SimpleQueue()
        """Callbacks to be called by :meth:`poll`, each with its argument."""
        self._statistics = Statistics(self._config, self._connection)
        self._unanswered = 0
        self._is_connected = True
        self._is_closed = False

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("AdminClient has been closed")

    def _change(
        self,
        keys: Iterable[K],
        request: m.CreateTopics | m.DeleteTopics | m.CreatePartitions | m.AlterConfigs | m.DeleteGroups,
        operation_timeout: float | None,
        request_timeout: float | None,
    ) -> dict[K, Future[None]]:
        """Send a request that is answered with one outcome for each of ``keys``."""
        checks.timeout_s("operation_timeout", operation_timeout, 0.0, lowest_ms=-1)
        keys = list(keys)

        def run(deadline: Deadline) -> dict[K, Callable[[], None]]:
            reply = self._connection.request(request, m.OutcomesReply, deadline.remaining_s())
            return {
                key: lambda outcome=outcome: replies.raise_on_error(outcome.code, outcome.message)  # type: ignore[misc]
                for key, outcome in zip(keys, reply.outcomes, strict=True)
            }

        return self._ask(keys, run, request_timeout, WAITING_FOR_CONTROLLER)

    def _ask(
        self,
        keys: Iterable[K],
        run: Callable[[Deadline], dict[K, Callable[[], V]]],
        request_timeout: float | None,
        waiting: str,
    ) -> dict[K, Future[V]]:
        """Run ``run`` on the worker. It returns, for each key, what gives its value or raises its refusal."""
        timeout_s = checks.timeout_s("request_timeout", request_timeout, self._connection.request_timeout_s)
        self._check_open()
        futures: dict[K, Future[V]] = {key: running_future() for key in keys}
        if not futures:
            return {}
        deadline = Deadline(timeout_s)

        def job() -> None:
            try:
                if timeout_s and not deadline.remaining_s():
                    text = "those that were made before it took all of its time"
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))
                results = run(deadline)
                self._is_connected = True
            except KafkaException as error:
                self._notice_failure(error)
                results = dict.fromkeys(futures, raiser(timed_out(error, waiting)))
            except Exception as error:  # a bug must reach the caller, not kill the worker
                results = dict.fromkeys(futures, raiser(error))
            self._unanswered -= 1
            for key, future in futures.items():
                settle(future, results[key])

        self._unanswered += 1
        self._worker.submit(job)
        return dict(futures)  # the caller may take out what it has looked at

    # --- error_cb ------------------------------------------------------------------------------------------

    def _notice_connection(self) -> None:
        """Look whether a daemon is there, so that ``error_cb`` hears of it without a request."""
        if not self._connection.check():
            try:
                self._connection.request(m.DescribeCluster(), m.DescribeClusterReply, 0.0)
                self._is_connected = True
            except KafkaException as error:
                self._notice_failure(error)

    def _notice_failure(self, error: KafkaException) -> None:
        """Tell ``error_cb`` once for each time the daemon goes away."""
        cause: KafkaError = error.args[0]
        if cause.code() != KafkaError._TRANSPORT or not self._is_connected:
            return
        self._is_connected = False
        callback = self._config.error_cb
        if callback is not None:
            self._events.put((callback, cause))
            self._events.put((callback, KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")))

    def _tell_statistics(self) -> None:
        callback = self._config.stats_cb
        if callback is not None and time.monotonic() >= self._statistics.due_at:
            self._events.put((callback, self._statistics.take({})))
