"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from shmclient.cli.completion import complete_group, complete_topic

DEFAULT_TIMEOUT_S = 10.0

BootstrapServer = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-server",
        "-b",
        metavar="ADDRESS",
        help="shm:/runtime/dir of a daemon, or host:port of a Kafka cluster. Default: $SHMBROKER_BOOTSTRAP, else the"
        " system's daemon, else the user's.",
        show_default=False,
    ),
]
Property = Annotated[
    list[str] | None,
    typer.Option(
        "--property",
        "-X",
        metavar="KEY=VALUE",
        help="A client configuration key (docs/configuration/client.md). May be repeated.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", help="Longest wait for an answer.", min=0.0),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TopicArgument = Annotated[
    str, typer.Argument(metavar="TOPIC", show_default=False, autocompletion=complete_topic)
]
TopicsArgument = Annotated[
    list[str], typer.Argument(metavar="TOPIC...", show_default=False, autocompletion=complete_topic)
]
Partitions = Annotated[
    list[int] | None,
    typer.Option(
        "--partition",
        "-p",
        metavar="N",
        help="Only this partition. May be repeated.",
        min=0,
        show_default=False,
    ),
]
GroupArgument = Annotated[
    str, typer.Argument(metavar="GROUP", show_default=False, autocompletion=complete_group)
]
GroupsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GROUP]...", show_default=False, autocompletion=complete_group),
]
AllGroups = Annotated[bool, typer.Option("--all-groups", help="All groups there are.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        "-t",
        metavar="TOPIC[:N,...]",
        help="A topic, or some of its partitions. May be repeated.",
        show_default=False,
        autocompletion=complete_topic,
    ),
]
