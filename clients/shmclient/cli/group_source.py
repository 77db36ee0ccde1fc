"""Which groups a command works on: those of a daemon, or of a Kafka cluster."""

from __future__ import annotations

from shmclient.cli.group_model import GroupSource
from shmclient.cli.target import Target


def open_groups(target: Target) -> GroupSource:
    """
    Raises:
        CliError: NO_DAEMON.
    """
    _ = target.admin  # says where a daemon was looked for when there is none
    if target.is_local:
        from shmclient.cli.group_daemon import DaemonGroups

        return DaemonGroups(target)
    from shmclient.cli.group_cluster import ClusterGroups

    return ClusterGroups(target)
