"""``stats_cb``: when it is due, and what every client has to tell. The names of the figures are librdkafka's."""

from __future__ import annotations

import itertools
import time
from typing import Any

import orjson

from shmclient.config import ClientConfig
from shmclient.connection import Connection

_serial = itertools.count(1)


class Statistics:
    """The clock of one client's statistics. ``due_at`` is on the monotonic clock; infinity without ``stats_cb``."""

    def __init__(self, config: ClientConfig, connection: Connection) -> None:
        self._config = config
        self._connection = connection
        self._name = f"{config.client_id}#{config.kind}-{next(_serial)}"
        self._interval_s = config.statistics_interval_ms / 1000
        self._started_at = time.monotonic()
        is_wanted = config.stats_cb is not None and self._interval_s > 0
        self.due_at = self._started_at + self._interval_s if is_wanted else float("inf")

    def take(self, figures: dict[str, Any]) -> str:
        """The JSON text with ``figures`` of the client itself; the next one is due an interval from now."""
        now = time.monotonic()
        self.due_at = now + self._interval_s
        general = {
            "name": self._name,
            "client_id": self._config.client_id,
            "type": self._config.kind,
            "ts": int(now * 1e6),
            "time": int(time.time()),
            "age": int((now - self._started_at) * 1e6),
            "brokers": self._brokers(),
        }
        return orjson.dumps(general | figures).decode()

    def _brokers(self) -> dict[str, Any]:
        """The daemon as the one broker there is."""
        is_up = self._connection.fileno() >= 0
        broker = {
            "name": self._connection.address,
            "nodeid": -1,
            "source": "configured",
            "state": "UP" if is_up else "DOWN",
            "connects": self._connection.generation,
        }
        return {self._connection.address: broker}
