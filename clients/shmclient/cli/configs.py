"""``shmbroker configs``: get, set and unset the configuration of topics and brokers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from shmclient.cli import output
from shmclient.cli.completion import complete_topic
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.options import DEFAULT_TIMEOUT_S, BootstrapServer, Json, Property, Timeout
from shmclient.cli.target import Target, split_pair

if TYPE_CHECKING:
    from shmclient.admin import ConfigEntry

app = typer.Typer(help="Get, set and unset the configuration of topics and brokers.", no_args_is_help=True)

Topic = Annotated[
    str | None,
    typer.Option(
        "--topic", "-t", metavar="TOPIC", help="The topic.", show_default=False, autocompletion=complete_topic
    ),
]
Broker = Annotated[
    str | None, typer.Option("--broker", metavar="ID", help="The broker, by its id.", show_default=False)
]


@app.command("get")
def get(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Only these keys.", show_default=False)
    ] = None,
    topic: Topic = None,
    broker: Broker = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also keys that have their default.")] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show what is set, or given keys whether set or not."""
    target = Target(bootstrap_server, timeout, properties)
    kind, name = _resource(topic, broker)
    entries = describe_resource(target, kind, name)
    if keys:
        chosen = [_entry(entries, key, kind) for key in keys]
    else:
        chosen = sorted(entries.values() if show_all else overrides(entries), key=lambda entry: entry.name)
    if as_json:
        output.write_json(
            [
                {"name": e.name, "value": e.value, "source": e.source, "read_only": e.is_read_only}
                for e in chosen
            ]
        )
        return
    rows = [[e.name, "" if e.value is None else e.value, _source_name(e.source)] for e in chosen]
    output.write_table(["key", "value", "source"], rows)


@app.command("set")
def set_(
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", show_default=False)],
    topic: Topic = None,
    broker: Broker = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Set keys; all of them or, when one is refused, none."""
    changes = dict(split_pair(text, "a setting") for text in settings)
    _alter(Target(bootstrap_server, timeout, properties), _resource(topic, broker), changes, [], as_json)


@app.command("unset")
def unset(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", show_default=False)],
    topic: Topic = None,
    broker: Broker = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Return keys to their defaults."""
    _alter(Target(bootstrap_server, timeout, properties), _resource(topic, broker), {}, keys, as_json)


def _alter(
    target: Target, resource: tuple[str, str], changes: dict[str, str], removals: list[str], as_json: bool
) -> None:
    kind, name = resource
    alter_resource(target, kind, name, changes, removals)
    entries = describe_resource(target, kind, name)
    altered = {key: entries[key].value for key in [*changes, *removals] if key in entries}
    if as_json:
        output.write_json({kind: name, "configs": altered})
    else:
        output.write_lines(f"{key}={'' if value is None else value}" for key, value in altered.items())


def _resource(topic: str | None, broker: str | None) -> tuple[str, str]:
    if (topic is None) == (broker is None):
        raise CliError("give either --topic or --broker", ExitCode.USAGE)
    return ("topic", topic) if topic is not None else ("broker", str(broker))


# --- for other commands too --------------------------------------------------------------------------------


def describe_resource(target: Target, kind: str, name: str) -> dict[str, ConfigEntry]:
    """Every key of a topic or broker.

    Raises:
        CliError: the resource does not exist.
    """
    from shmclient.admin import ConfigResource

    resource = ConfigResource(kind, name)
    futures = target.admin.describe_configs([resource], request_timeout=target.timeout_s)
    return target.result(futures[resource], subject=f"{kind} {name}")


def overrides(entries: dict[str, ConfigEntry]) -> Iterable[ConfigEntry]:
    """The keys that somebody has set for this very resource."""
    from shmclient.admin import ConfigSource

    own = (
        ConfigSource.DYNAMIC_TOPIC_CONFIG.value,
        ConfigSource.DYNAMIC_BROKER_CONFIG.value,
        ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG.value,
        ConfigSource.STATIC_BROKER_CONFIG.value,
    )
    is_topic = "cleanup.policy" in entries
    for entry in entries.values():
        source = _source_number(entry.source)
        if source == own[0] or (source in own and not is_topic):
            yield entry


def alter_resource(
    target: Target, kind: str, name: str, changes: dict[str, str], removals: Sequence[str]
) -> None:
    """Set and remove keys of a topic or broker.

    Raises:
        CliError: the resource does not exist, or a key or value is refused.
    """
    from shmclient.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    if removals:
        known = describe_resource(target, kind, name)
        for key in removals:
            _entry(known, key, kind)  # the daemon would take it, but here it is a slip of the hand
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in changes.items()
    ]
    entries += [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in removals]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    futures = target.admin.incremental_alter_configs([resource], request_timeout=target.timeout_s)
    target.result(futures[resource], subject=f"{kind} {name}")


def _entry(entries: dict[str, ConfigEntry], key: str, kind: str) -> ConfigEntry:
    if key in entries:
        return entries[key]
    import difflib

    near = difflib.get_close_matches(key, entries, 1)
    hint = f"did you mean {near[0]}?" if near else ""
    raise CliError(f"a {kind} has no configuration key {key}", ExitCode.NOT_FOUND, hint)


def _source_number(source: object) -> int:
    """confluent_kafka gives a number here where its documentation says a member."""
    return source if isinstance(source, int) else int(source.value)  # type: ignore[attr-defined]


def _source_name(source: object) -> str:
    from shmclient.admin import ConfigSource

    return ConfigSource(_source_number(source)).name.lower().replace("_", " ")
