"""Every backend there is, in the order of the tables."""

from __future__ import annotations

from benchmarks.backend import Backend
from benchmarks.backends.kafka import KafkaBackend, close_node
from benchmarks.backends.pipe import PipeBackend
from benchmarks.backends.raw_lmdb import RawLmdbBackend
from benchmarks.backends.redis_streams import RedisBackend
from benchmarks.backends.shmbroker import ShmBrokerBackend
from benchmarks.backends.sqlite_wal import SqliteBackend
from benchmarks.backends.zeromq import ZeroMqBackend


def all_backends() -> list[Backend]:
    return [
        RawLmdbBackend(),
        ShmBrokerBackend("1"),
        ShmBrokerBackend("all"),
        ShmBrokerBackend("1", batches=True),
        ShmBrokerBackend("all", batches=True),
        RedisBackend("everysec"),
        RedisBackend("always"),
        KafkaBackend("1"),
        KafkaBackend("all"),
        SqliteBackend("NORMAL"),
        SqliteBackend("FULL"),
        ZeroMqBackend(),
        PipeBackend("bytes"),
        PipeBackend("object"),
    ]


def close_shared() -> None:
    """Stop the servers that outlive a run because they take too long to start."""
    close_node()
