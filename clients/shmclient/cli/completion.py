"""Shell completion of what only the daemon knows."""

from __future__ import annotations

COMPLETION_TIMEOUT_S = 0.5
"""Somebody has pressed Tab and waits."""


def complete_topic(incomplete: str) -> list[str]:
    """Names of topics that begin with ``incomplete``; none when no daemon answers at once."""
    from shmclient.admin import AdminClient
    from shmclient.errors import KafkaException

    try:
        with AdminClient({"log_level": 0}) as admin:
            topics = admin.list_topics(timeout=COMPLETION_TIMEOUT_S).topics
    except KafkaException:
        return []
    return sorted(name for name in topics if name.startswith(incomplete))


def complete_group(incomplete: str) -> list[str]:
    """Ids of groups that begin with ``incomplete``; none when no daemon answers at once."""
    from shmclient.cli.exit_codes import CliError
    from shmclient.cli.group_source import open_groups
    from shmclient.cli.target import Target
    from shmclient.errors import KafkaException

    try:
        with open_groups(Target(None, COMPLETION_TIMEOUT_S)) as source:
            groups = [each.group for each in source.list()]
    except (CliError, KafkaException):
        return []
    return [group for group in groups if group.startswith(incomplete)]
