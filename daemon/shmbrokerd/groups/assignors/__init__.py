"""Which member gets which partition. Pure, and with Kafka's results for the same input, rack lists aside.

An assignor is a function of the members, in the order of their ids, and of the number of partitions of each topic that one of
them subscribes to. It gives every partition of these to exactly one member that subscribes to its topic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shmbrokerd.groups.assignors.evenly import assign_range, assign_roundrobin
from shmbrokerd.groups.assignors.specs import Assignment, Subscriber
from shmbrokerd.groups.assignors.sticky import assign_sticky
from shmbrokerd.groups.assignors.uniform import assign_uniform

Assignor = Callable[[Sequence[Subscriber], Mapping[str, int]], Assignment]

ASSIGNORS: dict[str, Assignor] = {
    "range": assign_range,
    "roundrobin": assign_roundrobin,
    "cooperative-sticky": assign_sticky,
    "sticky": assign_sticky,
    "uniform": assign_uniform,
}
"""By the names of ``partition.assignment.strategy`` and ``group.remote.assignor``. The two sticky ones differ in Kafka in how a
partition changes hands, which is the same for all here: its owner lets it go first."""

__all__ = ["ASSIGNORS", "Assignment", "Assignor", "Subscriber"]
