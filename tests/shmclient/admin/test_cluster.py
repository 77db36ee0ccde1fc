from shmclient.admin.cluster import DescribeClusterResult
from shmclient.admin.resources import AclOperation
from shmclient.types import Node


def test_a_cluster_description_keeps_what_it_is_given() -> None:
    node = Node(0, "shm", 0)
    result = DescribeClusterResult(node, [node], "id", [AclOperation.ALTER])
    assert (result.controller, result.nodes, result.cluster_id) == (node, [node], "id")
    assert result.authorized_operations == [AclOperation.ALTER]
    assert DescribeClusterResult(node, []).authorized_operations is None
