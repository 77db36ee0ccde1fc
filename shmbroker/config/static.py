"""The configuration that a daemon is started with: defaults, a TOML file, ``--set key=value``, in rising
precedence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.coarse_keys import COARSE_KEYS, coarse_first
from shmbroker.config.http_listen import parse_http_listen
from shmbroker.config.key import Value, find_key
from shmbroker.errors import BrokerError, ErrorCode


class StaticConfig:
    """Typed values of every broker key; knows which were set and which are defaults."""

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        self.assigned: dict[str, Value] = dict(values or {})

    def value(self, name: str) -> Value:
        return self.assigned[name] if name in self.assigned else BROKER_KEYS[name].default

    def number(self, name: str) -> int:
        return int(self.value(name))

    def flag(self, name: str) -> bool:
        return bool(self.value(name))

    def assign(self, name: str, raw: object) -> None:
        """Set one key from text or a TOML value; one of :data:`COARSE_KEYS` sets that in milliseconds.

        Raises:
            BrokerError: INVALID_CONFIG for an unknown key (with the nearest known one) or a value out of
                range.
        """
        coarse = COARSE_KEYS.get(name)
        if coarse is None:
            self.assigned[name] = find_key(BROKER_KEYS, "broker", name, also=COARSE_KEYS).parse(raw)
        else:
            self.assigned[coarse.fine] = BROKER_KEYS[coarse.fine].parse(coarse.in_ms(raw))


def load_static_config(path: Path | None, settings: Iterable[str]) -> StaticConfig:
    """Read ``path`` (TOML; ``[log] segment.bytes = 1`` and ``"log.segment.bytes" = 1`` are the same) and
    ``settings``.

    Raises:
        BrokerError: INVALID_CONFIG, naming the file or option, the key and the value.
    """
    config = StaticConfig()
    if path is not None:
        _assign_from(config, str(path), _flatten(_read_toml(path)))
    _assign_from(config, "--set", [_split(setting) for setting in settings])
    _check_together(config)
    config.assigned.setdefault("node.id", config.value("node.id"))  # never a mere default: it names this node
    return config


def _split(setting: str) -> tuple[str, str]:
    name, separator, text = setting.partition("=")
    if not separator:
        raise BrokerError(ErrorCode.INVALID_CONFIG, f"--set {setting}: expected key=value")
    return name.strip(), text


def _assign_from(config: StaticConfig, origin: str, settings: Iterable[tuple[str, object]]) -> None:
    for name, raw in sorted(settings, key=lambda setting: coarse_first(setting[0])):
        try:
            config.assign(name, raw)
        except BrokerError as error:
            raise BrokerError(error.code, f"{origin}: {error.message}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # only a daemon with a config file pays for this import

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokerError(ErrorCode.INVALID_CONFIG, f"cannot read config file {path}: {error}") from None


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def check_lags(min_name: str, min_lag_ms: int, max_name: str, max_lag_ms: int) -> None:
    """Refuse a record that must be compacted before it may be, as Kafka does.

    Raises:
        BrokerError: INVALID_CONFIG.
    """
    if min_lag_ms > max_lag_ms:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"Invalid value {min_lag_ms} for configuration {min_name}: must be at most {max_lag_ms}, the value of {max_name}",
        )


def _check_together(config: StaticConfig) -> None:
    parse_http_listen(str(config.value("http.listen")))
    names = "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"
    check_lags(names[0], config.number(names[0]), names[1], config.number(names[1]))
    ring, largest = config.number("session.ring.bytes"), config.number("session.ring.max.bytes")
    if ring > largest:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG, f"session.ring.bytes={ring} is over session.ring.max.bytes={largest}"
        )
    for name in ("session.ring.bytes", "session.ring.max.bytes"):
        size = config.number(name)
        if size & (size - 1):
            raise BrokerError(ErrorCode.INVALID_CONFIG, f"{name}={size} is not a power of two")
