"""JSON without a schema, through orjson."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmclient.serialization.base import Deserializer, SerializationContext, SerializationError, Serializer


class JSONSerializer(Serializer):
    """An object to JSON in UTF-8. None stays None, Kafka's null; it does not become the text `null`.

    to_dict: called as `to_dict(obj, ctx)` first, for objects that orjson does not know
    option:  orjson's OPT_* flags, such as `orjson.OPT_SORT_KEYS`

    Dataclasses, dates, times, UUIDs and enumerations need no `to_dict`. Raises SerializationError.
    """

    __slots__ = ("_dumps", "_option", "_to_dict")

    def __init__(
        self,
        to_dict: Callable[[Any, SerializationContext | None], Any] | None = None,
        option: int | None = None,
    ) -> None:
        # Imported here because it would double the time that `import shmclient` takes.
        import orjson

        self._dumps = orjson.dumps
        self._option = option
        self._to_dict = to_dict

    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        if obj is None:
            return None
        plain = obj if self._to_dict is None else self._to_dict(obj, ctx)
        try:
            return self._dumps(plain, option=self._option)
        except TypeError as error:
            raise SerializationError(str(error)) from error


class JSONDeserializer(Deserializer):
    """JSON in UTF-8 to dicts, lists, text, numbers, booleans and None.

    from_dict: called as `from_dict(parsed, ctx)` last, to make an object of the application's own

    Raises SerializationError for anything that is not one JSON document.
    """

    __slots__ = ("_from_dict", "_loads")

    def __init__(self, from_dict: Callable[[Any, SerializationContext | None], Any] | None = None) -> None:
        import orjson

        self._loads = orjson.loads
        self._from_dict = from_dict

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> Any:
        if value is None:
            return None
        try:
            parsed = self._loads(value)
        except ValueError as error:
            raise SerializationError(str(error)) from error
        return parsed if self._from_dict is None else self._from_dict(parsed, ctx)
