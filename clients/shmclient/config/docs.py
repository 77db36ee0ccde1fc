"""The documentation of every key, made from the table.

`python -m shmclient.config.docs` writes it to stdout; docs/configuration/client.md is its output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from shmclient.config.key import Key
from shmclient.config.table import THEMES, Theme

_INTRODUCTION = """\
# Configuration of clients

Every configuration key of librdkafka and confluent_kafka is accepted, with its checks of type and range, so
that programs move between a local daemon and a Kafka cluster by changing `bootstrap.servers`. Keys that have
no meaning on one host are listed as such: they are checked, and then do nothing.

An unknown key, a value of the wrong type or out of range, and values that exclude each other raise
`KafkaException` with the code `_INVALID_ARG`. Producers and consumers accept each other's keys and log a
warning; `AdminClient` takes both. Values may be given as their type or as text.

In the column *for*, P is a producer, C a consumer, and * every client.

This page is made from the table in `clients/shmclient/config/` by `python -m shmclient.config.docs`.
"""

_COLUMNS = ("Key", "For", "Values", "Default", "What it does")

_KIND_TEXTS = {
    "str": "text",
    "callable": "a callable",
    "object": "an object",
    "unsettable": "",
    "patterns": "regular expressions",
}


def markdown() -> str:
    """The whole page."""
    sections = (line for theme in THEMES for line in _section(theme))
    return "\n".join((_INTRODUCTION, *sections))


def _section(theme: Theme) -> Iterator[str]:
    yield f"## {theme.title}\n"
    yield _row(*_COLUMNS)
    yield _row(*("---" for _ in _COLUMNS))
    for key in sorted(theme.keys, key=lambda key: (key.effect != "honoured", key.name)):
        yield _row(_names(key), key.clients, _values(key), _default(key), _description(key))
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _names(key: Key) -> str:
    return " <br> ".join(f"`{name}`" for name in (key.name, *key.aliases))


def _values(key: Key) -> str:
    values: str = key.range_text() or _KIND_TEXTS.get(key.kind, key.kind)
    return f"{values}, a callable" if key.takes_callable else values


def _default(key: Key) -> str:
    if not key.default_differs:
        return _shown(key.default)
    return f"{_shown(key.default)} (librdkafka: {_shown(key.upstream_default)})"


def _shown(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _description(key: Key) -> str:
    parts = [key.doc]
    if key.effect == "ignored":
        parts.append("*No effect:*")
    elif key.effect == "unsettable":
        parts = ["*Cannot be set:*"]
    elif key.default_differs:
        parts.append("*The default differs:*")
    if key.deprecated:
        parts.insert(0, "*Deprecated.*")
    parts.append(key.note)
    return " ".join(part for part in parts if part)


if __name__ == "__main__":
    sys.stdout.write(markdown())
