"""The futures that admin calls return."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from shmclient.errors import KafkaException

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def running_future() -> Future[Any]:
    """Running from the start: as in confluent_kafka, a request that was sent cannot be cancelled."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def settle(future: Future[V], result: Callable[[], V]) -> None:
    try:
        future.set_result(result())
    except Exception as error:
        future.set_exception(error)


def raiser(error: Exception) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def refused_futures(keys: Iterable[K], error: KafkaException) -> dict[K, Future[Any]]:
    futures: dict[K, Future[Any]] = {}
    for key in keys:
        futures[key] = running_future()
        futures[key].set_exception(error)
    return futures
