"""What a configuration key is: name, type, default, range, unit, and how a value is read and written."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shmbroker.errors import BrokerError, ErrorCode

Value = bool | int | float | str

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class ValueType(enum.Enum):
    """Kafka's ConfigDef types, by name."""

    BOOLEAN = "boolean"
    INT = "int"
    LONG = "long"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list"


class Standing(enum.Enum):
    """How far the daemon goes with a key."""

    HONOURED = "honoured"
    RECORDED = "recorded"
    """Checked, stored and described so that programs and their topics move both ways, but nothing acts on it
    yet."""


class ConfigKey(NamedTuple):
    """One key. Numbers are in ``unit``; ``minimum`` and ``maximum`` are inclusive."""

    name: str
    type: ValueType
    default: Value
    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    is_dynamic: bool = False
    """May be changed while the daemon runs."""
    standing: Standing = Standing.HONOURED
    synonym: str = ""
    """Of a topic key: the broker key that holds the default of all topics; of that broker key: the topic
    key."""
    reason: str = ""
    """Why the number is what it is; every limit has one."""
    may_be_empty: bool = False
    """A list of choices may have none of them."""

    def parse(self, raw: object) -> Value:
        """Read a value as a config file, ``--set`` or a client gives it.

        Raises:
            BrokerError: INVALID_CONFIG, with the key, the value and what is allowed.
        """
        if self.type in (ValueType.STRING, ValueType.LIST):
            value: Value = self._parse_words(raw)
        elif self.type is ValueType.BOOLEAN:
            value = self._parse_boolean(raw)
        else:
            value = self._parse_number(raw)
        return value

    def format(self, value: Value) -> str:
        """The text that Kafka's describe shows, and that :meth:`parse` reads back."""
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    @property
    def allowed(self) -> str:
        """What values are allowed, for people."""
        if self.choices:
            joined = ", ".join(self.choices)
            many = f"a comma-separated list of {joined}" + (", or nothing" if self.may_be_empty else "")
            return many if self.type is ValueType.LIST else f"one of {joined}"
        if self.type is ValueType.BOOLEAN:
            return "true or false"
        if self.minimum is None and self.maximum is None:
            return f"any {self.type.value}"
        unit = f" {self.unit}" if self.unit else ""
        if self.maximum is None or self.maximum >= LONG_MAX:
            return f"at least {self.minimum}{unit}"
        return f"{self.minimum} to {self.maximum}{unit}"

    def _refuse(self, raw: object) -> BrokerError:
        return BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"Invalid value {raw} for configuration {self.name}: must be {self.allowed}",
        )

    def _parse_words(self, raw: object) -> str:
        if isinstance(raw, list):
            raw = ",".join(str(word) for word in raw)
        if not isinstance(raw, str):
            raise self._refuse(raw)
        text = raw.strip()
        if not text and self.may_be_empty:
            return text
        words = text.split(",") if self.type is ValueType.LIST else [text]
        if self.choices and not all(word.strip() in self.choices for word in words):
            raise self._refuse(raw)
        return ",".join(word.strip() for word in words)

    def _parse_boolean(self, raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        text = raw.strip().lower() if isinstance(raw, str) else ""
        if text not in ("true", "false"):
            raise self._refuse(raw)
        return text == "true"

    def _parse_number(self, raw: object) -> int | float:
        if isinstance(raw, bool):
            raise self._refuse(raw)
        number: int | float
        try:
            number = float(str(raw)) if self.type is ValueType.DOUBLE else int(str(raw).strip())
        except ValueError:
            raise self._refuse(raw) from None
        too_low = self.minimum is not None and number < self.minimum
        too_high = self.maximum is not None and number > self.maximum
        if too_low or too_high or number != number:
            raise self._refuse(raw)
        return number


def find_key(keys: Mapping[str, ConfigKey], kind: str, name: str, also: Iterable[str] = ()) -> ConfigKey:
    """Look a key up; ``kind`` is what the error calls it, ``also`` are other names that may have been meant.

    Raises:
        BrokerError: INVALID_CONFIG when there is none of that name; the message names the nearest one.
    """
    key = keys.get(name)
    if key is None:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG, f"Unknown {kind} config name: {name}{nearest(name, [*keys, *also])}"
        )
    return key


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as ``"; did you mean log.segment.bytes?"``, or nothing when no known name is near."""
    import difflib  # only a mistake pays for this import

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""
