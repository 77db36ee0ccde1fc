"""The producer, from `produce()` to the ring.

A record is a *row*: `producer` checks it (`arguments`), appends it to the rows of its topic and does nothing else. Rows are
moved on many at a time: `dealer` deals them out to partitions (`queues`), `batches` packs them into columns, `sender` keeps
order, retries (`failures`) and time-outs and talks to the ring, `background` is the thread that moves what no call of the
application moves. `backlog` counts what is queued, `reports` holds what the application is to hear, `statistics` are for
those who ask; `packed` takes columns that are ready as they are, `guard` keeps a signal from leaving the state half
changed.
"""

from shmclient.producer.producer import Producer

__all__ = ["Producer"]
