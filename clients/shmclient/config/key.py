"""What the table says about one configuration key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, TypedDict, Unpack

import msgspec

ClientKind: TypeAlias = Literal["producer", "consumer", "admin"]

Kind: TypeAlias = Literal[
    "bool",
    "int",
    "float",
    "str",
    "enum",
    "list",
    "patterns",
    "flags",
    "callable",
    "object",
    "unsettable",
]
"""How a value is written. `list`, `patterns` and `flags` have commas between their parts; `unsettable` keys
cannot be given."""

Clients: TypeAlias = Literal["*", "P", "C"]
"""Who uses a key: producers, consumers, or both. Both kinds of client accept every key."""

Effect: TypeAlias = Literal["honoured", "ignored", "unsettable", "serializing"]
"""`ignored` keys are checked and mean nothing on one host; `serializing` ones belong to wrapping clients."""

Value: TypeAlias = bool | int | float | str | tuple[str, ...] | Callable[..., object] | object | None

INT32_MAX: Final = 2**31 - 1


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    name:      Kafka's name where Kafka and librdkafka differ; the other one is in `aliases`
    default:   ours; `upstream_default` is librdkafka's where it differs, and `note` then gives the reason
    low, high: the allowed range of a number, both inclusive
    choices:   the allowed names of an enum, list or flags; `synonyms` maps further ones to these
    note:      why the default differs, why the key has no effect, or what to use instead of it
    """

    name: str
    kind: Kind
    doc: str
    default: Value = None
    clients: Clients = "*"
    effect: Effect = "ignored"
    aliases: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = {}
    takes_callable: bool = False
    deprecated: bool = False
    upstream_default: Value = msgspec.UNSET
    note: str = ""

    @property
    def field(self) -> str:
        """The attribute of `ClientConfig` that holds a key which is honoured."""
        return self.name.replace(".", "_")

    @property
    def default_differs(self) -> bool:
        """True when librdkafka has another default."""
        return self.upstream_default is not msgspec.UNSET

    def range_text(self) -> str:
        """The values allowed, for messages and for the documentation."""
        if self.kind == "bool":
            return "true, false"
        numbers = () if self.low is None else (f"{self.low}..{self.high}",)
        return ", ".join((*numbers, *self.choices, *self.synonyms))


class Details(TypedDict, total=False):
    """The fields of a row that most rows leave at their defaults."""

    clients: Clients
    effect: Effect
    aliases: tuple[str, ...]
    synonyms: Mapping[str, str]
    takes_callable: bool
    deprecated: bool
    upstream_default: Value
    note: str


def flag(name: str, default: bool, doc: str, **details: Unpack[Details]) -> Key:
    """A row for a boolean."""
    return Key(name=name, kind="bool", default=default, doc=doc, **details)


def integer(name: str, default: int, low: int, high: int, doc: str, **details: Unpack[Details]) -> Key:
    """A row for a whole number between `low` and `high`."""
    return Key(name=name, kind="int", default=default, low=low, high=high, doc=doc, **details)


def text(name: str, doc: str, default: str | None = None, **details: Unpack[Details]) -> Key:
    """A row for free text; None and the empty text mean the default."""
    return Key(name=name, kind="str", default=default, doc=doc, **details)


def choice(name: str, default: str, choices: tuple[str, ...], doc: str, **details: Unpack[Details]) -> Key:
    """A row for one name out of `choices`, in any case."""
    return Key(name=name, kind="enum", default=default, choices=choices, doc=doc, **details)


def function(name: str, doc: str, **details: Unpack[Details]) -> Key:
    """A row for a Python callable."""
    return Key(name=name, kind="callable", doc=doc, **details)


def unsettable(name: str, note: str, clients: Clients = "*") -> Key:
    """A row for what librdkafka's C interface sets by a function of its own."""
    doc = "Belongs to librdkafka's C interface."
    return Key(name=name, kind="unsettable", effect="unsettable", clients=clients, doc=doc, note=note)
