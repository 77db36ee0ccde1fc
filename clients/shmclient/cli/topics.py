"""``shmbroker topics``: create, list, describe, alter, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmclient.cli import output
from shmclient.cli.exit_codes import CliError, ExitCode
from shmclient.cli.options import (
    DEFAULT_TIMEOUT_S,
    BootstrapServer,
    Json,
    Property,
    Timeout,
    TopicArgument,
    TopicsArgument,
)
from shmclient.cli.target import Target, split_pair

if TYPE_CHECKING:
    from shmclient.admin import TopicDescription

app = typer.Typer(help="Create, list, describe, alter and delete topics.", no_args_is_help=True)

Config = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        "-c",
        metavar="KEY=VALUE",
        help="A topic configuration key. May be repeated.",
        show_default=False,
    ),
]


@app.command("create")
def create(
    topics: TopicsArgument,
    partitions: Annotated[
        int,
        typer.Option("--partitions", "-p", metavar="N", help="-1: the daemon's num.partitions."),
    ] = -1,
    replication_factor: Annotated[
        int, typer.Option("--replication-factor", metavar="N", help="-1: the daemon's default.")
    ] = -1,
    config: Config = None,
    if_not_exists: Annotated[
        bool, typer.Option("--if-not-exists", help="Do not fail for a topic that exists already.")
    ] = False,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Check; create nothing.")] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Create topics."""
    from shmclient.admin import NewTopic

    configs = dict(split_pair(text, "--config") for text in config or ())
    target = Target(bootstrap_server, timeout, properties)
    futures = target.admin.create_topics(
        [NewTopic(topic, partitions, replication_factor, config=configs) for topic in topics],
        request_timeout=timeout,
        validate_only=validate_only,
    )
    _report(target, futures, "would be created" if validate_only else "created", if_not_exists, as_json)


@app.command("list")
def list_(
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List the names of all topics, one a line."""
    topics = Target(bootstrap_server, timeout, properties).admin.list_topics(timeout=timeout).topics
    if as_json:
        output.write_json(
            [{"topic": name, "partitions": len(topics[name].partitions)} for name in sorted(topics)]
        )
    else:
        output.write_lines(sorted(topics))


@app.command("describe")
def describe(
    topics: TopicsArgument,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Show the partitions of topics, their offsets, what they take on disk, and the configuration that is not the default."""
    target = Target(bootstrap_server, timeout, properties)
    described = [_description(target, target.describe_topic(topic)) for topic in topics]
    if as_json:
        output.write_json(described)
        return
    for info in described:
        configs = " ".join(f"{key}={value}" for key, value in info["configs"].items())
        size = "" if info["log_bytes"] is None else f"size={output.format_bytes(info['log_bytes'])}  "
        title = f"{info['topic']}  id={info['topic_id']}  {size}{configs}".rstrip()
        output.write_table(
            ["partition", "leader", "replicas", "isr", "earliest", "latest", "records", "size"],
            [
                [
                    row["partition"],
                    row["leader"],
                    ",".join(map(str, row["replicas"])),
                    ",".join(map(str, row["isr"])),
                    row["earliest"],
                    row["latest"],
                    row["latest"] - row["earliest"],
                    "-" if row["log_bytes"] is None else output.format_bytes(row["log_bytes"]),
                ]
                for row in info["partitions"]
            ],
            title=title,
        )


def _description(target: Target, topic: TopicDescription) -> dict[str, Any]:
    from shmclient.cli.configs import describe_resource, overrides
    from shmclient.cli.log_bytes import log_bytes
    from shmclient.cli.offsets import earliest_and_latest

    sizes = log_bytes(target, topic.name)
    bounds = earliest_and_latest(target, target.partitions(topic.name))
    entries = describe_resource(target, "topic", topic.name)
    return {
        "topic": topic.name,
        "topic_id": str(topic.topic_id),
        "log_bytes": sum(sizes.values()) if sizes else None,
        "configs": {entry.name: entry.value for entry in overrides(entries)},
        "partitions": [
            {
                "partition": info.id,
                "leader": None if info.leader is None else info.leader.id,
                "replicas": [node.id for node in info.replicas],
                "isr": [node.id for node in info.isr],
                "earliest": bounds[info.id][0],
                "latest": bounds[info.id][1],
                "log_bytes": sizes.get(info.id),
            }
            for info in sorted(topic.partitions, key=lambda info: info.id)
        ],
    }


@app.command("alter")
def alter(
    topic: TopicArgument,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions", "-p", metavar="N", help="The new number; it can only grow.", show_default=False
        ),
    ] = None,
    config: Config = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            metavar="KEY",
            help="A topic configuration key to return to its default. May be repeated.",
            show_default=False,
        ),
    ] = None,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Add partitions to a topic, or change its configuration."""
    from shmclient.admin import NewPartitions
    from shmclient.cli.configs import alter_resource

    changes = dict(split_pair(text, "--config") for text in config or ())
    if partitions is None and not changes and not unset:
        raise CliError("nothing to alter: give --partitions, --config or --unset", ExitCode.USAGE)
    target = Target(bootstrap_server, timeout, properties)
    if changes or unset:
        alter_resource(target, "topic", topic, changes, unset or [])
    if partitions is not None:
        request = [NewPartitions(topic, partitions)]
        target.result(target.admin.create_partitions(request, request_timeout=timeout)[topic])
    if as_json:
        output.write_json({"topic": topic, "result": "altered"})
    else:
        output.write_lines([f"{topic}: altered"])
    if partitions is not None:
        output.note(
            f"note: keys of {topic} now map to other partitions than before; order by key starts afresh"
        )


@app.command("delete")
def delete(
    topics: TopicsArgument,
    if_exists: Annotated[
        bool, typer.Option("--if-exists", help="Do not fail for a topic that does not exist.")
    ] = False,
    bootstrap_server: BootstrapServer = None,
    properties: Property = None,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Delete topics with all their records."""
    target = Target(bootstrap_server, timeout, properties)
    futures = target.admin.delete_topics(topics, request_timeout=timeout)
    _report(target, futures, "deleted", if_exists, as_json)


def _report(target: Target, futures: dict[str, Any], done: str, is_lenient: bool, as_json: bool) -> None:
    """Print what became of each topic; then fail with the first failure that counts.

    ``is_lenient``: a topic that exists already, or does not exist, is as good as done.
    """
    results: list[dict[str, str]] = []
    failures: list[CliError] = []
    for topic, future in futures.items():
        try:
            target.result(future, subject=topic)
            results.append({"topic": topic, "result": done})
        except CliError as failure:
            is_fine = is_lenient and failure.code in (ExitCode.EXISTS, ExitCode.NOT_FOUND)
            results.append(
                {"topic": topic, "result": "unchanged" if is_fine else "failed", "reason": failure.text}
            )
            if not is_fine:
                failures.append(failure)
    if as_json:
        output.write_json(results)
    else:
        output.write_lines(f"{row['topic']}: {row['result']}" for row in results if row["result"] != "failed")
    if failures:
        for other in failures[1:]:
            output.note(f"shmbroker: {other.text}")
        raise failures[0]
