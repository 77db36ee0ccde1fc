"""One given value turned into the value of its key, or refused with key, value and what is allowed.

Accepted is what librdkafka accepts of text, given that confluent_kafka hands it `str(value)`: numbers as
text and text as numbers, booleans as true/t/1 and false/f/0, names in any case, hexadecimal and octal
numbers. Stricter is one thing: text that only starts with a number ("5ms") is refused, where librdkafka
reads the part it likes.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn, TypeVar

from shmclient.config.key import Key, Value
from shmclient.errors import KafkaError, kafka_exception

_Number = TypeVar("_Number", int, float)

_TRUE = frozenset({"true", "t", "1"})
_FALSE = frozenset({"false", "f", "0"})
_INTEGER = re.compile(r"([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_DECIMAL = re.compile(r"([+-]?[0-9]+)\.[0-9]*")
_SHOWN_CHARACTERS = 100

# confluent_kafka raises plain exceptions for these; for other callbacks a KafkaException.
_CALLBACK_ERRORS: dict[str, type[Exception]] = {
    "error_cb": TypeError,
    "stats_cb": TypeError,
    "oauth_cb": TypeError,
    "throttle_cb": ValueError,
}


def convert(key: Key, given_name: str, value: object) -> Value:
    """The value of `key`, typed as its kind says; `given_name` is the name the user wrote.

    Raises KafkaException(_INVALID_ARG) for a value that does not fit, and for error_cb, stats_cb, oauth_cb
    and throttle_cb that cannot be called what confluent_kafka raises: TypeError, for the last one ValueError.
    """
    match key.kind:
        case "unsettable":
            invalid(f'Property "{given_name}" cannot be set in a configuration. {key.note}')
        case "object":
            return value
        case "callable":
            return _callable(given_name, value)
    if key.takes_callable and callable(value):
        return value
    text = "" if value is None else str(value)
    if not text:
        return _empty(key, given_name)
    match key.kind:
        case "str":
            return _text(key, given_name, text)
        case "bool":
            return _bool(given_name, text)
        case "int":
            return _int(key, given_name, value, text)
        case "float":
            return _float(key, given_name, text)
        case "enum":
            return _choice(key, given_name, text.strip())
        case "flags":
            names = (name.strip().removeprefix("+").removeprefix("-") for name in text.split(","))
            return tuple(_choice(key, given_name, name) for name in names if name)
        case "patterns":
            return tuple(_pattern(given_name, pattern.strip()) for pattern in text.split(","))
        case _:
            names = (name.strip() for name in text.split(","))
            return tuple(_choice(key, given_name, name) for name in names if name)


def invalid(message: str) -> NoReturn:
    """Raise KafkaException(_INVALID_ARG, message)."""
    raise kafka_exception(KafkaError._INVALID_ARG, message)


def shown(value: object) -> str:
    """A value for a message, cut where it gets long."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _refuse(given_name: str, value: object, expected: str) -> NoReturn:
    invalid(f'Invalid value "{shown(value)}" for configuration property "{given_name}": expected {expected}')


def _empty(key: Key, given_name: str) -> Value:
    if key.kind in ("str", "list", "patterns"):
        return key.default
    allowed = key.range_text()
    invalid(f'Configuration property "{given_name}" cannot be set to an empty value: expected {allowed}')


def _callable(given_name: str, value: object) -> Value:
    if callable(value):
        return value
    error = _CALLBACK_ERRORS.get(given_name)
    if error is not None:
        raise error(f"expected {given_name} property as a callable, not {type(value).__name__}")
    invalid(f"{given_name} requires a callable object, not {type(value).__name__}")


def _text(key: Key, given_name: str, text: str) -> Value:
    text = text.lstrip()
    if key.name == "sasl.mechanism" and ("," in text or " " in text):
        _refuse(given_name, text, "one mechanism")
    return text or key.default


def _bool(given_name: str, text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    _refuse(given_name, text, "true or false")


def _int(key: Key, given_name: str, value: object, text: str) -> int:
    number = _whole_number(value, text.strip())
    if number is None:
        synonym = key.synonyms.get(text.lower())
        if synonym is None:
            _refuse(given_name, text, f"a whole number: {key.range_text()}")
        number = int(synonym)
    return _within(key, given_name, number)


def _whole_number(value: object, text: str) -> int | None:
    if isinstance(value, float):
        # As C cuts the fraction off. Text such as 1e+16 would not survive the way through str().
        return int(value) if math.isfinite(value) else None
    if match := _INTEGER.fullmatch(text):
        sign, digits = match.groups()
        number = int(digits, 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10)
        return -number if sign == "-" else number
    if match := _DECIMAL.fullmatch(text):
        return int(match[1])
    return None


def _float(key: Key, given_name: str, text: str) -> float:
    stripped = text.strip()
    if "_" in stripped or stripped.lower().startswith("nan"):
        _refuse(given_name, text, f"a number: {key.range_text()}")
    try:
        number = float(int(stripped, 16)) if stripped[:2].lower() == "0x" else float(stripped)
    except ValueError:
        _refuse(given_name, text, f"a number: {key.range_text()}")
    return _within(key, given_name, number)


def _within(key: Key, given_name: str, number: _Number) -> _Number:
    if key.low is None or key.high is None or key.low <= number <= key.high:
        return number
    invalid(
        f'Configuration property "{given_name}" value {shown(number)} is outside allowed range '
        f"{key.low}..{key.high}"
    )


def _pattern(given_name: str, pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        _refuse(given_name, pattern, f"regular expressions ({error})")
    return pattern


def _choice(key: Key, given_name: str, name: str) -> str:
    if not key.choices:
        return name
    lowered = name.lower()
    for candidate in key.choices:
        if candidate.lower() == lowered:
            return candidate
    synonym = key.synonyms.get(lowered)
    if synonym is None:
        _refuse(given_name, name, f"one of {key.range_text()}")
    return synonym
