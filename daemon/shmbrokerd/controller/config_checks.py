"""What must hold between the settings of one topic or broker; single values are checked by their keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.static import check_lags
from shmbroker.config.topic_keys import TOPIC_KEYS
from shmbroker.errors import BrokerError, ErrorCode
from shmbrokerd.metadata.settings import BROKER, TOPIC, Settings

INTERNAL_PREFIX = "__"
RETENTION_KEYS = frozenset(
    {
        "cleanup.policy",
        "retention.bytes",
        "retention.groups",
        "retention.groups.max.bytes",
        "retention.groups.max.ms",
        "retention.ms",
    }
)
_MIN_LAG, _MAX_LAG = TOPIC_KEYS["min.compaction.lag.ms"], TOPIC_KEYS["max.compaction.lag.ms"]


def check_topic_settings(
    settings: Settings, topic: str, configs: Mapping[str, str], changed: Collection[str]
) -> None:
    """``configs`` are to be the topic's own settings, of which ``changed`` were others before, or not there.

    Raises:
        BrokerError: POLICY_VIOLATION for the retention of an internal topic, INVALID_CONFIG for settings at odds.
    """
    _check_internal(topic, configs, changed)
    own = [configs.get(key.name) for key in (_MIN_LAG, _MAX_LAG)]
    if own != [None, None]:
        defaults = [settings.broker_value(key.synonym) for key in (_MIN_LAG, _MAX_LAG)]
        lags = [int(default if text is None else text) for text, default in zip(own, defaults, strict=True)]
        check_lags(_MIN_LAG.name, lags[0], _MAX_LAG.name, lags[1])


def check_broker_settings(settings: Settings, configs: Mapping[str, str]) -> None:
    """``configs`` are to be the dynamic settings of this broker, or of all brokers.

    Raises:
        BrokerError: INVALID_CONFIG for settings at odds.
    """
    if _MIN_LAG.synonym in configs or _MAX_LAG.synonym in configs:
        lags = [
            int(configs.get(key.synonym, settings.broker_value(key.synonym))) for key in (_MIN_LAG, _MAX_LAG)
        ]
        check_lags(_MIN_LAG.synonym, lags[0], _MAX_LAG.synonym, lags[1])


def check_settings(
    settings: Settings, resource_type: str, resource_name: str, old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    """Refuse ``new`` where it is at odds with itself; see above."""
    if resource_type == TOPIC:
        changed = [name for name, value in new.items() if old.get(name) != value]
        check_topic_settings(settings, resource_name, new, changed)
    elif resource_type == BROKER:
        check_broker_settings(settings, new)


def _check_internal(topic: str, configs: Mapping[str, str], changed: Collection[str]) -> None:
    if not topic.startswith(INTERNAL_PREFIX):
        return
    for name in changed:
        if name in RETENTION_KEYS:
            default = BROKER_KEYS[TOPIC_KEYS[name].synonym].name
            raise BrokerError(
                ErrorCode.POLICY_VIOLATION,
                f"Invalid value {configs[name]} for configuration {name}: topic '{topic}' is internal (its name begins with"
                f" '{INTERNAL_PREFIX}'), and the only value allowed is the default of all topics ({default})",
            )
