"""The cluster as `AdminClient.describe_cluster` describes it."""

from __future__ import annotations

from collections.abc import Sequence

from shmclient.admin.resources import AclOperation, acl_operations
from shmclient.types import Node


class DescribeClusterResult:
    """The cluster's id, its nodes, and which of them is the controller (None when there is none)."""

    def __init__(
        self,
        controller: Node | None,
        nodes: list[Node],
        cluster_id: str | None = None,
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
    ) -> None:
        self.cluster_id = cluster_id
        self.controller = controller
        self.nodes = nodes
        self.authorized_operations = acl_operations(authorized_operations)
