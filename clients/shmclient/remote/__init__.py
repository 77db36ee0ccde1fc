"""Clients whose ``bootstrap.servers`` names a Kafka cluster: the same classes, with confluent_kafka doing the work.

`selection` decides and turns a client into its counterpart here (`producer`, `consumer`, `admin`); `values` and
`configuration` translate between the two libraries' types, so that a program sees only shmclient's; `batches` makes
column batches of messages, `read_ahead` keeps what was taken for them; `forks` keeps forked children away from threads
that they do not have.

Only `selection` is imported by the clients themselves: the rest, and confluent_kafka with it, is loaded when a cluster is
named.
"""

from shmclient.remote.selection import hand_over

__all__ = ["hand_over"]
