"""The documentation of every broker and topic key, made from the tables.

`python -m shmbroker.config.docs` writes it to stdout; docs/configuration/daemon.md is its output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from shmbroker.config.broker_keys import BROKER_KEYS
from shmbroker.config.coarse_keys import COARSE_KEYS
from shmbroker.config.key import ConfigKey, Standing
from shmbroker.config.topic_keys import TOPIC_KEYS

_INTRODUCTION = """\
# Configuration of the daemon and of topics

`shmbrokerd` reads `--config FILE.toml` and `--set key=value`; what is set on the command line wins. In the
file, `"log.segment.bytes" = 1048576` and

    [log]
    segment.bytes = 1048576

are the same. Names, types and defaults are Kafka's where Kafka has the key. An unknown key or a value out of
range stops the daemon from starting, with a message that names the key, the range and the nearest known name.

Topic keys are set with `create_topics`, `incremental_alter_configs` or `shmbroker configs set`. Each has a
broker key, its synonym, that holds the default of all topics. Precedence, highest first: the topic's own
setting, the broker's dynamic one, the dynamic one of all brokers, the daemon's start configuration, the default.

A key marked *recorded* is checked, stored and described, so that topics and programs move to and from Kafka,
but nothing acts on it yet: data is kept longer than asked for, never shorter.

This page is made from the tables in `shmbroker/config/` by `python -m shmbroker.config.docs`.
"""

_COLUMNS = ("Key", "Values", "Default", "Changes", "What it does")


def markdown() -> str:
    """The whole page."""
    own = [key for key in BROKER_KEYS.values() if not key.synonym]
    lines = [
        _INTRODUCTION,
        *_section("Broker keys", own),
        *_section("Topic keys", TOPIC_KEYS.values()),
        *_synonyms(),
        *_coarse(),
    ]
    return "\n".join(lines)


def _section(title: str, keys: Iterable[ConfigKey]) -> Iterator[str]:
    yield f"## {title}\n"
    yield _row(*_COLUMNS)
    yield _row(*("---" for _ in _COLUMNS))
    for key in keys:
        yield _row(f"`{key.name}`", key.allowed, _default(key), _changes(key), _description(key))
    yield ""


def _synonyms() -> Iterator[str]:
    yield "## Defaults of topic keys\n"
    yield _row("Broker key", "Topic key")
    yield _row("---", "---")
    for key in TOPIC_KEYS.values():
        yield _row(f"`{key.synonym}`", f"`{key.name}`")
    yield ""


def _coarse() -> Iterator[str]:
    yield "## The same in other units\n"
    yield "Read when the daemon starts; in one place, the file or the command line, the finer one counts.\n"
    yield _row("Broker key", "Values", "Sets")
    yield _row("---", "---", "---")
    for coarse in COARSE_KEYS.values():
        yield _row(f"`{coarse.key.name}`", coarse.key.allowed, f"`{coarse.fine}`")
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(key: ConfigKey) -> str:
    return key.format(key.default) + (f" {key.unit}" if key.unit else "")


def _changes(key: ConfigKey) -> str:
    return "while running" if key.is_dynamic else "at start"


def _description(key: ConfigKey) -> str:
    parts = ["*Recorded.*"] if key.standing is Standing.RECORDED else []
    parts.append(key.doc)
    if key.reason:
        parts.append(f"*Why this number:* {key.reason}")
    return " ".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
