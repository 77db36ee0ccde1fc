"""Kafka's broker keys that say in minutes or hours what another says in milliseconds, as many a `server.properties` has them.

They are read where a daemon is started and nowhere else: from then on there is the one in milliseconds. Where several are set
in one place the finer one counts, in whatever order they stand (Kafka's rule for ``log.retention.{ms,minutes,hours}``).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.key import INT_MAX, ConfigKey, ValueType

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS


class CoarseKey(NamedTuple):
    """``key`` in units of ``unit_ms`` instead of ``fine``, a broker key, in milliseconds."""

    key: ConfigKey
    fine: str
    unit_ms: int

    def in_ms(self, raw: object) -> int:
        """Milliseconds; -1, "no limit" to those that may have none, stays -1.

        Raises:
            BrokerError: INVALID_CONFIG for what is no number, or out of range.
        """
        number = int(self.key.parse(raw))
        return -1 if number < 0 else number * self.unit_ms


def _key(name: str, fine: str, unit_ms: int, minimum: int) -> CoarseKey:
    default = int(BROKER_KEYS[fine].default) // unit_ms
    unit = "h" if unit_ms == HOUR_MS else "min"
    key = ConfigKey(
        name, ValueType.INT, default, f"{fine} in other units.", unit=unit, minimum=minimum, maximum=INT_MAX
    )
    return CoarseKey(key, fine, unit_ms)


COARSE_KEYS: Final = {
    coarse.key.name: coarse
    for coarse in (
        _key("log.retention.hours", "log.retention.ms", HOUR_MS, -1),
        _key("log.roll.hours", "log.roll.ms", HOUR_MS, 1),
        _key("log.roll.jitter.hours", "log.roll.jitter.ms", HOUR_MS, 0),
        _key("log.retention.minutes", "log.retention.ms", MINUTE_MS, -1),
    )
}
"""By name, the coarsest first."""
_RANKS: Final = {name: rank for rank, name in enumerate(COARSE_KEYS)}


def coarse_first(name: str) -> int:
    """Sorts the names set in one place such that the one that counts comes last."""
    return _RANKS.get(name, len(_RANKS))
