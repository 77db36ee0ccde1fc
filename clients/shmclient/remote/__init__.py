"""Clients whose ``bootstrap.servers`` names a Kafka cluster: the same classes, with confluent_kafka doing the work.

`connection.selection` decides and turns a client into its counterpart here (`producer`, `consumer`, `admin`); `values`
and `configuration` translate between the two libraries' types, so that a program sees only shmclient's; `batches` makes
column batches of messages, `read_ahead` keeps what was taken for them; `forks` keeps forked children away from threads
that they do not have.

Nothing here is loaded, and confluent_kafka with it, before a cluster is named.
"""
