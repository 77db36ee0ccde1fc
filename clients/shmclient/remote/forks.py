"""Forked children: librdkafka's threads stay with the parent, so a child can neither use nor even free a client."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, NoReturn, Protocol


class RemoteClient(Protocol):
    """What holds a client of confluent_kafka."""

    _kafka: Any


class Orphan:
    """Stands in for a client of the parent: says so whatever it is asked."""

    def __init__(self, kind: str, pid: int) -> None:
        self.__kind = kind
        self.__pid = pid

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse()

    def __len__(self) -> int:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            f"this {self.__kind} belongs to process {self.__pid}: a forked child must make its own"
            " (a client of a Kafka cluster does not survive fork)"
        )


_clients: weakref.WeakSet[Any] = weakref.WeakSet()
_pid = os.getpid()


def watch(client: RemoteClient) -> None:
    """Orphan ``client`` in children forked from now on."""
    _clients.add(client)


def _orphan_all() -> None:
    global _pid
    for client in list(_clients):
        # Freeing it would wait for, or crash on, threads that are not there: it is never freed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client._kafka))
        client._kafka = Orphan(type(client).__name__, _pid)
    _clients.clear()
    _pid = os.getpid()


os.register_at_fork(after_in_child=_orphan_all)
