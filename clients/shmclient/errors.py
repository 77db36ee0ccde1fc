"""`KafkaError` and `KafkaException`, as confluent_kafka has them. Those of the serializing clients are in `error`.

One difference is wanted: `==` between a `KafkaError` and something that is no number answers False, where
confluent_kafka raises TypeError. So `err == None` and `err in [...]` are safe.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

from shmbroker.errors import BrokerError, ErrorCode, describe
from shmclient.error_constants import ErrorConstants

# Inside `KafkaError` the name `str` is its method.
Text: TypeAlias = str

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1

# Texts start with who speaks. The end of a partition is the broker's news, though its code is a local one.
_NOT_PREFIXED = (ErrorCode.NO_ERROR, ErrorCode.UNKNOWN)


def error_text(code: int) -> str:
    """The default text of `KafkaError(code)`: `Local: ...` or `Broker: ...`."""
    if code in _NOT_PREFIXED:
        return describe(code)
    is_local = code < 0 and code != ErrorCode._PARTITION_EOF
    return f"{'Local' if is_local else 'Broker'}: {describe(code)}"


class KafkaError(ErrorConstants):
    """An error or event: a code, a text, and what the code demands of the application.

    `error` is one of the class constants (any 32-bit number is taken), `reason` replaces the default text.
    Errors compare and hash by code alone, with each other and with plain integers:

        if err == KafkaError._PARTITION_EOF: ...

    Raises TypeError for a code that is no integer or a reason that is no text, OverflowError beyond 32 bits.
    """

    __slots__ = ("_code", "_fatal", "_reason", "_retriable", "_txn_requires_abort")

    def __init__(
        self,
        error: int,
        reason: Text | None = None,
        fatal: bool = False,
        retriable: bool = False,
        txn_requires_abort: bool = False,
    ) -> None:
        self._code = operator.index(error)
        if not _INT32_MIN <= self._code <= _INT32_MAX:
            raise OverflowError(f"error code {error} does not fit into 32 bits")
        if reason is not None and not isinstance(reason, str):
            raise TypeError(f"reason must be str or None, not {type(reason).__name__}")
        self._reason = reason
        self._fatal = bool(operator.index(fatal))
        self._retriable = bool(operator.index(retriable))
        self._txn_requires_abort = bool(operator.index(txn_requires_abort))

    def code(self) -> int:
        """The number, for comparison with the class constants."""
        return self._code

    def name(self) -> Text:
        """The constant's name, such as `_MSG_TIMED_OUT`; `ERR_<code>?` for a number that has none."""
        try:
            return ErrorCode(self._code).name
        except ValueError:
            return f"ERR_{self._code}?"

    def str(self) -> Text:
        """The reason given, or the code's default text."""
        return error_text(self._code) if self._reason is None else self._reason

    def fatal(self) -> bool:
        """True when this client can do no more and must be closed."""
        return self._fatal

    def retriable(self) -> bool:
        """True when the same operation may succeed if tried again."""
        return self._retriable

    def txn_requires_abort(self) -> bool:
        """True when the current transaction must be aborted."""
        return self._txn_requires_abort

    def __eq__(self, other: object) -> bool:
        number = _comparable(other)
        return NotImplemented if number is None else self._code == number

    def __lt__(self, other: object) -> bool:
        number = _comparable(other)
        return NotImplemented if number is None else self._code < number

    def __le__(self, other: object) -> bool:
        number = _comparable(other)
        return NotImplemented if number is None else self._code <= number

    def __gt__(self, other: object) -> bool:
        number = _comparable(other)
        return NotImplemented if number is None else self._code > number

    def __ge__(self, other: object) -> bool:
        number = _comparable(other)
        return NotImplemented if number is None else self._code >= number

    def __hash__(self) -> int:
        return hash(self._code)

    def __repr__(self) -> Text:
        fatal = "FATAL," if self._fatal else ""
        return f'KafkaError{{{fatal}code={self.name()},val={self._code},str="{self.str()}"}}'

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self._code, self._reason, self._fatal, self._retriable, self._txn_requires_abort)
        return type(self), fields


def _comparable(other: object) -> int | None:
    if isinstance(other, KafkaError):
        return other._code
    return other if isinstance(other, int) else None


class KafkaException(Exception):  # noqa: N818  # confluent_kafka's name
    """Raised by every call that fails; `args[0]` is the `KafkaError`."""


def kafka_exception(code: int, reason: str | None = None, **flags: bool) -> KafkaException:
    """`KafkaException(KafkaError(code, reason, ...))` in one call."""
    return KafkaException(KafkaError(code, reason, **flags))


def from_broker_error(error: BrokerError) -> KafkaError:
    """What a client tells its user about a refusal by the daemon or the shared floor."""
    return KafkaError(error.code, error.message)
