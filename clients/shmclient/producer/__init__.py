"""The producer, from `produce()` to the ring.

A record is a *row*: `producer` appends it to the rows of its topic and does nothing else. Rows are moved on many at a
time: `queues` deals them out to partitions, `batches` packs them into columns, `sender` keeps order, retries and time-outs
and talks to the ring, `background` is the thread that moves what no call of the application moves, `reports` holds what
the application is to hear.
"""

from shmclient.producer.producer import Producer

__all__ = ["Producer"]
